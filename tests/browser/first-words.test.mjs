// @ts-check
// Words that are said before the line is up.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { launch } from "./support/chromium.mjs";
import { Relay } from "./support/relay.mjs";
import { compare, median } from "./support/signal.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";
import { readWav } from "./support/wav.mjs";

/** What a busy machine is late by. */
const SETTLE_MS = 1_000;
/** As of a call whose line is up before the first word. */
const UPLINK_SNR_DB = 55;

describe("the first words of a call", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("are kept while it connects, and are at the relay as they were said", async (t) => {
    const speech = speak(stage, [1.5, "The quick brown fox jumps over the lazy dog.", 8]);
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const page = await TestPage.open(await launch(stage, { microphone: speech.file }), `http://127.0.0.1:${relay.port}`);
    /** @type {() => void} */
    let give = () => undefined;
    const held = new Promise((resolve) => (give = () => resolve(undefined)));
    await page.page.route("**/dev/token", async (route) => {
      await held;
      await route.continue();
    });
    const starting = page.start();
    await page.hears(({ name, event }) => name === "microphone" && event.live);
    const [{ begin, end }] = speech.words;
    await sleep((end / speech.rate) * 1_000 + SETTLE_MS);
    assert.deepEqual(relay.sessions(), [], "all of it is said before there is a call");
    give();
    await starting;
    await page.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
    await page.close();
    const session = await relay.endedSession();
    const { samples, rate } = readWav(await relay.recording(session.id));
    const snr = compare(speech.reference.subarray(begin, end), samples, rate).map(({ snrDb }) => snrDb);
    t.diagnostic(`${snr.length} windows, SNR median ${median(snr).toFixed(1)} dB, worst ${Math.min(...snr).toFixed(1)} dB`);
    assert.ok(snr.length >= 3, `${snr.length} windows with speech were found`);
    assert.ok(median(snr) >= UPLINK_SNR_DB, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
    assert.deepEqual((await page.noted()).filter(({ name }) => name === "error" || name === "gap"), []);
  });
});
