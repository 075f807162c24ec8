// Every option and every argument of the public API, with values of every type that it may not have.

import assert from "node:assert/strict";
import { test } from "node:test";

import { VoiceClient } from "../src/client.js";
import type { AssetOptions, ConnectOptions, EventOptions } from "../src/options.js";

/** One of each type; a parameter refuses all of them but those that it says may be. */
const VALUES: Record<string, unknown> = {
  undefined: undefined,
  null: null,
  true: true,
  false: false,
  zero: 0,
  five: 5,
  negative: -1,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  bigint: 5n,
  symbol: Symbol("s"),
  empty: "",
  blank: " \t",
  text: "x",
  object: {},
  array: [],
  texts: ["x"],
  function: () => undefined,
  date: new Date(0),
  map: new Map(),
  // Nothing that has to be written out, as JSON has.
  circular: Object.defineProperty({}, "self", { get() { return this; }, enumerable: true }),
};

/** What a parameter may be, of these values. */
type May = readonly (keyof typeof VALUES)[];

const OPTIONAL = ["undefined"];
const ADDRESS = [...OPTIONAL, "text"];

const ASSETS: Record<keyof AssetOptions, May> = { wasmUrl: ADDRESS, workerUrl: ADDRESS, workletUrl: ADDRESS, worker: OPTIONAL };

const OPTIONS: Record<Exclude<keyof ConnectOptions, keyof EventOptions>, May> & Record<`on${string}`, May> = {
  ...ASSETS,
  url: ["text"],
  token: ["function"],
  microphone: [...OPTIONAL, "false", "object", "circular"],
  chunkMs: OPTIONAL,
  bufferSeconds: [...OPTIONAL, "five"],
  giveUpAfterMs: [...OPTIONAL, "five"],
  audioContext: OPTIONAL,
  output: OPTIONAL,
  conversation: [...OPTIONAL, "empty", "text"],
  agent: [...OPTIONAL, "empty", "text"],
  tools: [...OPTIONAL, "object"],
  signal: OPTIONAL,
  onState: [...OPTIONAL, "function"],
  onTranscript: [...OPTIONAL, "function"],
};

const FLAG = [...OPTIONAL, "true", "false"];
const TEXT = ["empty", "blank", "text"];
const ANY_OBJECT = ["object", "date", "map", "circular"];

/** Each method, with an argument that is right for each of its parameters, and what else each may be. */
const METHODS: Record<string, readonly (readonly [right: unknown, may: May])[]> = {
  on: [["state", []], [() => undefined, ["function"]]],
  once: [["state", []], [() => undefined, ["function"]]],
  off: [["state", []], [() => undefined, ["function"]]],
  mute: [[true, FLAG]],
  sendText: [["a", TEXT]],
  say: [["a", TEXT], [{}, [...OPTIONAL, ...ANY_OBJECT]]],
  addContext: [["a", TEXT]],
  setVariables: [[{ a: "b" }, ["object"]]],
  sendToolResult: [["a", TEXT], ["b", TEXT], [{}, [...OPTIONAL, ...ANY_OBJECT]]],
  registerTool: [["a", TEXT], [() => undefined, ["function"]]],
  correct: [[1, ["zero", "five"]], ["a", TEXT]],
  interrupt: [],
  feedback: [[{ rating: 5 }, ANY_OBJECT]],
  setMicrophone: [["a", [...OPTIONAL, ...TEXT]]],
  close: [],
  simulateOutage: [[1, ["zero", "five"]]],
};

/** Everything that a call does outside itself before it is up. */
const done: string[] = [];
const spy = (name: string) => () => {
  done.push(name);
  return new Promise(() => undefined);
};
Object.assign(globalThis, {
  location: new URL("https://app.example.com/page?a#b"),
  isSecureContext: true,
  fetch: spy("fetch"),
  MediaStream: class {},
});
Object.defineProperty(globalThis, "navigator", {
  value: { mediaDevices: { getUserMedia: spy("getUserMedia") } },
  configurable: true,
});

