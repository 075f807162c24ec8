// Voice activity on the page: who gets it, and what becomes of a call that cannot have it.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import type { ConnectOptions } from "../src/options.js";
import { NOTHING, OPTIONS, browser, until, wasm } from "./support/browser.js";

beforeEach(() => browser.reset());

/** Makes a call whose `voice.wasm` is answered like this. */
async function made(options: Partial<ConnectOptions>, answer: () => Promise<Response> = async () => wasm("application/wasm")) {
  const asked: string[] = [];
  const warned: string[] = [];
  const errors: string[] = [];
  const signals: (AbortSignal | null | undefined)[] = [];
  browser.answers = async (url, signal) => {
    asked.push(url);
    if (!url.includes("voice")) return wasm("application/wasm");
    signals.push(signal);
    return answer();
  };
  const call = new Call({ ...OPTIONS, voiceUrl: "/voice.wasm", logger: { warn: (words) => warned.push(words) }, onError: ({ code }) => errors.push(code), ...options });
  await call.connect();
  const given = (): unknown[][] => browser.engine.sent.filter(([name]) => name === "voice");
  return { call, asked, warned, errors, given, signals };
}

test("a call that does not ask for voice activity fetches none of it", async () => {
  for (const options of [{}, { voiceActivity: false }]) {
    const { call, asked, given } = await made(options);
    await call.close();
    assert.deepEqual([asked.filter((url) => url.includes("voice")), given()], [[], []]);
  }
});

test("a call that asks for it gives its engine the compiled module", async () => {
  const { call, asked, given, warned } = await made({ voiceActivity: true });
  await until(() => given().length > 0, "the engine has it");
  assert.ok(given()[0]![1] instanceof WebAssembly.Module);
  await call.close();
  assert.deepEqual([asked.filter((url) => url === "/voice.wasm").length, given().length, warned], [1, 1, []]);
});

test("a call whose voice activity does not load goes on without it, and says why to the logger alone", async () => {
  for (const [answer, words] of [
    [async () => new Response("", { status: 404 }), /no voice activity: Error: \/voice\.wasm answered 404/],
    [
      async () => new Response(new ReadableStream<Uint8Array<ArrayBuffer>>({ start: (page) => page.enqueue(Uint8Array.of(60)) })),
      /no voice activity: Error: \/voice\.wasm answered 200 with null, not WebAssembly/,
    ],
    [async () => Promise.reject(new TypeError("Failed to fetch")), /no voice activity: TypeError: Failed to fetch/],
  ] as const) {
    const { call, errors, warned, given, signals } = await made({ voiceActivity: true }, answer);
    await until(() => warned.length > 0, "it is noted");
    assert.match(warned[0]!, words);
    assert.deepEqual(signals.map((signal) => signal?.aborted), [true], "it is no longer fetched");
    assert.deepEqual([call.state, call.snapshot.error, errors, given()], ["connected", undefined, [], []]);
    await call.close();
  }
});

test("a call is not kept waiting by voice activity, and what comes when the call is over is nobody's", async () => {
  let come = (_: Response): void => undefined;
  const { call, given, signals, warned } = await made({ voiceActivity: true }, () => new Promise((resolve) => (come = resolve)));
  assert.equal(call.state, "connected");
  assert.deepEqual(signals.map((signal) => signal?.aborted), [false]);
  await call.close();
  assert.deepEqual([signals.map((signal) => signal?.aborted), warned], [[true], []], "it is no longer fetched");
  come(wasm("application/wasm"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([given(), browser.left(), browser.reported], [[], NOTHING, []]);
});
