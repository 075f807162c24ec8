// Where the engine comes from, and where it runs.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import { VoiceClient } from "../src/client.js";
import { NOTHING, OPTIONS, browser, until, wasm } from "./support/browser.js";

beforeEach(() => browser.reset());

/** An address that no test had before: what was loaded from one is kept for the life of the page. */
let count = 0;
const elsewhere = (): string => `/elsewhere-${++count}.wasm`;

test("a file that is not the engine is told in words, nothing of the call is left, and the next call asks for it again", async () => {
  const html = new Response("<!doctype html>", { headers: { "content-type": "text/html; charset=utf-8" } });
  for (const [answer, words] of [
    [() => new Response("", { status: 404 }), /answered 404 with text\/plain.*, not WebAssembly/],
    [() => html.clone(), /answered 200 with text\/html; charset=utf-8, not WebAssembly/],
    [() => new Response("PK\u0003\u0004", { headers: { "content-type": "application/octet-stream" } }), /answered 200 with application\/octet-stream, not WebAssembly/],
  ] as const) {
    const wasmUrl = elsewhere();
    browser.answers = async () => answer();
    const call = new Call({ ...OPTIONS, wasmUrl });
    await assert.rejects(call.connect(), { code: "engine_unavailable", retryable: false, message: words });
    assert.match(String(call.snapshot.error?.cause), words);
    assert.equal(call.state, "closed");
    assert.deepEqual([browser.left(), browser.workers.length], [NOTHING, 0]);
    browser.answers = async () => wasm("application/wasm");
    await (await VoiceClient.connect({ ...OPTIONS, wasmUrl })).close();
    browser.reset();
  }
});

test("the engine's file is taken whatever its server calls it, and asked for once by all calls of a page", async () => {
  for (const type of ["application/wasm", "application/wasm; charset=utf-8", "application/octet-stream"]) {
    const wasmUrl = elsewhere();
    const asked: string[] = [];
    browser.answers = async (url) => {
      asked.push(url);
      return wasm(type);
    };
    await VoiceClient.preload({ wasmUrl, workletUrl: OPTIONS.workletUrl });
    const calls = await Promise.all([1, 2].map(() => VoiceClient.connect({ ...OPTIONS, wasmUrl })));
    assert.deepEqual(asked, [wasmUrl]);
    await Promise.all(calls.map((call) => call.close()));
  }
});

/** The shortest module there is, byte by byte. */
const BYTES = [0, 97, 115, 109, 1, 0, 0, 0];

/** What is waited for so long. */
interface Deadline {
  readonly ms: number;
  pass(): void;
}

/** Takes the time into the test's hands: `deadlines` are those that were set, the newest last. */
async function byHand(work: (deadlines: readonly Deadline[]) => Promise<void>): Promise<void> {
  const { timeout } = AbortSignal;
  const deadlines: Deadline[] = [];
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController();
    deadlines.push({ ms, pass: () => controller.abort(new DOMException("signal timed out", "TimeoutError")) });
    return controller.signal;
  };
  try {
    await work(deadlines);
  } finally {
    AbortSignal.timeout = timeout;
  }
}

/** A file that comes when the test says so. */
function coming(): { body: ReadableStream<Uint8Array<ArrayBuffer>>; come: (byte: number) => void; end: () => void } {
  let controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({ start: (given) => void (controller = given) });
  return { body, come: (byte) => controller?.enqueue(Uint8Array.of(byte)), end: () => controller?.close() };
}

const TIMED_OUT = { code: "engine_unavailable", retryable: true, message: /TimeoutError: signal timed out/ };

test("a file that comes slowly is waited for as long as it moves", async () => {
  await byHand(async (deadlines) => {
    const { body, come, end } = coming();
    browser.answers = async () => new Response(body, { headers: { "content-type": "application/wasm" } });
    const call = new Call({ ...OPTIONS, wasmUrl: elsewhere() });
    const connecting = call.connect();
    await until(() => deadlines.length === 4, "the answer is there, and its first byte is waited for");
    assert.deepEqual(deadlines.map(({ ms }) => ms), [300_000, 30_000, 30_000, 30_000], "in all, the answer, the glue, the first byte");
    for (const byte of BYTES) {
      const before = deadlines.length;
      come(byte);
      await until(() => deadlines.length > before, "the next byte is waited for");
      // Half a minute after the byte before, and this one is there.
      deadlines[before - 1]!.pass();
    }
    end();
    await connecting;
    assert.deepEqual([...new Set(deadlines.slice(1).map(({ ms }) => ms))], [30_000]);
    await call.close();
  });
});

