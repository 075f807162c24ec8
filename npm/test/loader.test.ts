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
    [() => new Response("", { status: 404 }), /answered 404/],
    [() => html.clone(), /is a web page/],
    [() => new Response("PK\u0003\u0004", { headers: { "content-type": "application/octet-stream" } }), /is not WebAssembly/],
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

test("a file that never comes is given up after 30 s, and the next call asks for it again", async () => {
  const { timeout } = AbortSignal;
  const wasmUrl = elsewhere();
  const deadlines: (readonly [ms: number, controller: AbortController])[] = [];
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController();
    deadlines.push([ms, controller]);
    return controller.signal;
  };
  try {
    browser.answers = () => new Promise(() => undefined);
    const calls = [new Call({ ...OPTIONS, wasmUrl }), new Call({ ...OPTIONS, wasmUrl })];
    const refused = calls.map((call) => assert.rejects(call.connect(), { code: "engine_unavailable", message: /TimeoutError: signal timed out/ }));
    await until(() => deadlines.length > 0, "it is being loaded");
    assert.deepEqual(deadlines.map(([ms]) => ms), [30_000], "once for both");
    deadlines[0]![1].abort(new DOMException("signal timed out", "TimeoutError"));
    await Promise.all(refused);
    browser.answers = async () => wasm("application/wasm");
    await (await VoiceClient.connect({ ...OPTIONS, wasmUrl })).close();
  } finally {
    AbortSignal.timeout = timeout;
  }
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
  await until(() => browser.left().contexts === 0, "its context is closed");
  assert.deepEqual(browser.left(), NOTHING);
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