const GOOD = { url: "wss://voice.example.com/v1/call", token: () => "a.b.c" };

/** Why a call with these options does not begin; nothing if it does. */
async function refusal(connect: () => Promise<unknown>): Promise<Error | undefined> {
  done.length = 0;
  const begun = Symbol("begun");
  try {
    const first = await Promise.race([connect(), new Promise((resolve) => setTimeout(resolve, 0, begun))]);
    assert.equal(first, begun);
  } catch (thrown) {
    // It has begun, but there is no worker.js here.
    if ((thrown as { code?: unknown }).code === "engine_unavailable") return undefined;
    assert.deepEqual(done, [], "nothing is loaded or opened before");
    return thrown as Error;
  }
  return undefined;
}

function isInWords(error: unknown, name: string, said: string): void {
  assert.ok(error instanceof TypeError || error instanceof RangeError, `${said}: ${String(error)}`);
  assert.ok(error.message.startsWith(`\`${name}\` is `) && error.message.includes(", not "), `${said}: ${error.message}`);
}

/** A call whose engine is this test. */
function call(): { made: VoiceClient; sent: unknown[]; hear: (report: object) => void } {
  const sent: unknown[] = [];
  const port = { postMessage: (command: unknown) => sent.push(command), close: () => undefined, onmessage: (_: object) => undefined };
  const hear = (report: object) => port.onmessage({ data: JSON.stringify(report) });
  const made = Reflect.construct(VoiceClient, [GOOD, { place: "page", port, stop: () => undefined }]) as VoiceClient;
  return { made, sent, hear };
}

test("every option of every wrong type is refused by name before anything is loaded or opened", async () => {
  for (const [name, may] of Object.entries(OPTIONS)) {
    for (const [kind, value] of Object.entries(VALUES)) {
      const error = await refusal(() => VoiceClient.connect({ ...GOOD, [name]: value } as never));
      if (may.includes(kind)) assert.equal(error, undefined, `${name}: ${kind}`);
      else isInWords(error, name, `${name}: ${kind}`);
    }
  }
  for (const [name, may] of Object.entries(ASSETS)) {
    for (const [kind, value] of Object.entries(VALUES)) {
      const error = await refusal(() => VoiceClient.preload({ [name]: value } as never));
      if (may.includes(kind)) assert.equal(error, undefined, `${name}: ${kind}`);
      else isInWords(error, name, `preload, ${name}: ${kind}`);
    }
  }
});

test("options that are none are refused", async () => {
  for (const [kind, value] of Object.entries(VALUES)) {
    if (ANY_OBJECT.includes(kind)) continue;
    isInWords(await refusal(() => VoiceClient.connect(value as never)), "options", kind);
    if (value !== undefined) isInWords(await refusal(() => VoiceClient.preload(value as never)), "options", kind);
  }
});

test("an address that no socket can have is refused", async () => {
  for (const url of ["wss://voice.example.com/v1/call#a", "/v1/call#", "#", "ftp://example.com", "javascript:1", "localhost:8080/v1/call", "http://["]) {
    isInWords(await refusal(() => VoiceClient.connect({ ...GOOD, url })), "url", url);
    isInWords(await refusal(() => VoiceClient.connect({ ...GOOD, url, wasmUrl: "http://[" })), "url", url);
  }
  for (const url of [new URL("https://voice.example.com/v1/call"), "/v1/call", "//voice.example.com", "?a"]) {
    assert.equal(await refusal(() => VoiceClient.connect({ ...GOOD, url })), undefined, String(url));
  }
});

