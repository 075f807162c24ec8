// A call as an object: what it shows, whom it tells, and when.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import { VoiceClient } from "../src/client.js";
import { VoxrelayError } from "../src/error.js";
import type { ConnectOptions } from "../src/options.js";
import { NOTHING, OPTIONS, SESSION, browser, until } from "./support/browser.js";

beforeEach(() => browser.reset());

function make(options: Partial<ConnectOptions> = {}): Call {
  return new Call({ ...OPTIONS, ...options });
}

/** A call that is up. */
async function connected(options: Partial<ConnectOptions> = {}): Promise<Call> {
  const call = make(options);
  await call.connect();
  return call;
}

const said = (turn: number, text: string, last = false, role: "user" | "agent" = "user") =>
  ({ type: "transcript", turn, role, text, last, start: 0, end: 1 }) as const;

/** Every object in it, itself included, but the levels and errors. */
function parts(value: unknown): object[] {
  if (typeof value !== "object" || value === null || value instanceof Error || "subscribe" in value) return [];
  return [value, ...Object.values(value).flatMap(parts)];
}

test("a call that was only made has loaded, opened and asked for nothing", async () => {
  let asked = 0;
  const call = make({ token: () => `${++asked}` });
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(call.state, "idle");
  assert.deepEqual([browser.workers, browser.tracks, browser.contexts, asked], [[], [], [], 0]);
  assert.deepEqual(browser.left(), NOTHING);
});

test("options are checked when a call is made", () => {
  assert.throws(() => new Call({ ...OPTIONS, chunkMs: 5 }), { name: "RangeError", message: /`chunkMs`/ });
  assert.throws(() => new Call({ ...OPTIONS, onstate: () => undefined } as never), { name: "TypeError", message: /`onstate`/ });
});

test("a call can be made where there is no browser", () => {
  const { MediaStream, location } = globalThis;
  try {
    for (const name of ["MediaStream", "location"]) Reflect.deleteProperty(globalThis, name);
    assert.equal(new Call({ ...OPTIONS, url: "/v1/call", microphone: {} }).snapshot.state, "idle");
  } finally {
    Object.assign(globalThis, { MediaStream, location });
  }
});

test("connecting twice is one call and one promise, and once it is over it is refused as that", async () => {
  const call = make();
  const first = call.connect();
  assert.equal(call.connect(), first);
  await first;
  assert.equal(call.connect(), first);
  await call.close();
  await assert.rejects(call.connect(), { code: "call_over", retryable: false });
  assert.equal(browser.workers.length, 1);
});

test("a call that is being hung up is not begun again", async () => {
  const call = await connected();
  const closing = call.close();
  assert.equal(call.state, "connected", "the engine has not answered yet");
  await assert.rejects(call.connect(), { code: "call_over" });
  await closing;
});

test("a muted, held or ended call is silent in its levels, whatever was measured before and comes late", async () => {
  const call = await connected();
  const loud = { type: "level", inputRms: 1e6, inputPeak: 1e6, outputRms: 1e6, outputPeak: 1e6 } as const;
  const levels = (): number[] => [call.levels.input, call.levels.output];
  const measures = async (): Promise<void> => {
    browser.engine.say(loud, { type: "rtt", us: 5 });
    await new Promise((resolve) => call.once("rtt", resolve));
  };
  for (const [quiet, loudly, expected] of [
    [() => call.mute(), () => call.mute(false), [-100, 0]],
    [() => call.hold(), () => call.hold(false), [-100, -100]],
    [() => call.setMicrophone(false), () => call.setMicrophone(), [-100, 0]],
  ] as const) {
    await measures();
    assert.deepEqual(levels(), [0, 0]);
    let told = 0;
    const stop = call.levels.subscribe(() => void (told += 1));
    await quiet();
    await Promise.resolve();
    assert.deepEqual(levels(), expected);
    assert.ok(told > 0, "who listens to them is told");
    await measures();
    assert.deepEqual(levels(), expected, "what was on its way");
    stop();
    await loudly();
  }
  await measures();
  await call.close();
  assert.deepEqual(levels(), [-100, -100]);
});

