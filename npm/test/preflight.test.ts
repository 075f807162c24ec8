import assert from "node:assert/strict";
import { test } from "node:test";

import { ERROR_CODES } from "../src/codes.js";
import { gradeRelay } from "../src/preflight/connection.js";
import { type PreflightCheck, measured, trouble } from "../src/preflight/grade.js";
import { gradeMicrophone } from "../src/preflight/microphone.js";

test("the words of a code are what is so, and then what to do", () => {
  const { message, cure, grade, code } = trouble("unauthorized", ERROR_CODES.unauthorized.message);
  assert.deepEqual([grade, code, message], ["failed", "unauthorized", "The relay did not accept the token."]);
  assert.equal(cure, "Mint a new one for this relay and check its issuer, audience and expiry.");
  const origin = trouble("origin_refused", ERROR_CODES.origin_refused.message);
  assert.deepEqual([origin.message, origin.cure], ["Pages of this origin may not use this relay.", "Its operator can add it to `origins`."]);
});

test("a refusal that passes says when to come back", () => {
  const rate = trouble("session_rate", ERROR_CODES.session_rate.message, { retryAfterMs: 4_000 });
  assert.deepEqual([rate.cure, rate.retryAfterMs], ["Wait 4000 ms.", 4_000]);
  assert.equal(trouble("relay_full", "This relay takes no more calls now.", { retryAfterMs: 5_000 }).cure, "Come back in 5000 ms.");
  assert.equal(trouble("session_rate", ERROR_CODES.session_rate.message).cure, "Wait a while.");
});

test("whoever refuses a call before it begins has a cure in its words", () => {
  const refusals = ["unauthorized", "denied", "agent_unknown", "agent_forbidden", "session_limit", "account_session_limit", "session_rate", "address_rate", "user_budget", "account_budget", "conversation_unknown", "missing_price", "relay_full", "store_unavailable", "keys_unavailable", "preflight_rate", "address_connections", "origin_refused", "no_relay", "unreachable"] as const;
  for (const code of refusals) {
    const { cure, message } = trouble(code, ERROR_CODES[code].message);
    assert.ok(cure && message !== ERROR_CODES[code].message, code);
  }
});

test("words beside a cure stay whole", () => {
  const { message, cure } = trouble("token_unavailable", "It threw: Error: no. Not today", { cure: "Look there." });
  assert.deepEqual([message, cure], ["It threw: Error: no. Not today", "Look there."]);
});

test("what is good needs no cure", () => {
  assert.equal(measured("good", "Near.", 20, "Move.").cure, undefined);
  assert.equal(measured("fair", "Far.", 400, "Move.").cure, "Move.");
});

/** A socket to a relay that answers as it is told to. */
class Socket {
  static made: Socket[] = [];
  static relay: (message: { type: string; id?: number } | Uint8Array, socket: Socket) => void;
  onopen: (() => void) | undefined;
  onclose: (() => void) | undefined;
  onmessage: ((event: { data: unknown }) => void) | undefined;
  closed: number | undefined;
  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {
    Socket.made.push(this);
    queueMicrotask(() => this.onopen?.());
  }
  send(data: string | Uint8Array): void {
    queueMicrotask(() => Socket.relay(typeof data === "string" ? JSON.parse(data) : data, this));
  }
  say(data: object): void {
    this.onmessage?.({ data: data instanceof ArrayBuffer ? data : JSON.stringify(data) });
  }
  close(code = 1005): void {
    this.closed = code;
    this.onclose?.();
  }
}

/** What is said of a relay that answers so. */
async function relayThat(answers: typeof Socket.relay, token: () => string | Promise<string> = () => "a.b.c"): Promise<Awaited<ReturnType<typeof gradeRelay>>> {
  Socket.made = [];
  Socket.relay = answers;
  Object.assign(globalThis, { WebSocket: Socket, location: { href: "https://app.example.com/", protocol: "https:" } });
  return gradeRelay({ url: "wss://voice.example.com/v1/call", token }, new AbortController().signal);
}

