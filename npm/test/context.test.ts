// Contexts of sound that the browser holds back, or the page.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Call } from "../src/call.js";
import { NOTHING, OPTIONS, browser, until } from "./support/browser.js";

beforeEach(() => browser.reset());

type Context = (typeof browser.contexts)[number];

/** What a user and a browser do to a page: clicks, keys, a tab that is hidden and seen, a way through the back/forward cache. */
async function goesOn(): Promise<void> {
  for (const name of ["pointerup", "keyup", "visibilitychange", "resume"]) browser.document.dispatchEvent(new Event(name));
  browser.window.dispatchEvent(new Event("pagehide"));
  browser.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await new Promise((resolve) => setTimeout(resolve, 5));
}

async function callOn(audioContext?: AudioContext): Promise<[call: Call, context: Context]> {
  const call = new Call({ ...OPTIONS, ...(audioContext && { audioContext }) });
  await call.connect();
  return [call, browser.contexts[0]!];
}

test("a context of the page's that the page has paused stays so through clicks, a hidden tab and the back/forward cache", async () => {
  const [call, context] = await callOn(new AudioContext());
  await goesOn();
  context.state = "suspended";
  await goesOn();
  assert.equal(context.state, "suspended");
  await call.close();
  assert.equal(context.state, "suspended", "nor is it closed");
});

test("a context of the page's that has not run yet is resumed when the call begins, or by a click where that is too early", async () => {
  const own = new AudioContext() as unknown as Context;
  own.state = "suspended";
  const [call] = await callOn(own as unknown as AudioContext);
  assert.equal(own.state, "running");
  await call.close();

  browser.reset();
  const held = new AudioContext() as unknown as Context;
  held.state = "suspended";
  const { resume } = held;
  // Without a gesture some browsers never answer.
  held.resume = () => new Promise(() => undefined);
  const [later] = await callOn(held as unknown as AudioContext);
  assert.equal(held.state, "suspended");
  held.resume = resume;
  await goesOn();
  assert.equal(held.state, "running");
  await later.close();
});

test("a context of the call's own that the browser holds back is resumed by a click, and by a tab that is seen again", async () => {
  const [call, context] = await callOn();
  for (const name of ["pointerup", "keyup", "visibilitychange", "resume"]) {
    context.state = "suspended";
    browser.document.dispatchEvent(new Event(name));
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(context.state, "running", name);
  }
  await call.close();
});

test("an interrupted context is left alone by clicks, keys and a tab that is seen again, and resumed after the back/forward cache", async () => {
  for (const audioContext of [undefined, new AudioContext()]) {
    browser.reset();
    const own = audioContext as unknown as Context | undefined;
    // One of the page's that has run is never resumed, so this one has not.
    if (own) own.resume = () => Promise.reject(new Error("InvalidStateError: not yet"));
    const [call, made] = await callOn(audioContext);
    const context = own ?? made;
    const { resume } = context;
    let resumed = 0;
    context.resume = () => {
      resumed += 1;
      return resume.call(context);
    };
    context.state = "interrupted";
    for (const name of ["pointerup", "keyup", "visibilitychange", "resume"]) browser.document.dispatchEvent(new Event(name));
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(resumed, 0, own ? "the page's" : "the call's");
    browser.window.dispatchEvent(new Event("pagehide"));
    browser.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    assert.equal(resumed, 1, own ? "the page's" : "the call's");
    await call.close();
  }
});

test("of sound that stands still nothing is told once the call is over or hung up, and before that it is", async () => {
  for (const end of ["never", "by itself", "by the user"]) {
    browser.reset();
    browser.onengine = (engine) => void engine.on("start", () => engine.comesUp());
    // The clock of the stand-in's context stands still.
    mock.timers.enable({ apis: ["setInterval"] });
    try {
      const told: string[] = [];
      const [call] = await callOn();
      call.on("error", ({ code }) => void told.push(code));
      if (end === "by itself") {
        browser.engine.ends("budget", 4402);
        await until(() => call.snapshot.ended !== undefined, "it is over");
      }
      const closing = end === "by the user" ? call.close() : undefined;
      mock.timers.tick(3_000);
      assert.deepEqual([told, call.snapshot.error?.code], end === "never" ? [["audio_unavailable"], "audio_unavailable"] : [[], undefined], end);
      if (end !== "by itself") browser.engine.ends();
      await (closing ?? call.close());
    } finally {
      mock.timers.reset();
    }
  }
});