test("a call that is over shows no microphone and no agent that speaks, however it ends", async () => {
  for (const end of [(call: Call) => void call.close(), () => browser.engine.ends("budget", 4402), () => browser.engine.say({ type: "broke", cause: "it panicked" })]) {
    browser.reset();
    const call = await connected();
    browser.engine.say({ type: "agent", state: "speaking" });
    await until(() => call.snapshot.agent === "speaking", "the agent speaks");
    assert.equal(call.snapshot.devices.microphone?.live, true);
    end(call);
    await until(() => call.state === "closed", "it is over");
    assert.deepEqual([call.snapshot.agent, call.snapshot.devices.microphone], [undefined, undefined]);
    await call.close();
  }
});

test("an outage that is simulated is over with the call, and a later one takes the place of the one before", async () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const call = await connected();
  const before = timers();
  call.simulateOutage(2e9);
  call.simulateOutage(2e9);
  assert.equal(timers(), before + 1);
  await call.close();
  assert.equal(browser.left().contexts, 0);
  assert.ok(timers() < before + 1, "no timer is left");
});

test("of what a user thinks of a call the last word is the last to arrive, however long each takes", async () => {
  const tokens: ((token: string) => void)[] = [];
  const posted: unknown[] = [];
  const call = await connected({ token: () => new Promise((resolve) => tokens.push(resolve)) });
  const { fetch } = globalThis;
  globalThis.fetch = (async (_: unknown, { body }: RequestInit) => {
    posted.push(JSON.parse(String(body)).rating);
    return new Response(null, { status: posted.length === 1 ? 503 : 204 });
  }) as typeof globalThis.fetch;
  try {
    const up = assert.rejects(call.feedback({ rating: 5 }), { code: "link_lost" });
    const down = call.feedback({ rating: 1 });
    await until(() => tokens.length > 0, "a token is asked for");
    tokens.at(-1)!("a.b.c");
    await up;
    await until(() => tokens.length === 2, "and another one");
    tokens.at(-1)!("a.b.c");
    await down;
    assert.deepEqual(posted, [5, 1]);
  } finally {
    globalThis.fetch = fetch;
  }
  await call.close();
});

test("what a user thinks of a call waits 10 s for a token, and no longer keeps what is said later", async () => {
  const { timeout } = AbortSignal;
  const late = new AbortController();
  const waited: number[] = [];
  AbortSignal.timeout = (ms) => (waited.push(ms), ms === 10_000 ? late.signal : timeout.call(AbortSignal, ms));
  const call = await connected({ token: () => (late.signal.aborted ? "a.b.c" : new Promise(() => undefined)) });
  try {
    const first = assert.rejects(call.feedback({ rating: 1 }), { name: "TimeoutError" });
    await until(() => waited.includes(10_000), "the token is waited for");
    browser.answers = async () => new Response(null, { status: 403 });
    const second = assert.rejects(call.feedback({ rating: 5 }), VoxrelayError);
    late.abort(new DOMException("signal timed out", "TimeoutError"));
    AbortSignal.timeout = timeout;
    await Promise.all([first, second]);
  } finally {
    AbortSignal.timeout = timeout;
  }
  await call.close();
});

test("a snapshot is the same object until something of it changes, and each part until that changes", async () => {
  const call = await connected();
  const { engine } = browser;
  engine.say(said(1, "a"), { type: "agent", state: "listening" });
  await until(() => call.snapshot.agent === "listening", "the agent listens");
  const before = call.snapshot;
  assert.equal(call.snapshot, before);
  // What says the same again, and what no snapshot has.
  engine.say({ type: "agent", state: "listening" }, { type: "level", inputRms: 1e5, inputPeak: 1e5, outputRms: 0, outputPeak: 0 }, { type: "rtt", us: 5 });
  await new Promise((resolve) => call.once("rtt", resolve));
  assert.equal(call.snapshot, before);
  engine.say(said(2, "b", false, "agent"));
  await until(() => call.snapshot !== before, "there is another");
  assert.equal(call.snapshot.session, before.session);
  assert.equal(call.snapshot.captions[0], before.captions[0]);
  assert.equal(before.captions.length, 1);
  await call.close();
});

test("a snapshot and all that is in it is frozen, at every moment of a call", async () => {
  const call = make();
  const seen = [call.snapshot];
  call.subscribe(() => seen.push(call.snapshot));
  await call.connect();
  browser.engine.say(said(1, "a"), { type: "usage", audioMs: 1, tokens: 2, characters: 3, costNanoUsd: 4, leftNanoUsd: 5 });
  await until(() => call.usage.tokens === 2, "usage is told");
  call.mute();
  await call.close();
  assert.ok(seen.length > 5);
  for (const snapshot of seen) for (const part of parts(snapshot)) assert.ok(Object.isFrozen(part), JSON.stringify(part));
});