test("a listener of an event that there is not is refused", async () => {
  const listener = (): void => undefined;
  for (const name of ["nope", "State", "toString", "__proto__"]) {
    for (const method of ["on", "once", "off"] as const) {
      assert.throws(() => call().made[method](name as never, listener), { name: "TypeError", message: /^`name` is "/ });
    }
  }
  const error = await refusal(() => VoiceClient.connect({ ...GOOD, onNope: listener } as never));
  isInWords(error, "onNope", "onNope");
  assert.equal(await refusal(() => VoiceClient.connect({ ...GOOD, onNope: undefined } as never)), undefined);
});

test("constraints that getUserMedia would take for none are refused", async () => {
  for (const microphone of [{ audio: true }, { audio: { deviceId: "a" }, video: false }]) {
    isInWords(await refusal(() => VoiceClient.connect({ ...GOOD, microphone } as never)), "microphone", JSON.stringify(microphone));
  }
});

test("every argument of every wrong type is refused by name, and nothing of it reaches the engine", async () => {
  const methods = Object.entries(Object.getOwnPropertyDescriptors(VoiceClient.prototype))
    .filter(([name, { value }]) => name !== "constructor" && typeof value === "function")
    .map(([name]) => name);
  assert.deepEqual([...methods, "on", "once", "off"].sort(), Object.keys(METHODS).sort(), "each method has its line");
  for (const [method, parameters] of Object.entries(METHODS)) {
    for (const [index, [, may]] of parameters.entries()) {
      for (const [kind, value] of Object.entries(VALUES)) {
        const said = `${method}, argument ${index}: ${kind}`;
        const { made, sent } = call();
        const args = parameters.map(([right], at) => (at === index ? value : right));
        let error: unknown;
        try {
          const result: unknown = Reflect.apply(Reflect.get(made, method), made, args);
          const pending = new Promise((resolve) => setTimeout(resolve, 0));
          if (result instanceof Promise) await Promise.race([result, pending]);
          else if (method === "simulateOutage") (result as () => void)();
        } catch (thrown) {
          error = thrown;
        }
        // A call that is not up has no microphone to change: that comes after the argument.
        const isTaken = error === undefined || /there is no call/.test(String(error));
        assert.equal(isTaken, may.includes(kind), `${said}: ${String(error)}`);
        if (isTaken) continue;
        assert.ok(error instanceof TypeError || error instanceof RangeError, `${said}: ${String(error)}`);
        assert.match(error.message, /^`[\w.]+` is .+, not /, said);
        assert.deepEqual(sent, [], said);
      }
    }
  }
});

test("what stands in an argument is looked at, too", async () => {
  const { made, sent } = call();
  await assert.rejects(made.setVariables({ plan: 1 } as never), { name: "TypeError", message: /^`variables.plan` is 1, not a text/ });
  for (const value of ["yes", 1, null, {}]) {
    await assert.rejects(made.say("a", { interrupt: value } as never), { name: "TypeError", message: /^`interrupt` is / });
    await assert.rejects(made.sendToolResult("a", "b", { isError: value } as never), { name: "TypeError", message: /^`isError` is / });
  }
  for (const rating of [0, 6, 2.5, Number.NaN]) {
    await assert.rejects(made.feedback({ rating }), { name: "RangeError", message: /^`rating` is .+, not (1 to 5|a whole number)$/ });
  }
  await assert.rejects(made.feedback({ comment: 5 } as never), { name: "TypeError", message: /^`comment` is 5, not a text/ });
  assert.deepEqual(sent, []);
});

test("a registered tool answers the agent, and who takes one back does not take back another of its name", async () => {
  const { made, sent, hear } = call();
  const stop = made.registerTool("look", ({ at }) => `old ${at}`);
  hear({ type: "toolCall", callId: "first", name: "look", arguments: '{"at":8}' });
  await new Promise((resolve) => setTimeout(resolve, 0));
  made.registerTool("look", () => "new");
  stop();
  hear({ type: "toolCall", callId: "second", name: "look", arguments: "{}" });
  await new Promise((resolve) => setTimeout(resolve, 0));
  const results = sent.map((command) => JSON.parse((command as [string, number, string])[2]));
  assert.deepEqual(results, [
    { type: "tool_result", call_id: "first", output: "old 8", is_error: false },
    { type: "tool_result", call_id: "second", output: "new", is_error: false },
  ]);
});