test("what the sound waits for stands before the cause of the error: a click or a loudspeaker, another app, or nothing that is known", async () => {
  for (const sound of ["suspended", "interrupted", "running"]) {
    browser.reset();
    mock.timers.enable({ apis: ["setInterval"] });
    try {
      const causes: string[] = [];
      const call = new Call({ ...OPTIONS, onError: ({ cause }) => void causes.push(String(cause)) });
      await call.connect();
      const context = browser.contexts[0]!;
      context.state = sound;
      context.resume = () => new Promise(() => undefined);
      mock.timers.tick(3_000);
      assert.equal(causes.length, 1, sound);
      assert.match(causes[0]!, new RegExp(`^${sound}: \\w`));
      await call.close();
    } finally {
      mock.timers.reset();
    }
  }
});

test("a context that stands still is made anew by one context at a time, and again when that one stands still, too", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    const [call] = await callOn();
    let goOn = (): void => undefined;
    browser.adding = () => new Promise((resolve) => (goOn = resolve));
    // Its worklet takes as long as 25 looks.
    mock.timers.tick(25_000);
    assert.equal(browser.contexts.length, 2);
    goOn();
    await until(() => browser.left().contexts === 1, "it takes the place of the first");
    mock.timers.tick(5_000);
    assert.equal(browser.contexts.length, 3);
    goOn();
    await until(() => browser.left().contexts === 1, "it takes the place of the second");
    await call.close();
    assert.equal(browser.left().contexts, 0);
  } finally {
    mock.timers.reset();
  }
});

test("a call that is hung up or aborted while its worklet loads has closed its context when it is refused, and closes it once", async () => {
  for (const how of ["close", "abort"]) {
    browser.reset();
    let goOn = (): void => undefined;
    browser.adding = () => new Promise((resolve) => (goOn = resolve));
    const controller = new AbortController();
    const call = new Call({ ...OPTIONS, signal: controller.signal });
    const refused = assert.rejects(call.connect(), how === "close" ? { code: "call_over" } : { message: "unmounted" });
    await until(() => browser.contexts.length === 1, "the sound begins");
    const context = browser.contexts[0]!;
    const { close } = context;
    let closed = 0;
    context.close = () => {
      closed += 1;
      return close.call(context);
    };
    if (how === "close") void call.close();
    else controller.abort(new Error("unmounted"));
    await refused;
    assert.deepEqual(browser.left(), NOTHING, how);
    goOn();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await call.close();
    assert.deepEqual([closed, browser.contexts.length, browser.left()], [1, 1, NOTHING], how);
  }
});

test("a call that is hung up while a context is made anew has let go of each microphone at once, and of both contexts when it is over", async () => {
  const [call] = await callOn();
  browser.resamples = false;
  browser.rate = 16_000;
  let goOn = (): void => undefined;
  browser.adding = () => new Promise((resolve) => (goOn = resolve));
  const changed = assert.rejects(call.setMicrophone("headset"), { code: "call_over" });
  await until(() => browser.contexts.length === 2, "a context is made anew");
  const closing = call.close();
  assert.deepEqual([browser.tracks.length, browser.left().tracks], [2, 0]);
  await closing;
  assert.deepEqual(browser.left(), NOTHING);
  goOn();
  await changed;
  assert.deepEqual([browser.contexts.length, browser.left()], [2, NOTHING]);
});

test("a call that is closed waits until its contexts are: 2 s for processors that are held back, 4 s in all, and not for a context of the page's", async () => {
  // What the call waits with would not keep the process alive.
  const alive = setInterval(() => undefined, 1_000);
  try {
    const calls: Call[] = [];
    for (const audioContext of [new AudioContext(), undefined, undefined]) calls.push((await callOn(audioContext))[0]);
    const [, held, mute] = browser.contexts as [Context, Context, Context];
    mute.close = () => new Promise(() => undefined);
    browser.holdsBack = true;
    const begin = performance.now();
    const took = calls.map(async (call) => {
      await call.close();
      return performance.now() - begin;
    });
    const [ofThePage, closed, givenUp] = (await Promise.all(took)) as [number, number, number];
    assert.ok(ofThePage < 1_000, `${ofThePage} ms`);
    assert.ok(closed > 1_900 && closed < 3_500, `${closed} ms`);
    assert.equal(held.state, "closed");
    assert.ok(givenUp > 3_900 && givenUp < 6_000, `${givenUp} ms`);
  } finally {
    clearInterval(alive);
  }
});
