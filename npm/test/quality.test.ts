// What is warned of, and when, by scripted samples; and what a call tells of it.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import { EVENTS } from "../src/check.js";
import { FORWARDED } from "../src/element/events.js";
import { type Measured, QualityMeter } from "../src/quality.js";
import { UNMEASURED } from "../src/snapshot.js";
import { OPTIONS, browser, until } from "./support/browser.js";

beforeEach(() => browser.reset());

/** What changes with each sample, as `name+` when it is raised and `name-` when it clears. */
function changes(meter: QualityMeter, samples: readonly Measured[]): string[] {
  return samples.map((sample) => meter.measure(sample).changed.map(({ name, raised }) => name + (raised ? "+" : "-")).join(" "));
}

const rtt = (...ms: number[]): Measured[] => ms.map((roundTripMs) => ({ roundTripMs }));

test("a warning is raised by the third of five samples above its threshold, and one or two are nothing", () => {
  assert.deepEqual(changes(new QualityMeter(), rtt(401, 90, 401, 90, 400)), ["", "", "", "", ""]);
  assert.deepEqual(changes(new QualityMeter(), rtt(401, 90, 401, 90, 401)), ["", "", "", "", "high-rtt+"]);
  assert.deepEqual(changes(new QualityMeter(), rtt(900, 900, 900, 900)), ["", "", "high-rtt+", ""], "once");
  assert.deepEqual(changes(new QualityMeter(), rtt(401, 401, 90, 90, 90, 90, 401)), ["", "", "", "", "", "", ""], "what is older than five samples is forgotten");
});

test("it clears when none of the last five is above three quarters of the threshold, so that it does not flutter", () => {
  const meter = new QualityMeter();
  changes(meter, rtt(500, 500, 500));
  assert.deepEqual(meter.quality.warnings, ["high-rtt"]);
  assert.deepEqual(changes(meter, rtt(399, 301, 399, 301, 399, 301)), ["", "", "", "", "", ""], "below the threshold is not well yet");
  assert.deepEqual(changes(meter, rtt(300, 300, 300, 300)), ["", "", "", ""]);
  assert.deepEqual(changes(meter, rtt(300)), ["high-rtt-"]);
  assert.deepEqual(meter.quality.warnings, []);
  assert.deepEqual(changes(meter, rtt(500, 500, 500)), ["", "", "high-rtt+"], "and may come again");
});

test("each warning looks at its own samples, and what was not measured is no sample", () => {
  const meter = new QualityMeter();
  const silent = { jitterMs: null, lateMs: null, waitingMs: 2_100 };
  const heard = { jitterMs: 101, lateMs: 1_001, waitingMs: 0 };
  assert.deepEqual(changes(meter, [heard, silent, heard, silent, heard, silent]), ["", "", "", "", "high-jitter+ late-sound+", "uplink-backlog+"]);
  assert.deepEqual(meter.quality.jitterMs, 101, "it stays as it was last measured");
});

test("underruns are counted in the whole call, and two samples with some raise the warning", () => {
  const meter = new QualityMeter();
  const samples = [0, 1, 1, 1, 3, 3, 3, 3, 3, 3].map((underruns) => ({ underruns }));
  assert.deepEqual(changes(meter, samples), ["", "", "", "", "underruns+", "", "", "", "", "underruns-"]);
  assert.equal(meter.quality.underruns, 3);
});

test("a voice that is cut off in three of five samples is warned of, and no more when it is not", () => {
  const meter = new QualityMeter();
  const samples = [21, 0, 300, 21, 16, 0, 0, 0, 0, 0].map((clippedMs) => ({ clippedMs }));
  assert.deepEqual(changes(meter, samples), ["", "", "", "clipping+", "", "", "", "", "", "clipping-"]);
});

test("an event says what was measured, which sample decided, and what is raised", () => {
  const meter = new QualityMeter();
  changes(meter, rtt(450, 450));
  const event = meter.measure({ roundTripMs: 460, waitingMs: 120 });
  assert.deepEqual(event, {
    ...UNMEASURED,
    roundTripMs: 460,
    waitingMs: 120,
    warnings: ["high-rtt"],
    changed: [{ name: "high-rtt", raised: true, value: 460, threshold: 400 }],
  });
  for (const part of [event, event.warnings, event.changed, event.changed[0], meter.quality]) assert.ok(Object.isFrozen(part));
});

test("a call tells how well its line does when the engine does, and of a round trip only what is to be warned of", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  const { engine } = browser;
  const told: string[] = [];
  call.on("quality", ({ roundTripMs, waitingMs, changed }) => told.push(`${roundTripMs} ${waitingMs} ${changed.map(({ name }) => name)}`));
  assert.equal(call.snapshot.quality, UNMEASURED);
  engine.say({ type: "rtt", us: 450_000 }, { type: "rtt", us: 450_000 });
  await until(() => browser.engine && told.length === 0, "nothing is due");
  engine.say({ type: "quality", jitterMs: 3, lateMs: 40, underruns: 0, droppedMs: 0, waitingMs: 200, clippedMs: 0 });
  await until(() => told.length === 1, "it is told");
  const { quality } = call.snapshot;
  assert.deepEqual([quality.roundTripMs, quality.jitterMs, quality.lateMs, quality.warnings], [450, 3, 40, []]);
  engine.say({ type: "agent", state: "listening" });
  await until(() => call.snapshot.agent === "listening", "something else changed");
  assert.equal(call.snapshot.quality, quality, "it is the same until something of it is told");
  engine.say({ type: "rtt", us: 470_000 });
  await until(() => told.length === 2, "there is something to warn of");
  assert.deepEqual(told, ["450 200 ", "470 200 high-rtt"]);
  assert.deepEqual(call.snapshot.quality.warnings, ["high-rtt"]);
  await call.close();
});

test("a connection that comes back is counted", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  const { engine } = browser;
  for (const state of ["reconnecting", "connected", "reconnecting", "connected"] as const) engine.say({ type: "state", state, attempt: 0, retryInMs: 0 });
  engine.say({ type: "quality", jitterMs: null, lateMs: null, underruns: 0, droppedMs: 0, waitingMs: 0, clippedMs: 0 });
  await until(() => call.snapshot.quality !== UNMEASURED, "it is told");
  assert.equal(call.snapshot.quality.reconnects, 2);
  await call.close();
});

test("the element dispatches every event but those of tools", () => {
  const expected = EVENTS.filter((name) => !/^tool/.test(name));
  assert.deepEqual([...FORWARDED].sort(), expected.sort());
});
