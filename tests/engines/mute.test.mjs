// @ts-check
// In every engine: while the microphone is muted, or the call on hold, nothing is sent, and nothing is metered.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";

/** By then what was said before is at the relay, and metered. */
const SETTLE_MS = 1_500;
const MUTED_MS = 3_000;

describe("a muted microphone, and a call on hold", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  /** @type {("mute" | "hold")[]} */
  const ways = ["mute", "hold"];
  for (const [name, way] of ENGINES.flatMap((name) => ways.map((way) => /** @type {const} */ ([name, way])))) {
    test(`${way}: nothing is sent or metered, and it is heard again afterwards, in ${name}`, async () => {
      const { call, proxy, relay } = await openPage(stage, name);
      const metered = async () => (await call.noted()).findLast(({ name }) => name === "usage")?.event.audioMs ?? 0;
      await call.start();
      await until("it is metered", async () => (await metered()) > 1_000);
      await call[way](true);
      await sleep(SETTLE_MS);
      const [from, before] = [Date.now(), await metered()];
      await sleep(MUTED_MS);
      assert.equal(proxy.audioUp(from).length, 0, "nothing is sent");
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