test("subscribers are told after a change, once for all of a task, and never inside a call of anybody", async () => {
  const call = await connected();
  await Promise.resolve();
  let depth = 0;
  const told: boolean[] = [];
  call.subscribe(() => {
    assert.equal(depth, 0);
    depth += 1;
    told.push(call.muted);
    // Changes it again: that is told afterwards.
    if (told.length === 1) call.mute(true);
    depth -= 1;
  });
  depth += 1;
  call.mute(true);
  call.mute(false);
  call.mute(true);
  call.mute(false);
  assert.deepEqual(told, []);
  depth -= 1;
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(told, [false, true]);
  await call.close();
});

test("subscribers are told in the order in which they came; one taken out inside another is not called, one added waits for the next change", async () => {
  const call = await connected();
  await Promise.resolve();
  const told: string[] = [];
  call.subscribe(() => {
    told.push("first");
    stop();
    if (told.length === 1) call.subscribe(() => told.push("late"));
  });
  const stop = call.subscribe(() => told.push("second"));
  call.subscribe(() => told.push("third"));
  call.mute();
  await Promise.resolve();
  assert.deepEqual(told.splice(0), ["first", "third"]);
  call.mute(false);
  await Promise.resolve();
  assert.deepEqual(told, ["first", "third", "late"]);
  await call.close();
});

test("a function that subscribes twice stops each by itself", async () => {
  const call = make();
  let told = 0;
  const listener = (): void => void (told += 1);
  const stop = call.subscribe(listener);
  call.subscribe(listener);
  stop();
  stop();
  call.mute();
  await Promise.resolve();
  assert.equal(told, 1);
});

test("a subscriber that throws is reported and disturbs nobody", async () => {
  const call = await connected();
  await Promise.resolve();
  const mistake = new Error("mine");
  let heard = 0;
  call.subscribe(() => {
    throw mistake;
  });
  call.subscribe(() => void (heard += 1));
  call.mute();
  await Promise.resolve();
  assert.equal(heard, 1);
  assert.deepEqual(browser.reported, [mistake]);
  await call.close();
});

test("a call that is closed inside a listener is closed, and what it said until then reached everybody", async () => {
  const call = make();
  const heard: string[] = [];
  call.subscribe(() => {
    if (call.state === "connected") void call.close();
  });
  call.on("ended", ({ reason }) => heard.push(reason));
  await assert.rejects(call.connect(), { code: "call_over" });
  await until(() => call.state === "closed", "it is closed");
  await call.close();
  assert.deepEqual(heard, ["normal"]);
  assert.deepEqual(browser.left(), NOTHING);
});

test("subscribe and levels need no this and are always the same", () => {
  const call = make();
  const { subscribe, levels } = call;
  assert.equal(call.subscribe, subscribe);
  assert.equal(call.levels, levels);
  assert.equal(call.snapshot.levels, levels);
  assert.throws(() => subscribe(5 as never), { name: "TypeError", message: /`listener` is 5/ });
  subscribe(() => undefined)();
  levels.subscribe(() => undefined)();
});

test("levels have listeners of their own", async () => {
  const call = await connected();
  await Promise.resolve();
  let changes = 0;
  call.subscribe(() => void (changes += 1));
  const heard = new Promise((resolve) => call.levels.subscribe(() => resolve(null)));
  browser.engine.say({ type: "level", inputRms: 1e6, inputPeak: 1e6, outputRms: 1e5, outputPeak: 1e5 });
  await heard;
  assert.deepEqual([call.levels.input, call.levels.output, changes], [0, -20, 0]);
  await call.close();
});

