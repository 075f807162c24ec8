// Whatever happens to a call, in whatever order: while it lasts it has the microphone that was asked for last, and none where none is wanted; when it
// is over, nothing of it is left, and what it said was in order. `E2E_SEED` repeats one schedule.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Call } from "../src/call.js";
import type { CallEvents } from "../src/events.js";
import { NOTHING, OPTIONS, SESSION, Track, browser } from "./support/browser.js";
import { random } from "./support/random.js";

const SCHEDULES = 200;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What may happen at any time. */
const STEPS: Record<string, (call: Call, controller: AbortController, dice: (most: number) => number) => unknown> = {
  connect: (call) => call.connect().catch(() => undefined),
  close: (call) => void call.close(),
  closeNow: (call) => void call.close({ finish: false }),
  mute: (call, _, dice) => call.mute(dice(2) === 0),
  hold: (call, _, dice) => call.hold(dice(2) === 0),
  token: () => isUp() && browser.engine.say({ type: "token" }),
  abort: (_, controller) => controller.abort("unmounted"),
  microphone: (call) => void call.setMicrophone("other").catch(() => undefined),
  noMicrophone: (call) => void call.setMicrophone(false).catch(() => undefined),
  speaker: (call) => void call.setSpeaker("other").catch(() => undefined),
  devices: () => browser.devices.dispatchEvent(new Event("devicechange")),
  rate: (_, __, dice) => void (browser.rate = dice(2) ? 48_000 : 16_000),
  unplugged: () => browser.tracks.at(-1)?.end(),
  muted: () => browser.tracks.at(-1)?.dispatchEvent(new Event("mute")),
  gesture: () => browser.document.dispatchEvent(new Event("pointerup")),
  hides: () => browser.window.dispatchEvent(new Event("pagehide")),
  shows: () => browser.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true })),
  wakes: () => browser.document.dispatchEvent(new Event("visibilitychange")),
  offline: () => browser.window.dispatchEvent(new Event("offline")),
  outage: (call) => call.simulateOutage(1),
  text: (call) => void call.sendText("a").catch(() => undefined),
  reconnects: () => isUp() && browser.engine.told === "connected" && browser.engine.state("reconnecting", 1),
  returns: () => isUp() && browser.engine.told === "reconnecting" && browser.engine.state("connected"),
  returnsElsewhere: () => {
    const engine = browser.workers.at(-1)?.engine;
    if (!engine || !isUp() || !/^(reconnecting|closing)$/.test(engine.told)) return;
    engine.say({ ...SESSION, epoch: 2 });
    engine.state(engine.told === "closing" ? "closing" : "connected");
  },
  ends: () => isUp() && browser.engine.ends("budget", 4402),
  breaks: () => isUp() && browser.engine.say({ type: "broke", cause: "it panicked" }),
  waits: (_, __, dice) => sleep(dice(12)),
  rests: (call) => rest(call),
};

/**
 * What may follow each state, the event `session`, and the event `ended`; the first stands under no name. A session is told before the call is
 * connected to it, which it may be while the last words are on their way, and the end is told last.
 */
const FOLLOWS: Record<string, string> = {
  "": "starting closed",
  starting: "connecting closing closed",
  connecting: "connecting session closing closed",
  session: "connected reconnecting closed",
  connected: "reconnecting closing closed",
  reconnecting: "reconnecting session connected closing closed",
  closing: "closing session-while-closing closed",
  "session-while-closing": "closing closed",
  closed: "ended",
  ended: "",
};

/** The first that may not follow what was before it. */
function outOfOrder(told: readonly string[]): string | undefined {
  const wrong = told.findIndex((name, at) => !FOLLOWS[told[at - 1] ?? ""]?.split(" ").includes(name));
  return wrong < 0 ? undefined : `${told[wrong - 1]}, ${told[wrong]}`;
}

/** What the browser and the relay have not done yet. */
let pending = 0;

/** Does something a little later. */
async function later<T>(ms: number, work: () => T): Promise<T> {
  pending += 1;
  await sleep(ms);
  pending -= 1;
  return work();
}

/** Looks whether all is as it should be once nothing happens any more. */
async function rest(call: Call): Promise<void> {
  for (let quiet = 0; quiet < 4; quiet += 1) {
    await sleep(1);
    if (pending > 0) quiet = 0;
  }
  const { tracks } = browser.left();
  const { microphone } = call.snapshot.devices;
  const isConnected = call.state === "connected" && isUp();
  assert.ok(tracks <= (call.state === "closed" ? 0 : 1), `${tracks} microphones of a call that is ${call.state}`);
  if (tracks > 0 && isConnected) assert.ok(microphone, "what is open is shown");
  if (!microphone) assert.equal(tracks, 0, "what is not shown is not open");
  const told = browser.workers.at(-1)?.engine.sent.filter(([name]) => name === "mute").at(-1)?.[1] ?? false;
  if (isConnected && tracks > 0) assert.equal(told, call.muted || call.onHold, "the relay hears who is shown as heard, and nobody else");
}

function isUp(): boolean {
  const engine = browser.workers.at(-1)?.engine;
  return !!engine?.hasSession && !engine.isGone;
}

