// What `voxrelay/react` makes its calls with: one after another, by the options of the moment. `E2E_SEED` repeats one schedule.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import type { ConnectOptions } from "../src/options.js";
import { Calls } from "../src/react/calls.js";
import { NOTHING, OPTIONS, browser, obliging, until } from "./support/browser.js";
import { random } from "./support/random.js";

const SCHEDULES = 150;

beforeEach(() => browser.reset());

/** Whatever is under way is over after so many turns of the event loop, however long a turn takes. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
};
/** What the engine was last told by this command. */
const told = (command: string): unknown => browser.engine.sent.filter(([name]) => name === command).at(-1)?.[1];

test("what is muted, put on hold, turned down, listened to or registered before the call is so in the call", async () => {
  const calls = new Calls(OPTIONS);
  const { call } = calls;
  const heard: string[] = [];
  call.mute();
  call.hold();
  call.setVolume(0.25);
  call.on("state", ({ state }) => heard.push(state));
  call.registerTool("look", () => "seen");
  calls.options = { ...OPTIONS, agent: "concierge" };
  await calls.connect();
  await settled();
  assert.equal(calls.call, call);
  assert.deepEqual([call.muted, call.onHold, call.volume, told("mute"), told("onHold")], [true, true, 0.25, true, true]);
  assert.equal(browser.contexts[0]?.gain.value, 0.25);
  assert.ok(heard.includes("connected"), heard.join());
  browser.engine.say({ type: "toolCall", callId: "calls 1", name: "look", arguments: "{}" });
  await until(() => told("message") !== undefined, "the tool is run");
  await calls.close();
});

test("the next call is as loud and as muted as what was shown, and is on hold for nobody", async () => {
  const calls = new Calls(OPTIONS);
  await calls.connect();
  const first = calls.call;
  first.mute();
  first.setVolume(0.5);
  first.hold();
  await calls.close();
  await calls.connect();
  await settled();
  assert.notEqual(calls.call, first);
  assert.deepEqual([calls.call.muted, calls.call.volume, calls.call.onHold, told("mute")], [true, 0.5, false, true]);
  await calls.close();
});

test("a call takes the options of the moment in which it is begun, not of the one in which it was made", async () => {
  const calls = new Calls({ ...OPTIONS, microphone: { echoCancellation: false } });
  calls.options = { ...OPTIONS, microphone: false };
  await calls.connect();
  assert.deepEqual(browser.asked, []);
  await calls.close();
  calls.options = OPTIONS;
  await calls.connect();
  assert.equal(browser.asked.length, 1);
  await calls.close();
});

test("a call under way has the newest listeners, tools and logger, those that came later, and none of those that were taken away", async () => {
  const heard: string[] = [];
  const listener = (who: string) => () => void heard.push(who);
  const logger = (who: string) => ({ warn: listener(`${who} logs`) });
  const calls = new Calls({ ...OPTIONS, onGap: listener("old gap"), onAgent: listener("old agent"), tools: { first: listener("old first"), second: listener("old second") } });
  await calls.connect();
  calls.options = { ...OPTIONS, onGap: listener("new gap"), onRtt: listener("new rtt"), tools: { first: listener("new first"), third: listener("new third") }, logger: logger("new") };
  const { engine } = browser;
  engine.say(
    { type: "gap", position: 0, samples: 16 },
    { type: "agent", state: "speaking" },
    { type: "rtt", us: 5 },
    ...["first", "second", "third"].map((name) => ({ type: "toolCall", callId: `newest ${name}`, name, arguments: "{}" }) as const),
    { type: "error", error: { code: "link_lost", message: "lost", retryable: true, limit: null, retryAfterMs: null } },
  );
  await until(() => engine.sent.filter(([name]) => name === "message").length === 3, "each tool is answered");
  assert.deepEqual(heard.sort(), ["new first", "new gap", "new logs", "new rtt", "new third"]);
  await calls.close();
});

test("levels are looked at closely, and tools that nobody has are refused, as long as no listener says otherwise", async () => {
  const calls = new Calls(OPTIONS);
  await calls.connect();
  const level = { type: "level", inputRms: 1e6, inputPeak: 1e6, outputRms: 0, outputPeak: 0 } as const;
  browser.engine.say(level, { type: "toolCall", callId: "nobody's", name: "nobody", arguments: "{}" });
  await until(() => told("message") !== undefined, "the tool is refused");
  assert.equal(told("watchLevels"), undefined);
  calls.options = { ...OPTIONS, onLevel: () => undefined };
  browser.engine.say(level);
  await until(() => told("watchLevels") === true, "levels are watched");
  calls.options = OPTIONS;
  browser.engine.say(level);
  await until(() => told("watchLevels") === false, "they are not any more");
  await calls.close();
});