test("the engine is told whether anybody looks at the levels, since 20 a second cost the page something", async () => {
  const call = await connected();
  const { engine } = browser;
  const level = { type: "level", inputRms: 1e6, inputPeak: 1e6, outputRms: 0, outputPeak: 0 } as const;
  const told: unknown[] = [];
  engine.on("watchLevels", (watched) => told.push(watched));
  const is = (...expected: boolean[]): Promise<void> => until(() => String(told) === String(expected), `it is told ${expected}`);
  const levels = async (count: number): Promise<void> => {
    engine.say(...Array.from({ length: count }, () => level), { type: "rtt", us: 5 });
    await new Promise((resolve) => call.once("rtt", resolve));
  };
  await levels(30);
  const stop = call.levels.subscribe(() => undefined);
  await levels(30);
  await is(true);
  stop();
  await levels(1);
  await is(true, false);
  // To look is as good as to listen, for a while.
  call.levels.input;
  await levels(10);
  await is(true, false, true);
  call.levels.input;
  await levels(30);
  await is(true, false, true, false);
  const off = call.on("level", () => undefined);
  await levels(1);
  await is(true, false, true, false, true);
  off();
  await levels(1);
  await is(true, false, true, false, true, false);
  await call.close();
});

test("captions are one a turn and role in the order in which they began, and a correction takes the place of what it corrects", async () => {
  const call = await connected();
  const { engine } = browser;
  engine.say(said(1, "I wan"), said(2, "Yes", true, "agent"), said(1, "I want tee", true), said(1, "I want tea", true));
  await until(() => call.snapshot.captions[0]?.text === "I want tea", "it is corrected");
  assert.deepEqual(
    call.snapshot.captions.map(({ turn, role, text, last, sessionId }) => [turn, role, text, last, sessionId]),
    [
      [1, "user", "I want tea", true, "s1"],
      [2, "agent", "Yes", true, "s1"],
    ],
  );
  // A session that could not be resumed: another counts its turns from the beginning.
  engine.say({ ...SESSION, sessionId: "s2" }, said(1, "again"));
  await until(() => call.snapshot.captions.length === 3, "there are three");
  assert.deepEqual(call.snapshot.captions.map(({ text }) => text), ["I want tea", "Yes", "again"]);
  await call.close();
});

test("a caption whose words come late stands where its turn began, and goes when nothing was said", async () => {
  const call = await connected();
  const { engine } = browser;
  const shown = (): string[] => call.snapshot.captions.map(({ turn, text }) => `${turn} ${text}`);
  engine.say(said(0, "Hello", true), said(3, "typed", true), said(4, "Yes", true, "agent"), said(2, "I wan"));
  await until(() => call.snapshot.captions.length === 4, "all have come");
  assert.deepEqual(shown(), ["0 Hello", "2 I wan", "3 typed", "4 Yes"]);
  engine.say(said(5, "uh"), said(2, "", true));
  await until(() => shown().at(-1) === "5 uh", "the next one has begun");
  assert.deepEqual(shown(), ["0 Hello", "3 typed", "4 Yes", "5 uh"]);
  // Another session counts from the beginning, and stands behind; of the one before it what was not over is said anew.
  engine.say({ ...SESSION, sessionId: "s2" }, said(1, "uh huh"), said(0, "Again", true));
  await until(() => call.snapshot.captions.length === 5, "they have come");
  assert.deepEqual(shown(), ["0 Hello", "3 typed", "4 Yes", "0 Again", "1 uh huh"]);
  await call.close();
});

test("what was not over when a relay was lost is not shown beside what takes its place", async () => {
  const call = await connected();
  const { engine } = browser;
  engine.say(said(0, "Hello", true), said(1, "I wan"));
  await until(() => call.snapshot.captions.length === 2, "both are told");
  engine.say({ ...SESSION, epoch: SESSION.epoch + 1 }, said(2, "I want tea", true));
  await until(() => call.snapshot.captions.at(-1)?.turn === 2, "it is heard anew");
  assert.deepEqual(call.snapshot.captions.map(({ text }) => text), ["Hello", "I want tea"]);
  await call.close();
});

test("of more than 500 captions the oldest fall away", async () => {
  const call = await connected();
  for (let turn = 0; turn < 510; turn += 1) browser.engine.say(said(turn, `${turn}`));
  await until(() => call.snapshot.captions.at(-1)?.turn === 509, "all have come");
  assert.equal(call.snapshot.captions.length, 500);
  assert.equal(call.snapshot.captions[0]?.turn, 10);
  await call.close();
});

