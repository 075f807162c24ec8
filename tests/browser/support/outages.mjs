// @ts-check
// The network goes away in mid-sentence. Nothing of what was said may be missing or come twice.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.mjs";
import { Proxy } from "./proxy.mjs";
import { Relay } from "./relay.mjs";
import { speak } from "./speech.mjs";
import { Stage } from "./stage.mjs";
import { TestPage } from "./test-page.mjs";
import { readWav } from "./wav.mjs";
import { STORY, assertWhole } from "./whole-talk.mjs";

/**
 * What happens to a call.
 * @typedef {object} Outage
 * @property {string} name
 * @property {(page: TestPage, proxy: Proxy) => Promise<void>} happen
 */

/** The tests of a call in which this happens while somebody speaks. @param {Outage} outage */
export function testOutage({ name, happen }) {
  describe(`while somebody speaks, ${name}`, () => {
    const stage = new Stage();
    /** @type {import("./speech.mjs").Speech} */
    let speech;
    /** @type {Relay} */
    let relay;
    /** @type {import("./relay.mjs").SessionRow} */
    let session;
    /** @type {string[]} */
    let states;
    /** @type {import("./test-page.mjs").Noted[]} */
    let noted;

    before(async () => {
      speech = speak(stage, [0.5, STORY, 2]);
      relay = await Relay.start();
      stage.after(() => relay.stop());
      const proxy = await Proxy.start(relay.port);
      stage.after(() => proxy.stop());
      const browser = await launch(stage, { microphone: speech.file });
      const page = await TestPage.open(browser, proxy.url);
      await page.start();
      const begin = Date.now();
      await sleep(5_000);
      const before = (await page.noted()).length;
      await happen(page, proxy);
      const lost = await page.hears(({ name, event }) => name === "state" && event.state === "reconnecting", before);
      await page.hears(({ name, event }) => name === "state" && event.state === "connected", lost);
      await sleep(Math.max(0, speech.seconds * 1000 - (Date.now() - begin)));
      await page.close();
      noted = await page.noted();
      states = noted.slice(before).filter(({ name }) => name === "state").map(({ event }) => event.state);
      session = await relay.endedSession();
    });
    after(() => stage.clear());

    test("the page is told of the loss and of the return", () => {
      const lost = states.indexOf("reconnecting");
      assert.ok(lost >= 0, states.join(" "));
      assert.ok(states.indexOf("connected", lost) > lost, states.join(" "));
      assert.equal(session.end_reason, "normal");
      assert.ok(session.reconnects >= 1);
      assert.equal(session.epoch, 0);
    });

    test("the session is told before the call is up, once, and after the outage it is the same", () => {
      const order = noted.map(({ name, event }) => (name === "state" ? event.state : name));
      const steps = ["starting", "microphone", "connecting", "session", "connected"];
      assert.deepEqual(order.slice(0, order.indexOf("connected") + 1).filter((step) => steps.includes(step)), steps);
      assert.equal(order.filter((step) => step === "session").length, 1, "it is told anew only where it is another one");
      // What the call has cost in the end may be told between the two.
      assert.deepEqual(order.slice(order.indexOf("closed")).filter((step) => step !== "usage"), ["closed", "ended"]);
      assert.equal(order.at(-1), "ended");
    });

    test("every chunk arrived, and once", async (t) => {
      assert.deepEqual(noted.filter(({ name }) => name === "gap"), []);
      const { samples, rate } = readWav(await relay.recording(session.id));
      // The agent may be heard for a moment longer than the user, on a busy machine for a longer one: beyond what was metered there is nothing
      // but silence.
      const rest = Array.from(samples.slice(session.audio_samples));
      assert.ok(samples.length >= session.audio_samples && rest.length < rate, `${rest.length} samples more`);
      assert.ok(rest.every((sample) => sample === 0), "silence");
      assertWhole(t, speech, { samples, rate });
    });

    test("what arrived was metered once", () => {
      const rows = relay.ledger(session.id);
      assert.equal(rows.reduce((sum, row) => sum + row.quantity, 0), session.audio_samples);
      let next = 0;
      for (const row of rows) {
        assert.equal(row.from_quantity, next);
        next += row.quantity;
      }
    });
  });
}