test("options that turn wrong are refused by the promise of the next call, and what is shown stays", async () => {
  const calls = new Calls(OPTIONS);
  const wrong = [{ chunkMs: 5 }, { onNope: () => undefined }, { onState: 5 }, { tools: { look: 5 } }, { token: "a" }];
  for (const round of ["idle", "closed"]) {
    const { call } = calls;
    for (const options of wrong) {
      calls.options = { ...OPTIONS, ...options } as unknown as ConnectOptions;
      const connecting = calls.connect();
      await assert.rejects(connecting, /^(Type|Range)Error: `/, JSON.stringify(options));
      assert.deepEqual([calls.call, calls.call.state], [call, round]);
    }
    calls.options = OPTIONS;
    await calls.connect();
    await calls.close();
  }
});

test("who is gone makes no call any more, neither a first one nor another one", async () => {
  for (const isFirst of [true, false]) {
    browser.reset();
    const calls = new Calls(OPTIONS);
    if (!isFirst) await calls.connect();
    calls.isGone = true;
    void calls.close();
    for (const _ of ["at once", "later"]) {
      await assert.rejects(calls.connect(), { code: "call_over", retryable: false });
      await settled();
    }
    await until(() => browser.left().contexts === 0, "every context is closed");
    assert.deepEqual([browser.left(), browser.workers.length], [NOTHING, isFirst ? 0 : 1]);
  }
});

test("who is back at once makes a call, also one that is begun before everything around it is back", async () => {
  for (const isFirst of [true, false]) {
    browser.reset();
    const calls = new Calls(OPTIONS);
    const first = isFirst ? undefined : assert.rejects(calls.connect(), { code: "call_over" });
    // As strict mode does it, in one task.
    calls.isGone = true;
    void calls.close();
    const connecting = calls.connect();
    calls.isGone = false;
    await Promise.all([first, connecting]);
    assert.equal(calls.call.state, "connected");
    await calls.close();
    await until(() => browser.left().contexts === 0, "every context is closed");
    assert.deepEqual(browser.left(), NOTHING);
  }
});

test("who hangs up and calls again at once has another call, also before anything says that the first one closes", async () => {
  for (const [isUp, isOwn] of [
    [true, false],
    [true, true],
    [false, false],
  ]) {
    browser.reset();
    // Nobody answers the one that is only being made.
    if (!isUp) browser.onengine = (engine) => engine.on("close", () => (engine.state("closing"), engine.ends()));
    const calls = new Calls(OPTIONS);
    const { call: first } = calls;
    const begun = isUp ? await calls.connect() : assert.rejects(calls.connect(), { code: "call_over" });
    await settled();
    browser.onengine = obliging;
    const hungUp = isOwn ? first.close() : calls.close();
    assert.doesNotMatch(first.state, /^clos/, "nothing says so yet");
    await calls.connect();
    assert.notEqual(calls.call, first);
    assert.equal(calls.call.state, "connected");
    await begun;
    await hungUp;
    await calls.close();
    await until(() => browser.left().contexts === 0, "every context is closed");
    assert.deepEqual(browser.left(), NOTHING);
  }
});

/** What an app may do at any time. */
const STEPS: Record<string, (calls: Calls, dice: (most: number) => number) => unknown> = {
  connect: (calls) => void calls.connect().catch(() => undefined),
  close: (calls) => void calls.close(),
  closeCall: (calls) => void calls.call.close(),
  mute: (calls, dice) => calls.call.mute(dice(2) === 0),
  hold: (calls, dice) => calls.call.hold(dice(2) === 0),
  volume: (calls, dice) => calls.call.setVolume(dice(4) / 4),
  options: (calls, dice) => (calls.options = { ...OPTIONS, ...(dice(2) && { onState: () => undefined }), ...(dice(3) === 0 && { microphone: false }) }),
  microphone: (calls, dice) => void calls.call.setMicrophone(dice(2) ? undefined : false).catch(() => undefined),
  ends: () => {
    const engine = browser.workers.at(-1)?.engine;
    if (!engine?.hasSession || engine.isGone) return;
    engine.ends("budget", 4402);
    engine.say({ type: "drained" });
  },
  waits: (_, dice) => new Promise((resolve) => setTimeout(resolve, dice(6))),
};

async function run(seed: number): Promise<void> {
  browser.reset();
  const dice = random(seed);
  browser.asking = () => new Promise((resolve) => setTimeout(resolve, dice(6)));
  browser.onengine = obliging;
  const calls = new Calls(OPTIONS);
  const stop = calls.subscribe(() => undefined);
  const names = Object.keys(STEPS);
  const schedule = Array.from({ length: 6 + dice(10) }, () => names[dice(names.length)]!);
  try {
    let muted = false;
    let volume = 1;
    for (const name of schedule) {
      await STEPS[name]?.(calls, dice);
      if (name === "mute") ({ muted } = calls.call);
      if (name === "volume") ({ volume } = calls.call);
      assert.deepEqual([calls.snapshot().devices.muted, calls.snapshot().devices.volume], [muted, volume], "the last word holds, also for the next call");
    }
    await until(() => /^(idle|connected|closed)$/.test(calls.call.state), "nothing happens any more");
    await settled();
    const isUp = calls.call.state === "connected";
    const { sessions, tracks } = browser.left();
    assert.equal(sessions, isUp ? 1 : 0, "there is one call at most, and it is the one that is shown");
    assert.equal(tracks, isUp && calls.snapshot().devices.microphone ? 1 : 0);
    if (tracks > 0) assert.equal(told("mute") ?? false, muted || calls.call.onHold, "the relay knows what is shown");
    stop();
    await calls.close();
    await until(() => browser.left().contexts === 0, "every context is closed");
    assert.deepEqual(browser.left(), NOTHING);
  } catch (thrown) {
    throw new Error(`E2E_SEED=${seed} ${seed}: ${schedule.join(", ")}: ${String(thrown)}`, { cause: thrown });
  }
}

test("whatever an app does in whatever order, there is one call, and who is shown as muted is not heard", async () => {
  const only = process.env["E2E_SEED"];
  for (let seed = 1; seed <= SCHEDULES; seed += 1) if (!only || seed === Number(only)) await run(seed);
});