/** As a relay does that takes the call. */
const takes: typeof Socket.relay = (message, socket) => {
  if (message instanceof Uint8Array) socket.say(new ArrayBuffer(message.length * 1.5));
  else if (message.type === "ping") socket.say({ type: "pong", id: message.id });
};

test("a relay that takes the call and carries it is good in everything, and the socket is closed", async () => {
  const checks = await relayThat(takes);
  assert.deepEqual(Object.values(checks).map(({ grade }) => grade), ["good", "good", "good", "good", "good"]);
  const [socket, ...others] = Socket.made;
  assert.deepEqual([socket?.url, socket?.protocol, socket?.closed, others], ["wss://voice.example.com/v1/preflight", "voxrelay.v1", 1000, []]);
});

test("no socket is opened before there is a token, since a relay does not wait for it for long", async () => {
  let socketsThen: number | undefined;
  await relayThat(takes, async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    socketsThen = Socket.made.length;
    return "a.b.c";
  });
  assert.deepEqual([socketsThen, Socket.made.length], [0, 1]);
});

test("a relay that refuses the token, or the call, is quoted, and nothing is measured", async () => {
  const refusing = (code: string): typeof Socket.relay => (message, socket) => {
    if ("type" in message && message.type === "hello") socket.say({ type: "error", code, message: "No. Do this.", retryable: true, retry_after_ms: 4_000 });
    if ("type" in message && message.type === "ping") socket.close();
  };
  const token = await relayThat(refusing("keys_unavailable"));
  assert.deepEqual([token.token.code, token.token.retryAfterMs, token.connection.grade, token.throughput.grade], ["keys_unavailable", 4_000, "good", "skipped"]);
  const call = await relayThat(refusing("a_word_of_tomorrow"));
  assert.deepEqual([call.token.grade, call.connection.code, call.connection.message, call.connection.cure], ["good", "a_word_of_tomorrow", "No.", "Do this."]);
});

test("a connection that breaks without a word is named, and so is one that breaks while it carries", async () => {
  const silent = await relayThat((_, socket) => socket.close());
  assert.deepEqual([silent.address.grade, silent.connection.grade, silent.connection.code], ["good", "failed", "link_lost"]);
  let echoes = 0;
  const breaking = await relayThat((message, socket) => (message instanceof Uint8Array && ++echoes > 5 ? socket.close() : takes(message, socket)));
  assert.deepEqual([breaking.connection.grade, breaking.throughput.grade], ["good", "poor"]);
  const deaf = await relayThat((message, socket) => (message instanceof Uint8Array ? socket.close() : takes(message, socket)));
  assert.deepEqual([deaf.throughput.grade, deaf.throughput.value], ["failed", 0]);
});

test("where a WebSocket brings nothing and plain requests reach the relay, the call goes over HTTP, unless it may not", async () => {
  const asked: string[] = [];
  const reached = (code: string): typeof fetch => async (url, init) => {
    asked.push(`${init?.method} ${String(url)}`);
    return new Response(JSON.stringify({ status: 409, code }), { status: 409 });
  };
  const look = async (transport: "auto" | "websocket" | "http", fetching: typeof fetch): Promise<string> => {
    Socket.relay = (_, socket) => socket.close();
    Object.assign(globalThis, { WebSocket: Socket, location: { href: "https://app.example.com/", protocol: "https:" }, fetch: fetching });
    const call = { url: "wss://voice.example.com/v1/call?tenant=a", token: () => "a.b.c", transport };
    const { connection } = await gradeRelay(call, new AbortController().signal);
    assert.equal(connection.code, "link_lost");
    assert.equal(/goes over HTTP/.test(connection.message), connection.grade === "fair", connection.message);
    return connection.grade;
  };
  const { fetch: before } = globalThis;
  try {
    assert.equal(await look("auto", reached("wire_unknown")), "fair");
    assert.equal(await look("http", reached("wire_unknown")), "fair");
    for (const request of asked) assert.match(request, /^POST https:\/\/voice\.example\.com\/v1\/call\/http\/[\w-]{22,64}\?tenant=a$/);
    assert.equal(new Set(asked).size, 2, "nobody can guess one");
    assert.equal(await look("websocket", reached("wire_unknown")), "failed");
    assert.equal(asked.length, 2);
    assert.equal(await look("auto", reached("not_found")), "failed", "a relay without wires");
    assert.equal(await look("auto", async () => Promise.reject(new TypeError("Failed to fetch"))), "failed");
  } finally {
    Object.assign(globalThis, { fetch: before });
  }
});

