// Whatever happens to a call, in whatever order: when it is over, nothing of it is left, and what it said was in order. `E2E_SEED` repeats one schedule.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Call } from "../src/call.js";
import type { CallEvents } from "../src/events.js";
import { NOTHING, OPTIONS, Track, browser, until } from "./support/browser.js";

const SCHEDULES = 200;

/** Numbers from 0 to below `most`, the same for the same seed (mulberry32). */
function random(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % most;
  };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What may happen at any time. */
const STEPS: Record<string, (call: Call, controller: AbortController, dice: (most: number) => number) => unknown> = {
  connect: (call) => call.connect().catch(() => undefined),
  close: (call) => void call.close(),
  abort: (_, controller) => controller.abort("unmounted"),
  microphone: (call) => void call.setMicrophone("other").catch(() => undefined),
  noMicrophone: (call) => void call.setMicrophone(false).catch(() => undefined),
  speaker: (call) => void call.setSpeaker("other").catch(() => undefined),
  devices: () => browser.devices.dispatchEvent(new Event("devicechange")),
  unplugged: () => browser.tracks.at(-1)?.end(),
  muted: () => browser.tracks.at(-1)?.dispatchEvent(new Event("mute")),
  gesture: () => browser.document.dispatchEvent(new Event("pointerup")),
  hides: () => browser.window.dispatchEvent(new Event("pagehide")),
  shows: () => browser.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true })),
  wakes: () => browser.document.dispatchEvent(new Event("visibilitychange")),
  offline: () => browser.window.dispatchEvent(new Event("offline")),
  outage: (call) => call.simulateOutage(1),
  text: (call) => void call.sendText("a").catch(() => undefined),
  reconnects: () => isUp() && browser.engine.state("reconnecting", 1),
  returns: () => isUp() && browser.engine.state("connected"),
  ends: () => isUp() && browser.engine.ends("budget", 4402),
  breaks: () => isUp() && browser.engine.say({ type: "broke", cause: "it panicked" }),
  waits: (_, __, dice) => sleep(dice(12)),
};

function isUp(): boolean {
  const engine = browser.workers.at(-1)?.engine;
  return !!engine?.hasSession && !engine.isGone;
}

/** How the browser and the relay are this time. */
function arrange(dice: (most: number) => number): void {
  const maybe = async (refusal: string): Promise<void> => {
    await sleep(dice(6));
    if (dice(10) === 0) throw new DOMException("no", refusal);
  };
  browser.asking = () => maybe(dice(2) ? "NotAllowedError" : "NotFoundError");
  browser.adding = () => maybe("AbortError");
  browser.locking = () => maybe("NotAllowedError");
  browser.hasNoSound = dice(20) === 0;
  browser.workerMs = dice(6);
  browser.onengine = (engine) => {
    engine.on("start", () => {
      setTimeout(() => {
        if (!engine.hasSession) return;
        if (dice(8)) return engine.comesUp();
        engine.state("connecting");
        engine.ends("internal", 1011);
      }, dice(6));
    });
    engine.on("close", () => {
      if (!engine.hasSession) return;
      engine.state("closing");
      setTimeout(() => engine.hasSession && engine.ends(), dice(6));
    });
  };
}

/** Runs a schedule; gives what tells whether a context is still open. */
async function run(seed: number): Promise<() => number> {
  browser.reset();
  const dice = random(seed);
  arrange(dice);
  const controller = new AbortController();
  const events: (keyof CallEvents)[] = [];
  const states: string[] = [];
  const call = new Call({ ...OPTIONS, signal: controller.signal, ...(dice(6) === 0 && { microphone: false }) });
  for (const name of ["state", "session", "microphone", "error", "ended", "transcript"] as const) {
    call.on(name, (event) => {
      events.push(name);
      if (name === "state") states.push((event as CallEvents["state"]).state);
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
    const { tracks, workers, listeners, sessions } = browser.left();
    assert.deepEqual({ tracks, workers, listeners, sessions }, { tracks: 0, workers: 0, listeners: 0, sessions: 0 }, "at once");
    // A microphone that was being opened is let go of when it is open.
    await sleep(8);
    assert.deepEqual({ ...browser.left(), contexts: 0 }, NOTHING);
    assert.equal(call.state, "closed");
    assert.ok(events.filter((name) => name === "ended").length <= 1, `ended once: ${events}`);
    assert.ok(!events.includes("ended") || events.at(-1) === "ended", `nothing follows the end: ${events}`);
    assert.ok(!states.includes("closed") || states.indexOf("closed") === states.length - 1, `closed is the last state: ${states}`);
    for (const thrown of browser.reported) assert.match(String(thrown), /own mistake/);
  } catch (thrown) {
    throw new Error(`E2E_SEED=${seed} ${seed}: ${schedule.join(", ")}: ${String(thrown)}`, { cause: thrown });
  }
  const contexts = [...browser.contexts];
  return () => contexts.filter(({ state }) => state !== "closed").length;
}

test("whatever happens in whatever order, nothing is left of a call that is over, and its events end with its end", async () => {
  const only = process.env["E2E_SEED"];
  const seeds = only ? [Number(only)] : Array.from({ length: SCHEDULES }, (_, seed) => seed + 1);
  const open = new Map<number, () => number>();
  for (const seed of seeds) open.set(seed, await run(seed));
  // A processor ends before its context does: all of them are waited for at once.
  const left = (): number[] => seeds.filter((seed) => open.get(seed)?.());
  await until(() => left().length === 0, "every context is closed").catch(() => assert.deepEqual(left(), [], "of these seeds a context is open"));
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
