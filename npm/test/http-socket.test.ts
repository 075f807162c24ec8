// A connection over plain requests, with a stream and an answer for each request that the test makes up.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { type Face, open } from "../src/http-socket.js";

class FakeEventSource extends EventTarget {
  static last: FakeEventSource;
  onopen?: () => void;
  onerror?: () => void;
  onmessage?: (event: { data: string }) => void;
  isClosed = false;
  constructor(readonly url: URL) {
    super();
    FakeEventSource.last = this;
  }
  close(): void {
    this.isClosed = true;
  }
  say(name: string, data: string): void {
    this.dispatchEvent(new MessageEvent(name, { data }));
  }
}

/** A request, as the relay would read it: its number, and its messages. */
interface Brought {
  number: number;
  messages: (string | number[])[];
}

/** Requests so far, and how each is answered: with a status, or not at all. */
let requests: Brought[] = [];
let answer: (request: Brought) => Promise<number> | number = () => 204;

class FakeCloseEvent extends Event {
  readonly code: number;
  constructor(type: string, { code }: { code: number }) {
    super(type);
    this.code = code;
  }
}

Object.assign(globalThis, {
  EventSource: FakeEventSource,
  CloseEvent: FakeCloseEvent,
  fetch: async (_: URL, { body, signal }: { body: Uint8Array; signal: AbortSignal }) => {
    signal.throwIfAborted();
    const request = read(body);
    requests.push(request);
    return { status: await answer(request) };
  },
});

function read(body: Uint8Array): Brought {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const messages: Brought["messages"] = [];
  for (let at = 4; at < body.length; ) {
    const length = view.getUint32(at + 1, true);
    const payload = body.slice(at + 5, at + 5 + length);
    messages.push(body[at] === 1 ? new TextDecoder().decode(payload) : [...payload]);
    at += 5 + length;
  }
  return { number: view.getUint32(0, true), messages };
}

beforeEach(() => {
  requests = [];
  answer = () => 204;
});

/** An open connection, and what it says. */
function connection(url = "wss://voice.example.com/v1/call") {
  const said: unknown[] = [];
  const face = new EventTarget() as Face;
  face.addEventListener("open", () => said.push("open"));
  face.addEventListener("message", (event) => said.push((event as MessageEvent).data));
  face.addEventListener("close", (event) => said.push((event as CloseEvent).code));
  open(face, url);
  return { face, said, events: FakeEventSource.last };
}

const later = (ms = 1) => new Promise((resolve) => setTimeout(resolve, ms));

test("each connection has an address of its own beside the socket's, with its query", () => {
  const one = connection("wss://voice.example.com/v1/call?tenant=7").events.url;
  const other = connection("ws://127.0.0.1:8080/v1/call").events.url;
  assert.match(one.href, /^https:\/\/voice\.example\.com\/v1\/call\/http\/[0-9a-f]{32}\?tenant=7$/);
  assert.match(other.href, /^http:\/\/127\.0\.0\.1:8080\/v1\/call\/http\/[0-9a-f]{32}$/);
  assert.notEqual(one.pathname, other.pathname);
});

test("what comes down is told as a WebSocket tells it, to the close code", () => {
  const { said, events } = connection();
  events.onopen?.();
  events.onmessage?.({ data: '{"type":"pong"}' });
  events.say("audio", "AQL/");
  events.say("close", '{"code":4400,"reason":"protocol"}');
  events.onerror?.();
  const [opened, text, audio, code, ...rest] = said;
  assert.deepEqual([opened, text, code, rest], ["open", '{"type":"pong"}', 4400, []]);
  assert.deepEqual([...new Uint8Array(audio as ArrayBuffer)], [1, 2, 255]);
  assert.ok(events.isClosed);
});

test("one request is under way at a time, and the next has all that was said meanwhile, in order", async () => {
  const { face } = connection();
  let taken: (status: number) => void = () => undefined;
  answer = () => new Promise((resolve) => (taken = resolve));
  face.send("hello");
  face.send(Uint8Array.of(1));
  assert.equal(face.bufferedAmount, 16);
  await later();
  face.send(Uint8Array.of(2));
  face.send("bye");
  await later();
  assert.deepEqual(requests, [{ number: 0, messages: ["hello", [1]] }]);
  taken(204);
  await later();
  assert.deepEqual(requests[1], { number: 1, messages: [[2], "bye"] });
  taken(204);
  await later();
  assert.equal(face.bufferedAmount, 0);
});

test("what was said is copied, and much of it is sent in several requests, of which none is large", async () => {
  const { face } = connection();
  const chunk = new Uint8Array(3_212).fill(7);
  for (let i = 0; i < 100; i++) face.send(chunk);
  face.send(new Uint8Array(100_000).fill(8));
  chunk.fill(0);
  await later(50);
  const sizes = requests.map(({ messages }) => messages.reduce((sum, message) => sum + message.length + 5, 4));
  assert.equal(sizes.reduce((sum, size) => sum + size - 4, 0), 100 * 3_217 + 100_005);
  assert.ok(sizes.slice(0, -1).every((size) => size <= 65_536) && Math.max(...sizes.slice(0, -1)) > 32_768, `${sizes}`);
  assert.ok(requests.every(({ number }, i) => number === i));
  assert.ok(requests[0]?.messages.every((message) => message[0] === 7));
});

test("a request without an answer is sent again with its number, and one that is refused ends the connection", async () => {
  const { face, said, events } = connection();
  let lost = 2;
  answer = () => {
    if (lost-- > 0) throw new Error("the connection broke");
    return 204;
  };
  face.send("hello");
  await later(1_500);
  assert.deepEqual(requests.map(({ number }) => number), [0, 0, 0]);
  assert.deepEqual(said, []);
  answer = () => 409;
  face.send("late");
  await later();
  assert.deepEqual(said, [], "the stream may still say why");
  events.say("close", '{"code":4402,"reason":"budget"}');
  await later(1_200);
  assert.deepEqual(said, [4402]);

  const silent = connection();
  silent.face.send("hello");
  await later(1_200);
  assert.deepEqual([silent.said, silent.events.isClosed], [[1006], true]);
});

test("whoever closes it hears nothing more of it, and nothing more is sent", async () => {
  const { face, said, events } = connection();
  answer = () => 502;
  face.send("hello");
  await later();
  face.close();
  await later(1_500);
  assert.deepEqual([said, events.isClosed, requests.length], [[], true, 1]);
});