test("a file of which nothing comes for 30 s is given up and no longer fetched, which may work later, and the next call asks for it again", async () => {
  for (const bytes of [undefined, 0, 5]) {
    await byHand(async (deadlines) => {
      const wasmUrl = elsewhere();
      const { body, come } = coming();
      const signals: (AbortSignal | null | undefined)[] = [];
      browser.answers = (_, signal) => {
        signals.push(signal);
        return bytes === undefined ? new Promise<Response>(() => undefined) : Promise.resolve(new Response(body));
      };
      const calls = [new Call({ ...OPTIONS, wasmUrl }), new Call({ ...OPTIONS, wasmUrl })];
      const refused = calls.map((call) => assert.rejects(call.connect(), TIMED_OUT));
      for (const byte of BYTES.slice(0, bytes ?? 0)) come(byte);
      const due = bytes === undefined ? 3 : 4 + bytes;
      await until(() => deadlines.length === due, "what comes next is waited for");
      assert.deepEqual(signals.map((signal) => signal?.aborted), [false], "once for both");
      // Without an answer the glue's is the last one.
      deadlines[bytes === undefined ? 1 : due - 1]!.pass();
      await Promise.all(refused);
      assert.equal(signals[0]?.aborted, true);
      browser.answers = async () => wasm("application/wasm");
      await (await VoiceClient.connect({ ...OPTIONS, wasmUrl })).close();
    });
  }
});

test("a file that moves for more than five minutes is given up all the same", async () => {
  await byHand(async (deadlines) => {
    const { body, come } = coming();
    browser.answers = async () => new Response(body);
    const refused = assert.rejects(new Call({ ...OPTIONS, wasmUrl: elsewhere() }).connect(), TIMED_OUT);
    await until(() => deadlines.length === 4, "its first byte is waited for");
    const [longest] = deadlines;
    assert.equal(longest?.ms, 300_000);
    longest?.pass();
    come(0);
    await refused;
  });
});

test("a file that still comes when the other one did not is no longer fetched, and the next call asks for it again", async () => {
  const wasmUrl = elsewhere();
  const { body } = coming();
  const signals: (AbortSignal | null | undefined)[] = [];
  browser.answers = async (_, signal) => {
    signals.push(signal);
    return new Response(body);
  };
  const workletUrl = "data:text/javascript,throw new TypeError('Failed to fetch');";
  await assert.rejects(VoiceClient.preload({ wasmUrl, workletUrl }), { code: "engine_unavailable", retryable: true });
  assert.deepEqual(signals.map((signal) => signal?.aborted), [true]);
  browser.answers = async () => wasm("application/wasm");
  await (await VoiceClient.connect({ ...OPTIONS, wasmUrl })).close();
});

test("what keeps the engine from loading may pass by itself, or not", async () => {
  for (const [answer, retryable] of [
    [async () => new Response("", { status: 503 }), true],
    [() => Promise.reject(new TypeError("Failed to fetch")), true],
    [async () => new Response("", { status: 404 }), false],
    [async () => new Response(Uint8Array.of(0, 1, 2)), false],
  ] as const) {
    browser.answers = answer;
    await assert.rejects(VoiceClient.preload({ wasmUrl: elsewhere(), workletUrl: OPTIONS.workletUrl }), { code: "engine_unavailable", retryable });
  }
});

test("whether it may pass is said by the kind of the cause, and by no word of an address", async () => {
  for (const word of ["busy", "dismissed", "answered 503 with", "unavailable Timeout", "engine_unavailable TypeError:"]) {
    browser.answers = async () => new Response("", { status: 404 });
    const wasmUrl = `/${word}${elsewhere()}`;
    await assert.rejects(VoiceClient.preload({ wasmUrl, workletUrl: OPTIONS.workletUrl }), { code: "engine_unavailable", retryable: false }, word);
    browser.reset();
    browser.adding = () => Promise.reject(new DOMException(`/${word}/worker.js`, "NotSupportedError"));
    await assert.rejects(VoiceClient.connect(OPTIONS), { code: "audio_unavailable", retryable: false }, word);
    browser.reset();
  }
});

test("a file that is not the engine is refused at its first bytes, and no longer fetched", async () => {
  for (const [status, retryable] of [[200, false], [503, true]] as const) {
    const { body, come } = coming();
    const signals: (AbortSignal | null | undefined)[] = [];
    browser.answers = async (_, signal) => {
      signals.push(signal);
      return new Response(body, { status, headers: { "content-type": "text/html" } });
    };
    const words = new RegExp(`answered ${status} with text/html, not WebAssembly`);
    const refused = assert.rejects(VoiceClient.preload({ wasmUrl: elsewhere(), workletUrl: OPTIONS.workletUrl }), { code: "engine_unavailable", retryable, message: words });
    come(60);
    await refused;
    assert.deepEqual(signals.map((signal) => signal?.aborted), [true]);
  }
});

