// @ts-check
// A whole call: spoken words go from the microphone to the relay and come back, and are counted.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay } from "./support/relay.mjs";
import { compare, median } from "./support/signal.mjs";
import { speak, toReferenceRate } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";
import { readWav } from "./support/wav.mjs";

/**
 * What is right leaves 66 dB here: two roundings to 16 bits, of the microphone file and of ours. What is wrong leaves, with
 * this speech and this measure: linear interpolation 41 dB, a pitch error of 566 ppm 13 dB, sixteen lost samples 27 dB in
 * their window. The median over the windows lets a busy machine's fake microphone lose a step here and there.
 */
const UPLINK_SNR_DB = 55;
/** 61 dB: resampled twice more, to the agent's rate and to the loudspeaker's, and rounded once more. */
const ECHO_SNR_DB = 50;

describe("a spoken call", () => {
  const stage = new Stage();
  /** @type {import("./support/speech.mjs").Speech} */
  let speech;
  /** @type {Relay} */
  let relay;
  /** @type {import("./support/relay.mjs").SessionRow} */
  let session;
  /** @type {import("./support/test-page.mjs").Noted[]} */
  let noted;
  /** @type {Awaited<ReturnType<TestPage["heard"]>>} */
  let heard;
  let seconds = 0;
  let engine = "";

  before(async () => {
    speech = speak(stage, [
      1,
      "The quick brown fox jumps over the lazy dog.",
      5,
      "Seven wizards brought a jug of extra fine mead.",
      6,
    ]);
    relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage, { microphone: speech.file });
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    ({ engine } = await page.start({ record: true }));
    const begin = Date.now();
    await new Promise((resolve) => setTimeout(resolve, speech.seconds * 1000));
    await page.close();
    seconds = (Date.now() - begin) / 1000;
    noted = await page.noted();
    heard = await page.heard();
    session = await relay.endedSession();
  });
  after(() => stage.clear());

  test("the engine runs in a Worker", () => assert.equal(engine, "worker"));

  test("the relay received what was spoken, as an ideal resampler would have made it", async (t) => {
    const { samples, rate } = readWav(await relay.recording(session.id));
    assert.equal(rate, 16_000);
    const matches = compare(speech.reference, samples, rate);
    const snr = matches.map((match) => match.snrDb);
    t.diagnostic(`${snr.length} windows, SNR median ${median(snr).toFixed(1)} dB, worst ${Math.min(...snr).toFixed(1)} dB`);
    assert.ok(matches.length >= 8, `${matches.length} windows with speech were found`);
    assert.ok(median(snr) >= UPLINK_SNR_DB, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
    assert.ok(Math.abs(median(matches.map((match) => match.gain)) - 1) < 0.02, "the level is as it was");
  });

  test("the words come back to the page's output", (t) => {
    const output = toReferenceRate(heard.samples, heard.rate);
    for (const { begin, end } of speech.words) {
      const matches = compare(speech.reference.subarray(begin, end), output, speech.rate);
      const snr = matches.map((match) => match.snrDb);
      t.diagnostic(`${snr.length} windows, SNR median ${median(snr).toFixed(1)} dB, gain ${matches[0]?.gain.toFixed(3)}`);
      assert.ok(matches.length >= 3, `${matches.length} windows with speech came back`);
      assert.ok(median(snr) >= ECHO_SNR_DB, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
    }
  });

  test("a caption says how long each utterance was", () => {
    const captions = noted.filter(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
    assert.equal(captions.length, speech.words.length, JSON.stringify(captions));
    for (const [i, { event }] of captions.entries()) {
      const said = Number(/You spoke for (\d+\.\d) s/.exec(event.text)?.[1]);
      const spoken = (speech.words[i].end - speech.words[i].begin) / speech.rate;
      assert.ok(Math.abs(said - spoken) < 0.8, `${event.text} It was ${spoken.toFixed(1)} s.`);
    }
  });

  test("the session row has the seconds of the call", async () => {
    assert.equal(session.end_reason, "normal");
    assert.equal(session.audio_samples, readWav(await relay.recording(session.id)).samples.length);
    const metered = session.audio_samples / 16_000;
    // A busy machine's fake microphone falls behind, never ahead; and the microphone is open a moment before the relay answers.
    assert.ok(metered > 0.8 * seconds && metered < seconds + 2, `${metered} s metered of ${seconds} s`);
  });

  test("the cost is exact: each row of the ledger, the session, and what the page was told", () => {
    const rows = relay.ledger(session.id);
    const [{ price_nano_usd, per }] = rows;
    // 0.0048 $ a minute, for samples.
    assert.equal(BigInt(price_nano_usd) * 960_000n, 4_800_000n * BigInt(per));
    const cost = ceilDivide(BigInt(session.audio_samples) * BigInt(price_nano_usd), BigInt(per));
    assert.equal(BigInt(session.cost_nano_usd), cost);
    assert.equal(rows.reduce((sum, row) => sum + row.cost_nano_usd, 0), session.cost_nano_usd);
    assert.equal(rows.reduce((sum, row) => sum + row.quantity, 0), session.audio_samples);
    const { usage } = noted.findLast(({ name }) => name === "ended")?.event;
    assert.equal(usage.costNanoUsd, session.cost_nano_usd);
    assert.ok(Math.abs(usage.audioMs - session.audio_samples / 16) <= 1, `${usage.audioMs} ms`);
  });

  test("events come in the order that the README has", () => {
    const kinds = noted.map(({ name, event }) => (name === "state" ? event.state : name));
    const order = ["starting", "microphone", "connecting", "session", "connected", "closing", "closed", "ended"];
    const first = order.map((kind) => kinds.indexOf(kind));
    assert.ok(!first.includes(-1), kinds.join());
    assert.deepEqual(first, first.toSorted((a, b) => a - b), kinds.join());
    const ofTheCall = kinds.findIndex((kind) => /^(agent|transcript|usage|rtt)$/.test(kind));
    assert.ok(ofTheCall > kinds.indexOf("connected"), kinds.join());
    assert.equal(kinds.at(-1), "ended", "nothing follows");
  });

  test("nothing went wrong on the way", () => {
    assert.deepEqual(noted.filter(({ name }) => name === "error" || name === "gap"), []);
    const states = noted.filter(({ name }) => name === "state").map(({ event }) => event.state);
    assert.deepEqual(states, ["starting", "connecting", "connected", "closing", "closed"]);
    assert.equal(session.reconnects, 0);
  });
});

/**
 * @param {bigint} a
 * @param {bigint} b
 */
function ceilDivide(a, b) {
  return (a + b - 1n) / b;
}
