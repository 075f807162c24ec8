// @ts-check
// The network goes away in mid-sentence. Nothing of what was said may be missing or come twice.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.mjs";
import { Proxy } from "./proxy.mjs";
import { Relay } from "./relay.mjs";
import { compare, median } from "./signal.mjs";
import { speak } from "./speech.mjs";
import { Stage } from "./stage.mjs";
import { TestPage } from "./test-page.mjs";
import { readWav } from "./wav.mjs";

/** One chunk. A chunk lost or repeated moves everything after it by as much; the fake microphone's own losses are smaller. */
const CHUNK = 1_600;

/** Talks without a pause, so that every chunk of the call is one that can be recognised. */
const STORY = [
  "North wind and sun were disputing which was the stronger, when a traveller came along wrapped in a warm cloak,",
  "and they agreed that the one who first succeeded in making the traveller take his cloak off",
  "should be considered stronger than the other, and then the wind blew as hard as it could.",
];

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
      speech = speak(stage, [0.5, STORY.join(" "), 2]);
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
      const matches = compare(speech.reference, samples, rate);
      const snr = matches.map((match) => match.snrDb);
      const lags = matches.map((match) => match.lag);
      const moved = Math.max(...lags.map((lag) => Math.abs(lag - median(lags))));
      t.diagnostic(`${snr.length} windows, SNR median ${median(snr).toFixed(1)} dB, moved by ${moved.toFixed(1)} samples`);
      const due = (speech.words[0].end - speech.words[0].begin) / rate / 0.5;
      assert.ok(matches.length > 0.8 * due, `${matches.length} windows of ${due.toFixed(0)} were found`);
      assert.ok(median(snr) >= 55, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
      assert.ok(moved < CHUNK / 2, `the windows lie ${lags.map((x) => x.toFixed(0))} samples late`);
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