test("an error stands in the snapshot until what it told of is over", async () => {
  const call = await connected();
  const { engine } = browser;
  const fail = async (code: string): Promise<void> => {
    engine.say({ type: "error", error: { code, message: code, retryable: true, limit: null, retryAfterMs: null } });
    await until(() => call.snapshot.error?.code === code, `${code} is told`);
  };
  await fail("link_lost");
  engine.state("reconnecting", 1);
  await until(() => call.state === "reconnecting", "it is lost");
  assert.deepEqual([call.snapshot.attempt, call.snapshot.retryInMs, call.snapshot.error?.code], [1, 100, "link_lost"]);
  engine.state("connected");
  await until(() => call.snapshot.error === undefined, "it is over");
  assert.deepEqual([call.snapshot.attempt, call.snapshot.retryInMs], [0, 0]);
  await fail("microphone_silent");
  engine.state("reconnecting", 1);
  engine.state("connected");
  engine.say({ type: "level", inputRms: 0, inputPeak: 0, outputRms: 0, outputPeak: 0 });
  await new Promise((resolve) => call.once("level", resolve));
  assert.equal(call.snapshot.error?.code, "microphone_silent", "a connection gives nobody a voice");
  engine.say({ type: "level", inputRms: 9, inputPeak: 9, outputRms: 0, outputPeak: 0 });
  await until(() => call.snapshot.error === undefined, "something is heard");
  await call.close();
});

test("a call is put on hold and taken up again, also before it is made, and who was muted still is", async () => {
  const call = make();
  call.hold();
  assert.equal(call.snapshot.onHold, true);
  await call.connect();
  const sent = (): unknown[] => browser.engine.sent.filter(([name]) => name === "onHold" || name === "mute").splice(0);
  assert.deepEqual(sent(), [["onHold", true], ["mute", true]]);
  call.hold(false);
  call.mute();
  call.hold();
  call.hold(false);
  await until(() => sent().length === 10, "the engine is told");
  assert.deepEqual(sent().slice(2), [["onHold", false], ["mute", false], ["onHold", false], ["mute", true], ["onHold", true], ["mute", true], ["onHold", false], ["mute", true]]);
  assert.deepEqual([call.onHold, call.muted], [false, true]);
  await call.close();
});

test("the microphone in use and whether it is muted is told, also before the call is made", async () => {
  const call = make();
  call.mute();
  assert.deepEqual(call.snapshot.devices, { microphone: undefined, speaker: undefined, muted: true, volume: 1 });
  browser.microphone = "headset";
  await call.connect();
  assert.deepEqual(call.snapshot.devices, {
    microphone: { label: "Microphone headset", deviceId: "headset", live: true, fallback: false },
    speaker: undefined,
    muted: true,
    volume: 1,
  });
  assert.deepEqual(browser.engine.sent.filter(([name]) => name === "mute"), [["mute", true]]);
  await call.close();
});

test("a refused microphone is the error of the promise and of the snapshot, with what the browser threw", async () => {
  const thrown = new DOMException("no", "NotAllowedError");
  browser.asking = () => Promise.reject(thrown);
  const states: string[] = [];
  const call = make({ onState: ({ state }) => states.push(state) });
  const error = await call.connect().catch((error: unknown) => error);
  assert.ok(error instanceof VoxrelayError);
  assert.deepEqual([error.code, error.retryable, error.cause], ["microphone_denied", false, thrown]);
  assert.equal(call.snapshot.error, error);
  assert.deepEqual(states, ["starting", "closed"]);
  assert.deepEqual(browser.left(), NOTHING);
});

test("a call that is hung up while it is made rejects as over, which is no error of the snapshot", async () => {
  browser.asking = () => new Promise(() => undefined);
  const call = make();
  const connecting = assert.rejects(call.connect(), { code: "call_over" });
  await until(() => browser.workers.length === 1, "the engine starts");
  await call.close();
  await connecting;
  assert.equal(call.state, "closed");
  assert.equal(call.snapshot.error, undefined);
  assert.deepEqual(browser.left(), NOTHING);
});

test("a call that was never begun can be closed, and none is begun afterwards", async () => {
  const call = make();
  await call.close();
  assert.equal(call.state, "closed");
  await assert.rejects(call.connect(), { code: "call_over" });
  assert.deepEqual(browser.workers, []);
});

