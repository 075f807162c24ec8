// Every option of the public API, with values of every type that it may not have.

import assert from "node:assert/strict";
import { test } from "node:test";

import { VoiceClient } from "../src/client.js";
import type { AssetOptions, ConnectOptions, EventOptions } from "../src/options.js";
import { type May, VALUES } from "./support/values.js";

const OPTIONAL = ["undefined"];
const ADDRESS = [...OPTIONAL, "text"];

const ASSETS: Record<keyof AssetOptions, May> = { wasmUrl: ADDRESS, voiceUrl: ADDRESS, httpUrl: ADDRESS, workerUrl: ADDRESS, workletUrl: ADDRESS, worker: OPTIONAL };

const OPTIONS: Record<Exclude<keyof ConnectOptions, keyof EventOptions>, May> & Record<`on${string}`, May> = {
  ...ASSETS,
  url: ["text"],
  token: ["function"],
  microphone: [...OPTIONAL, "false", "object", "circular"],
  speaker: [...OPTIONAL, "empty", "text"],
  wakeLock: [...OPTIONAL, "true", "false"],
  voiceActivity: [...OPTIONAL, "true", "false"],
  chunkMs: OPTIONAL,
  bufferSeconds: [...OPTIONAL, "five"],
  giveUpAfterMs: [...OPTIONAL, "five"],
  audioContext: OPTIONAL,
  output: OPTIONAL,
  conversation: [...OPTIONAL, "empty", "text"],
  transport: OPTIONAL,
  agent: [...OPTIONAL, "empty", "text"],
  tools: [...OPTIONAL, "object"],
  signal: OPTIONAL,
  logger: [...OPTIONAL, "object", "array", "texts", "date", "map", "circular"],
  onState: [...OPTIONAL, "function"],
  onTranscript: [...OPTIONAL, "function"],
};

const ANY_OBJECT = ["object", "date", "map", "circular"];

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
      assert.throws(() => new VoiceClient(GOOD)[method](name as never, listener), { name: "TypeError", message: /^`name` is "/ });
    }
  }
  const error = await refusal(() => VoiceClient.connect({ ...GOOD, onNope: listener } as never));
  isInWords(error, "onNope", "onNope");
  // The names are exact.
  isInWords(await refusal(() => VoiceClient.connect({ ...GOOD, onstate: listener } as never)), "onstate", "onstate");
  isInWords(await refusal(() => VoiceClient.connect({ ...GOOD, onToolcall: listener } as never)), "onToolcall", "onToolcall");
  assert.equal(await refusal(() => VoiceClient.connect({ ...GOOD, onNope: undefined } as never)), undefined);
});

test("constraints that getUserMedia would take for none are refused", async () => {
  for (const microphone of [{ audio: true }, { audio: { deviceId: "a" }, video: false }]) {
    isInWords(await refusal(() => VoiceClient.connect({ ...GOOD, microphone } as never)), "microphone", JSON.stringify(microphone));
  }
});