test("where there is no WebAssembly that is told with its code, nothing of the call is left, and no later attempt is promised more", async () => {
  const there = Object.getOwnPropertyDescriptor(globalThis, "WebAssembly")!;
  const call = new Call({ ...OPTIONS, wasmUrl: elsewhere() });
  Reflect.deleteProperty(globalThis, "WebAssembly");
  try {
    await assert.rejects(call.connect(), { code: "engine_unavailable", retryable: false, message: /WebAssembly is not defined/ });
  } finally {
    Object.defineProperty(globalThis, "WebAssembly", there);
  }
  assert.deepEqual([call.state, call.snapshot.error?.code, browser.left()], ["closed", "engine_unavailable", NOTHING]);
});

test("a worklet that never comes is given up after 30 s, which may work later, and the next call asks for it by another address", async () => {
  const audioContext = new AudioContext();
  const asked: string[] = [];
  const worklet = { addModule: (url: string): Promise<void> => (asked.push(url), asked.length > 1 ? Promise.resolve() : new Promise(() => undefined)) };
  Object.assign(audioContext, { audioWorklet: worklet });
  const options = { ...OPTIONS, wasmUrl: elsewhere(), audioContext };
  await byHand(async (deadlines) => {
    const refused = assert.rejects(new Call(options).connect(), { code: "audio_unavailable", retryable: true, message: /TimeoutError/ });
    await until(() => asked.length === 1, "it is asked for");
    deadlines.at(-1)!.pass();
    await refused;
  });
  await (await VoiceClient.connect(options)).close();
  assert.equal(new Set(asked).size, 2, asked.join());
  assert.deepEqual(browser.left().tracks, 0);
});

test("glue that never comes is given up after 30 s, too", async () => {
  await byHand(async (deadlines) => {
    const workletUrl = `data:text/javascript,${encodeURIComponent("await new Promise(() => undefined);")}`;
    const refused = assert.rejects(new Call({ ...OPTIONS, wasmUrl: elsewhere(), workletUrl }).connect(), TIMED_OUT);
    await until(() => deadlines.length > 2, "it is waited for");
    deadlines[2]!.pass();
    await refused;
  });
});

test("where no Worker starts the engine runs on the page, which is told with the reason, and ends with the call", async () => {
  browser.hasNoWorker = true;
  const errors: string[] = [];
  const call = new Call({ ...OPTIONS, onError: ({ code, message }) => errors.push(`${code}: ${message}`) });
  await call.connect();
  assert.equal(call.engine, "page");
  assert.equal(errors.length, 1);
  assert.match(errors[0]!, /^worker_unavailable: .*no Worker/);
  assert.equal(call.snapshot.error, undefined, "it is connected all the same");
  assert.equal(browser.left().workers, 0);
  await call.close();
  assert.deepEqual(browser.pageEngines.map(({ isFreed }) => isFreed), [true]);
  assert.deepEqual(browser.left(), NOTHING);
});

test("a Worker that cannot be sent what it needs is ended, and so is the wait for it", async () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  const { postMessage } = Worker.prototype;
  Worker.prototype.postMessage = () => {
    throw new DOMException("no WebAssembly can be sent", "DataCloneError");
  };
  try {
    let cause = "";
    const call = new Call({ ...OPTIONS, microphone: false, onError: ({ message }) => (cause = message) });
    await call.connect();
    assert.match(cause, /DataCloneError: no WebAssembly can be sent/);
    assert.deepEqual([call.engine, browser.workers.length, browser.left().workers], ["page", 1, 0]);
    await call.close();
  } finally {
    Worker.prototype.postMessage = postMessage;
  }
  await until(() => browser.left().contexts === 0, "its context is closed");
  assert.ok(timers() <= before, "no timer is left, whose end nobody would hear");
});

test("where no Worker is wanted none is tried, and nobody is told", async () => {
  const call = new Call({ ...OPTIONS, worker: "never", onError: (error) => assert.fail(error) });
  await call.connect();
  assert.deepEqual([call.engine, browser.workers.length], ["page", 0]);
  await call.close();
});

test("a Worker that is hung up while it starts is ended at once, and no other way is tried", async () => {
  browser.workerMs = 50;
  const call = new Call(OPTIONS);
  const connecting = assert.rejects(call.connect(), { code: "call_over" });
  await until(() => browser.workers.length === 1, "it starts");
  void call.close();
  await connecting;
  assert.deepEqual(browser.left(), NOTHING);
  assert.deepEqual([browser.workers.length, browser.pageEngines.length], [1, 0]);
});
