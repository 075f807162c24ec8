// @ts-check
// What `cargo xtask bench page` measures is measurable: a short run of it. How much it is depends on the machine, and is not judged here.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { measurePage } from "../browser/support/page-cost.mjs";
import { Stage } from "../browser/support/stage.mjs";

const SECONDS = 20;
const CLICKS = 2;

describe("what a call costs its page", { skip: process.platform !== "linux" && "it is read from /proc" }, () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("every figure of the bench is measured, and the measurement finds what is known", async (t) => {
    const { idle, burning, bare, metered, call, click, bareClick } = await measurePage(stage, { seconds: SECONDS, clicks: CLICKS });
    t.diagnostic(`main thread ${call.main.toFixed(2)} %, Worker ${call.worker.toFixed(2)} %, click to chunk ${click.half.toFixed(0)} ms`);

    assert.ok(burning.main > 10 * idle.main, `a page that burns takes ${burning.main} %, one that does nothing ${idle.main} %`);
    const apart = Math.abs(burning.main - burning.tasks) / burning.main;
    assert.ok(apart < 0.2, `the kernel says ${burning.main} %, Chromium ${burning.tasks} %`);
    for (const { main, audio } of [bare, call]) assert.ok(main > 0 && audio > 0);

    assert.equal(call.engine, "worker");
    assert.ok(call.worker > 0, "the engine's thread has a name by which it is found");
    assert.deepEqual(call.errors, []);
    assert.ok(call.answers >= 1, "the page heard an answer");
    assert.ok(call.playback.sounding > 0, "the gauge heard it, too");
    assert.equal(metered.engine, "worker");
    for (const { run } of [call.tap, call.playback]) assert.ok(run > 0, "the gauge counted quanta");
    assert.ok(call.microphone.totalFrames > 0 && call.loudspeaker.totalDuration > 0, "the browser counted, too");
    for (const bytes of Object.values(call.memory.after)) assert.ok(bytes > 0);
    assert.equal(call.chunks.lost, 0);
    assert.equal(call.gaps, 0);
    for (const { trials } of [click, bareClick]) {
      assert.equal(trials.length, CLICKS);
      // A chunk holds 100 ms of sound.
      for (const { ms } of trials) assert.ok(ms > 100, `a chunk came ${ms} ms after the click`);
    }
  });
});
