// @ts-check
// In every engine: a network that comes and goes while somebody speaks. The browser's word of it is said by the test, as no driver but Chromium's can
// take a network away.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";

const TIMES = 10;
const DOWN_MS = 1_000;
const UP_MS = 1_000;
/** What stands before the samples of a frame: docs/protocol.md. */
const HEADER_BYTES = 12;
const RATE = 16_000;

describe("a network that flaps", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const name of ENGINES) {
    test(`${TIMES} times within 20 s costs no word, makes no second session and leaves nothing, in ${name}`, async (t) => {
      const { call, proxy, tab, relay, tracks, contexts } = await openPage(stage, name);
      const says = (/** @type {"online" | "offline"} */ word) => tab.evaluate((type) => void dispatchEvent(new Event(type)), word);
      await call.start();
      await call.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
      const begin = Date.now();
      for (let time = 0; time < TIMES; time++) {
        proxy.freeze();
        await says("offline");
        await sleep(DOWN_MS);
        proxy.drop();
        proxy.thaw();
        await says("online");
        await sleep(UP_MS);
      }
      const spokenMs = Date.now() - begin;
      const calm = Date.now();
      await until("it is heard again", () => proxy.audioUp(calm).length > 20);
      await call.hangUp();
      const session = await relay.endedSession();
      t.diagnostic(`${session.reconnects} reconnects in ${spokenMs} ms`);
      const noted = await call.noted();
      assert.deepEqual(noted.filter(({ name }) => name === "gap"), []);
      assert.deepEqual([session.end_reason, session.epoch, relay.sessions().length], ["normal", 0, 1]);
      assert.ok(session.reconnects >= 1);
      assert.equal(noted.filter(({ name }) => name === "session").length, 1);
      const ends = proxy.audioUp().map(({ position, length }) => position + (length - HEADER_BYTES) / 2);
      assert.equal(session.audio_samples, Math.max(...ends), "all that the page said was heard, each sample once");
      assert.ok((session.audio_samples / RATE) * 1_000 >= spokenMs - 1_500, `${session.audio_samples} samples in ${spokenMs} ms`);
      assert.equal(await tracks.live(), 0);
      await until("its contexts are closed", async () => (await contexts.states()).every((state) => state === "closed"));
    });
  }
});