test("a call that is to go over HTTP needs the plain requests to get through, however well a WebSocket does", async () => {
  let asked = 0;
  const look = async (transport: "auto" | "websocket" | "http", code: string, token = "a.b.c"): Promise<PreflightCheck> => {
    Socket.relay = takes;
    const answers: typeof fetch = async () => {
      asked += 1;
      return new Response(JSON.stringify({ status: 409, code }), { status: 409 });
    };
    Object.assign(globalThis, { WebSocket: Socket, location: { href: "https://app.example.com/", protocol: "https:" }, fetch: answers });
    const giving = async (): Promise<string> => (token ? token : Promise.reject(new Error("no")));
    return (await gradeRelay({ url: "wss://voice.example.com/v1/call", token: giving, transport }, new AbortController().signal)).connection;
  };
  const { fetch: before } = globalThis;
  try {
    const reached = await look("http", "wire_unknown");
    assert.deepEqual([reached.grade, reached.code, asked], ["good", undefined, 1]);
    for (const token of ["a.b.c", ""]) {
      const cut = await look("http", "not_found", token);
      assert.deepEqual([cut.grade, cut.code], ["failed", "gave_up"]);
      assert.match(cut.cure ?? "", /`\/http\/`/);
    }
    assert.equal(asked, 3);
    assert.deepEqual([(await look("auto", "not_found")).grade, (await look("websocket", "not_found")).grade, asked], ["good", "good", 3], "others do without");
  } finally {
    Object.assign(globalThis, { fetch: before });
  }
});

test("a server that takes the subprotocol and says something else is no relay, and disturbs nobody", async () => {
  const says = (text: string): typeof Socket.relay => (_, socket) => socket.onmessage?.({ data: text });
  const { fetch: before } = globalThis;
  Object.assign(globalThis, { fetch: async () => new Response("<!doctype html>") });
  try {
    for (const text of ["<!doctype html>", "", "null", "5"]) {
      const { connection, throughput } = await relayThat(says(text));
      assert.deepEqual([connection.grade, connection.code, throughput.grade], ["failed", "link_lost", "skipped"], text);
    }
  } finally {
    Object.assign(globalThis, { fetch: before });
  }
});

test("where the browser has no sound the microphone's check says so, and the others are made", async () => {
  const stream = { getAudioTracks: () => [{ muted: false }] } as unknown as MediaStream;
  const { signal } = new AbortController();
  class Refusing {
    constructor() {
      throw new Error("NotSupportedError: no sound");
    }
  }
  for (const [AudioContext, cause] of [[undefined, /AudioContext/], [Refusing, /no sound/]] as const) {
    Object.assign(globalThis, { AudioContext });
    const [permission, microphone] = await gradeMicrophone(stream, false, signal);
    assert.deepEqual([permission.grade, microphone.grade, microphone.code], ["good", "failed", "audio_unavailable"]);
    assert.match(microphone.cure ?? "", cause);
  }
  Reflect.deleteProperty(globalThis, "AudioContext");
});

test("a page on HTTPS opens no socket without encryption, but to its own machine", async () => {
  await relayThat(takes);
  Socket.made = [];
  const { signal } = new AbortController();
  const { address, connection } = await gradeRelay({ url: "ws://voice.example.com/v1/call", token: () => "a.b.c" }, signal);
  assert.deepEqual([address.code, connection.grade, Socket.made.length], ["unreachable", "skipped", 0]);
  for (const host of ["localhost:8080", "127.0.0.1", "[::1]:8080", "relay.localhost"]) {
    const local = await gradeRelay({ url: `ws://${host}/v1/call`, token: () => "a.b.c" }, signal);
    assert.equal(local.address.grade, "good", host);
  }
});