test("an engine that breaks before the call is up rejects it with the words of what broke", async () => {
  browser.asking = async () => {
    browser.engine.say({ type: "broke", cause: "panicked at somewhere" });
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const call = make();
  await assert.rejects(call.connect(), { code: "internal", message: /panicked at somewhere/ });
  assert.match(String(call.snapshot.error), /panicked at somewhere/);
  await until(() => browser.left().contexts === 0, "its context is closed");
  assert.deepEqual(browser.left(), NOTHING);
});

const SIGNED_OUT = Object.assign(new Error("signed out"), { retryable: false });
let isSignedOut = true;

/** A token function that gives up as long as nobody is signed in. */
const token = async (): Promise<string> => {
  if (isSignedOut) throw SIGNED_OUT;
  return "a.b.c";
};

test("a token function that gives up before the call is up is why there is none", async () => {
  isSignedOut = true;
  browser.onengine = (engine) => {
    engine.on("start", () => {
      engine.state("connecting");
      engine.say({ type: "token" });
    });
    engine.on("noToken", () => engine.ends("unauthorized", 4401));
  };
  const told: string[] = [];
  const call = make({ token, onError: ({ code }) => told.push(code), onEnded: ({ reason, code }) => told.push(`${reason} ${code}`) });
  await assert.rejects(call.connect(), { code: "token_unavailable", retryable: false, message: /signed out/, cause: SIGNED_OUT });
  assert.deepEqual([told, call.snapshot.error?.cause], [["token_unavailable", "unauthorized 4401"], SIGNED_OUT]);
  await until(() => browser.left().contexts === 0, "its context is closed");
  assert.deepEqual(browser.left(), NOTHING);
});

test("a token function that gives up while the call is up ends nothing, is told once, and may think better of it", async () => {
  const told: unknown[] = [];
  const call = await connected({ token, onError: ({ code, retryable, cause }) => told.push([code, retryable, cause]) });
  const { engine } = browser;
  const answers: string[] = [];
  for (const name of ["token", "noToken", "tokenFailed", "close"]) engine.on(name, () => answers.push(name));
  const asks = async (): Promise<void> => {
    const before = answers.length;
    engine.say({ type: "token" });
    await until(() => answers.length > before, "it is answered");
  };
  const gaveUp = ["token_unavailable", false, SIGNED_OUT];
  for (const [signedOut, answered, errors] of [
    [true, "noToken", [gaveUp]],
    [true, "noToken", [gaveUp]],
    [false, "token", [gaveUp]],
    [true, "noToken", [gaveUp, gaveUp]],
  ] as const) {
    isSignedOut = signedOut;
    await asks();
    assert.deepEqual([answers.at(-1), told, call.state], [answered, errors, "connected"]);
    assert.equal(call.snapshot.error?.code, signedOut ? "token_unavailable" : undefined);
  }
  // The relay has waited long enough, and the engine finds no way back.
  engine.state("reconnecting", 1);
  await until(() => call.state === "reconnecting", "the connection is away");
  await asks();
  assert.equal(told.length, 3, "it is why there will be no connection");
  await call.close();
});

test("a token function that gives up without a connection ends the call by its engine, which tells what is lost first", async () => {
  for (const state of ["reconnecting", "closing"] as const) {
    browser.reset();
    isSignedOut = true;
    const told: string[] = [];
    const call = await connected({
      token,
      onError: ({ code }) => told.push(code),
      onGap: () => told.push("gap"),
      onUndelivered: () => told.push("undelivered"),
      onEnded: ({ reason, code }) => told.push(`${reason} ${code}`),
    });
    const { engine } = browser;
    // What is said waits for a connection.
    engine.removeAllListeners("close");
    engine.on("noToken", () => {
      engine.say({ type: "gap", position: 0, samples: 16 }, { type: "undelivered", message: { type: "text", text: "a" } });
      engine.ends("unauthorized", 4401);
    });
    const closing = state === "closing" ? call.close() : undefined;
    engine.state(state, 1);
    engine.say({ type: "token" });
    await until(() => call.snapshot.ended !== undefined, "it is over");
    assert.deepEqual(told, ["token_unavailable", "gap", "undelivered", "unauthorized 4401"], state);
    assert.deepEqual([call.state, call.snapshot.error?.code, browser.left().tracks], ["closed", "token_unavailable", 0]);
    await closing;
    await call.close();
    await until(() => browser.left().contexts === 0, "its context is closed");
    assert.deepEqual(browser.left(), NOTHING);
  }
});

test("a call that ended by itself falls silent at once when it is closed, and an abort does the same", async () => {
  for (const how of ["close", "abort"]) {
    browser.reset();
    const controller = new AbortController();
    const call = await connected({ signal: controller.signal });
    browser.engine.ends("budget", 4402);
    await until(() => call.state === "closed", "it has ended");
    assert.equal(browser.left().contexts, 1, "the agent's last words are still to be heard");
    if (how === "close") await call.close();
    else {
      controller.abort();
      await until(() => browser.left().contexts === 0, "the context is closed");
    }
    assert.deepEqual(browser.left(), NOTHING);
  }
});

test("why a call is over stands in its snapshot as the event told it, and nowhere before", async () => {
  const call = await connected();
  const told: unknown[] = [];
  call.on("ended", (ended) => told.push(ended));
  browser.engine.say({ type: "usage", audioMs: 1, tokens: 2, characters: 3, costNanoUsd: 4, leftNanoUsd: 0 });
  await until(() => call.usage.tokens === 2, "usage is told");
  assert.ok(!("reason" in (call.snapshot.ended ?? {})));
  browser.engine.ends("budget", 4402);
  await until(() => call.snapshot.ended !== undefined, "it has ended");
  const { ended } = call.snapshot;
  assert.deepEqual([ended?.reason, ended?.code, ended?.usage], ["budget", 4402, call.usage]);
  assert.deepEqual(told, [ended]);
  await call.close();
  assert.equal(call.snapshot.ended, ended);
});

test("a message before there is a call is refused", async () => {
  await assert.rejects(make().sendText("a"), { name: "TypeError", message: /there is no call yet/ });
});

test("a logger is told of states, sessions, microphones and codes, and of no token and no word", async () => {
  const lines: string[] = [];
  const logger = { info: (line: string) => lines.push(line), warn: (line: string) => lines.push(`! ${line}`) };
  const call = await connected({ logger, token: () => "se.cr.et" });
  browser.engine.say({ type: "token" }, said(1, "my secret word"), {
    type: "error",
    error: { code: "link_lost", message: "secret", retryable: true, limit: null, retryAfterMs: null },
  });
  browser.engine.state("reconnecting", 2);
  await until(() => call.state === "reconnecting", "it is lost");
  await call.close();
  assert.deepEqual(lines, [
    "voxrelay: starting",
    'voxrelay: microphone "Microphone default" is live',
    "voxrelay: connecting",
    "voxrelay: session s1, epoch 1",
    "voxrelay: connected",
    "! voxrelay: link_lost",
    "voxrelay: reconnecting: attempt 2 in 200 ms",
    "voxrelay: closing",
    "voxrelay: closed",
    "voxrelay: ended: normal",
  ]);
});

test("a logger that throws is reported and disturbs no call, and without one nothing is on the console", async () => {
  const { console: real } = globalThis;
  const written: unknown[] = [];
  globalThis.console = new Proxy(real, { get: () => (...args: unknown[]) => written.push(args) });
  try {
    const call = await connected();
    await call.close();
    const mistake = new Error("mine");
    const logger = {
      info: () => {
        throw mistake;
      },
    };
    await (await connected({ logger })).close();
    assert.ok(browser.reported.length > 0 && browser.reported.every((thrown) => thrown === mistake));
  } finally {
    globalThis.console = real;
  }
  assert.deepEqual(written, []);
});

test("the short way gives a call that is up", async () => {
  const call = await VoiceClient.connect(OPTIONS);
  assert.ok(call instanceof Call);
  assert.equal(call.snapshot.state, "connected");
  assert.equal(call.engine, "worker");
  await call.close();
});

test("what the call goes over is told when it changes, in the snapshot, in an event and in the log", async () => {
  const [told, logged]: [string[], string[]] = [[], []];
  const call = await connected({ onTransport: ({ transport }) => told.push(transport), logger: { info: (line) => logged.push(line) } });
  assert.equal(call.snapshot.transport, "websocket");
  const { engine } = browser;
  for (const transport of ["websocket", "http", "http"] as const) engine.say({ type: "transport", transport });
  await until(() => call.snapshot.transport === "http", "it goes over HTTP");
  engine.say({ type: "transport", transport: "websocket" });
  await until(() => call.snapshot.transport === "websocket", "it goes over a WebSocket");
  assert.deepEqual(told, ["http", "websocket"]);
  assert.deepEqual(logged.filter((line) => /over/.test(line)), ["voxrelay: over http", "voxrelay: over websocket"]);
  await call.close();
});