/** How the browser and the relay are this time. */
function arrange(dice: (most: number) => number): void {
  const maybe = async (refusal: string): Promise<void> => {
    await later(dice(6), () => undefined);
    if (dice(10) === 0) throw new DOMException("no", refusal);
  };
  browser.asking = () => maybe(dice(2) ? "NotAllowedError" : "NotFoundError");
  browser.adding = () => maybe("AbortError");
  browser.locking = () => maybe("NotAllowedError");
  browser.hasNoSound = dice(20) === 0;
  browser.resamples = dice(2) === 0;
  browser.workerMs = dice(6);
  browser.onengine = (engine) => {
    engine.on("start", () => {
      void later(dice(6), () => {
        if (!engine.hasSession || engine.told === "closing") return;
        if (dice(8)) return engine.comesUp();
        engine.state("connecting");
        engine.ends("internal", 1011);
      });
    });
    engine.on("close", () => {
      if (!engine.hasSession) return;
      engine.state("closing");
      void later(dice(6), () => engine.hasSession && engine.ends());
    });
    engine.on("noToken", () => engine.hasSession && engine.told !== "connected" && engine.ends("unauthorized", 4401));
  };
}

/** Runs a schedule. */
async function run(seed: number): Promise<void> {
  browser.reset();
  const dice = random(seed);
  arrange(dice);
  const controller = new AbortController();
  const events: (keyof CallEvents)[] = [];
  /** States, sessions, and the end. */
  const told: string[] = [];
  const refusal = Object.assign(new Error("signed out"), { retryable: false });
  const token = dice(4) ? OPTIONS.token : () => Promise.reject(refusal);
  const call = new Call({ ...OPTIONS, token, signal: controller.signal, ...(dice(6) === 0 && { microphone: false }) });
  for (const name of ["state", "session", "microphone", "error", "ended", "transcript"] as const) {
    call.on(name, (event) => {
      events.push(name);
      if (name === "state") told.push((event as CallEvents["state"]).state);
      if (name === "session") told.push(told.at(-1) === "closing" ? "session-while-closing" : name);
      if (name === "ended") told.push(name);
      if (dice(12) === 0) throw new Error("a listener's own mistake");
      if (dice(40) === 0) void call.close();
    });
  }
  call.subscribe(() => {
    if (dice(20) === 0) throw new Error("a subscriber's own mistake");
  });
  const names = Object.keys(STEPS);
  const schedule = ["connect", ...Array.from({ length: 2 + dice(10) }, () => (dice(2) ? "waits" : names[dice(names.length)]!))];
  if (dice(4) === 0) schedule.reverse();
  const connected = [];
  try {
    for (const name of schedule) {
      const outcome = STEPS[name]?.(call, controller, dice);
      if (name === "connect") connected.push(outcome);
      else await outcome;
    }
    await call.close();
    await Promise.all(connected);
    const { tracks, contexts, workers, listeners, sessions } = browser.left();
    assert.deepEqual({ tracks, contexts, workers, listeners, sessions }, { tracks: 0, contexts: 0, workers: 0, listeners: 0, sessions: 0 }, "at once");
    // A microphone that was being opened is let go of when it is open.
    while (pending > 0) await sleep(1);
    await sleep(8);
    assert.deepEqual(browser.left(), NOTHING);
    assert.equal(call.state, "closed");
    assert.ok(events.filter((name) => name === "ended").length <= 1, `ended once: ${events}`);
    assert.ok(!events.includes("ended") || events.at(-1) === "ended", `nothing follows the end: ${events}`);
    assert.equal(outOfOrder(told), undefined, `what follows what: ${told}`);
    for (const thrown of browser.reported) assert.match(String(thrown), /own mistake/);
  } catch (thrown) {
    throw new Error(`E2E_SEED=${seed} ${seed}: ${schedule.join(", ")}: ${String(thrown)}`, { cause: thrown });
  }
}

test("whatever happens in whatever order, nothing is left of a call that is over, and its events end with its end", async () => {
  const only = process.env["E2E_SEED"];
  const seeds = only ? [Number(only)] : Array.from({ length: SCHEDULES }, (_, seed) => seed + 1);
  for (const seed of seeds) await run(seed);
});

test("what is told out of order would be seen", () => {
  const call = ["starting", "connecting", "session", "connected", "reconnecting", "session", "connected", "closing", "session-while-closing", "closing", "closed", "ended"];
  assert.equal(outOfOrder(call), undefined);
  for (const [told, wrong] of [
    [["starting", "connecting", "connected"], "connecting, connected"],
    [["starting", "connecting", "session", "connected", "session"], "connected, session"],
    [[...call.slice(0, 8), "connected"], "closing, connected"],
    [[...call.slice(0, 8), "session"], "closing, session"],
    [[...call.slice(0, 9), "connected"], "session-while-closing, connected"],
    [[...call.slice(0, 11), "closing"], "closed, closing"],
    [[...call, "closed"], "ended, closed"],
  ] as const) {
    assert.equal(outOfOrder(told), wrong);
  }
});

test("what is left would be seen", async () => {
  browser.reset();
  const call = new Call(OPTIONS);
  await call.connect();
  browser.tracks.push(new Track("left over"));
  const { tracks, contexts, workers, listeners, sessions } = browser.left();
  assert.deepEqual([tracks, contexts, workers, sessions], [2, 1, 1, 1]);
  assert.ok(listeners >= 9, `${listeners} listeners`);
  await call.close();
});
