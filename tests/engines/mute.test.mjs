// @ts-check
// In every engine: a microphone that is muted, or a call that is put on hold, is so at once, and meanwhile nothing is sent, and nothing is metered.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";

/** By then what was said before is at the relay, and metered. */
const SETTLE_MS = 1_500;
const MUTED_MS = 3_000;
/** Nothing is sent that was captured so long after it was muted, or later. */
const AT_ONCE_MS = 100;

/** What stands before the samples of a frame: docs/protocol.md. */
const HEADER_BYTES = 12;
const SAMPLES_A_MS = 16;

/** So long before it is muted it is looked how fast a frame comes: a busy machine's microphone loses samples in longer times. */
const LOOKED_MS = 2_000;

/**
 * When the last sample of these frames was captured at the latest, by `Date.now()`: no frame comes before its last sample was captured, and the one
 * that was fastest came soon after.
 * @param {{ time: number, position: number, length: number }[]} frames
 */
function capturedUntil(frames) {
  const ends = frames.map(({ position, length }) => (position + (length - HEADER_BYTES) / 2) / SAMPLES_A_MS);
  return Math.min(...frames.map(({ time }, i) => time - ends[i])) + Math.max(...ends);
}

describe("a muted microphone, and a call on hold", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  /** @type {("mute" | "hold")[]} */
  const ways = ["mute", "hold"];
  for (const [name, way] of ENGINES.flatMap((name) => ways.map((way) => /** @type {const} */ ([name, way])))) {
    test(`${way}: at once nothing is sent or metered, and it is heard again afterwards, in ${name}`, async (t) => {
      const { call, proxy, relay } = await openPage(stage, name);
      const metered = async () => (await call.noted()).findLast(({ name }) => name === "usage")?.event.audioMs ?? 0;
      await call.start();
      await until("it is metered", async () => (await metered()) > 1_000);
      await call[way](true);
      const muted = Date.now();
      await sleep(SETTLE_MS);
      const [from, before] = [Date.now(), await metered()];
      await sleep(MUTED_MS);
      assert.equal(proxy.audioUp(from).length, 0, "nothing is sent");
      const late = capturedUntil(proxy.audioUp(muted - LOOKED_MS)) - muted;
      t.diagnostic(`the last sample that was sent was captured ${Math.round(late)} ms after it was muted`);
      assert.ok(late <= AT_ONCE_MS, `${late} ms`);
      assert.equal(await metered(), before, "nothing is metered");
      await call[way](false);
      await until("it is metered again", async () => (await metered()) > before + 1_000);
      await call.close();
      const session = await relay.endedSession();
      const billed = relay.ledger(session.id).reduce((sum, row) => sum + row.quantity, 0);
      assert.equal(billed, session.audio_samples);
      assert.equal(await metered(), Math.floor(billed / 16));
    });
  }
});
