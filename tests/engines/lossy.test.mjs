// @ts-check
// A minute's call from a real Chromium over a network that takes 100 ms each way and loses packets: no word is lost, and it is said how
// late they are; where the buffer is too short for that, all that had to go is announced. `cargo xtask bench lossy-page` prints the table of docs/browsers.md.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "../browser/support/chromium-tabs.mjs";
import { watchContexts } from "../browser/support/contexts.mjs";
import { lossyNetwork } from "../browser/support/far.mjs";
import { PageServer } from "../browser/support/page-server.mjs";
import "../browser/support/priority.mjs";
import { Proxy } from "../browser/support/proxy.mjs";
import { Relay } from "../browser/support/relay.mjs";
import { compare, median } from "../browser/support/signal.mjs";
import { speak, toReferenceRate } from "../browser/support/speech.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { TestCall } from "../browser/support/test-call.mjs";
import { readWav } from "../browser/support/wav.mjs";

const DELAY_MS = 100;
const RATE = 16_000;
const CHUNK = 1_600;
const HEADER_BYTES = 12;
const UPLINK_SNR_DB = 55;
/** Who waits longer than this for an answer speaks again. */
const COMFORTABLE_MS = 1_000;

const STORY = [
  "The north wind and the sun were disputing which was the stronger, when a traveller came along wrapped in a warm cloak.",
  "They agreed that the one who first succeeded in making the traveller take his cloak off should be considered stronger than the other.",
  "Then the north wind blew as hard as he could, but the more he blew the more closely did the traveller fold his cloak around him,",
  "and at last the north wind gave up the attempt, for he had not moved a single button of that heavy coat.",
  "Then the sun shone out warmly, and immediately the traveller took off his cloak, and walked on over the bridge in his shirt.",
  "And so the north wind was obliged to confess that the sun was the stronger of the two, and went back over the sea to the hills,",
  "where the ships were waiting in the harbour for a breeze that would carry them home before the evening.",
];

/** TCP itself may wait for two minutes between two tries. */
const LOADING_MS = 300_000;

/** What falls behind for longer than this has to go. */
const SHORT_BUFFER_SECONDS = 5;
/** Such a silence is that with certainty, whatever luck the packets have: sockets take some seconds of audio as well. */
const OUTAGE_MS = 20_000;
/** The page is told of its microphone, and lets go of it, this much earlier or later than its last block is counted. */
const UNCERTAIN_S = 1;

/** A call keeps as much as is said in it, so that nothing has to go however late it is. */
const TRIALS = [
  { lossPercent: 0, bufferSeconds: 30, isComfortable: true },
  { lossPercent: 5, bufferSeconds: 30, isComfortable: true },
  { lossPercent: 30, bufferSeconds: 60, isComfortable: false },
];

/** @param {number[]} values @param {number} part From 0 to 1. */
const quantile = (values, part) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(part * values.length))];

/**
 * How late each chunk was, in ms: from when its last sample was at the page until it and everything before it had come.
 * @param {import("../browser/support/proxy.mjs").Frame[]} frames
 * @param {(position: number) => number | undefined} spokenAt When a sample was at the page, if that is known.
 */
function lateness(frames, spokenAt) {
  /** @type {Map<number, { time: number, end: number }>} */
  const first = new Map();
  for (const { time, position, length } of frames) {
    if (!first.has(position)) first.set(position, { time, end: position + (length - HEADER_BYTES) / 2 });
  }
  let come = 0;
  return [...first.entries()]
    .sort(([a], [b]) => a - b)
    .flatMap(([, { time, end }]) => {
      come = Math.max(come, time);
      const spoken = spokenAt(end);
      return spoken === undefined ? [] : [come - spoken];
    });
}

/**
 * Fetches the engine over the same network, as a page may before anybody clicks: at 30 % TCP now and then waits for longer than the SDK does, which
 * gives the file up then, and is asked again.
 * @param {import("../browser/support/engines.mjs").Tab} tab
 */
const preloaded = (tab) =>
  tab.evaluate(async () => {
    const { VoiceClient } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));
    for (let attempt = 1; ; attempt++) {
      try {
        return await VoiceClient.preload();
      } catch (thrown) {
        if (attempt === 3) throw thrown;
      }
    }
  }, undefined);

describe("a minute's call over a network that loses packets", () => {
  const stage = new Stage();
  /** @type {string[]} */
  const table = ["| packets lost | spoken | lost | late: half, 95 %, longest | connections | connected after | hung up after |", "|---|---|---|---|---|---|---|"];
  afterEach(() => stage.clear());
  after(() => console.log(table.join("\n")));

  /**
   * A minute's call, to its end; for `outageMs` of it nothing goes through at all.
   * @param {number} lossPercent
   * @param {number} bufferSeconds
   */
  async function called(lossPercent, bufferSeconds, outageMs = 0) {
    // Each sentence after the other, without a pause in which a chunk could be lost unheard.
    const speech = speak(stage, [3, STORY.join(" "), 2]);
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const network = await lossyNetwork(stage, { delayMs: DELAY_MS, lossPercent });
    const server = await PageServer.start(relay.port);
    stage.after(() => server.stop());
    const proxy = await Proxy.start(server.port, network.near);
    stage.after(() => proxy.stop());
    const { open } = await launch(stage, { microphone: speech.file, isLooped: true, trusts: proxy.url, there: network.there });
    const tab = await open(proxy.url + PageServer.path);
    const contexts = await watchContexts(tab);
    await preloaded(tab);
    await tab.click();
    const call = new TestCall(tab);
    // The SDK comes over the same network, and takes its time: its worklet, too, for which the browser asks when the microphone is open. The file
    // is played from that opening on and over again, so that all of it is heard in the minute from whenever the worklet is there.
    const starting = call.start({ bufferSeconds });
    await call.hears(({ name, event }) => name === "microphone" && event.live, 0, LOADING_MS);
    const begin = Date.now();
    await starting.catch((error) => {
      const seen = proxy.frames.map(({ time, direction, opcode, type, connection }) => `${time - begin} ms: ${direction} ${type ?? opcode} (${connection})`);
      throw new Error(`${error.message}; the relay says:\n${relay.log}\n${seen.join("\n")}`);
    });
    const connected = Date.now() - begin;
    if (outageMs) {
      proxy.freeze();
      await sleep(outageMs);
      proxy.thaw();
    }
    await sleep(Math.max(0, speech.seconds * 1_000 - connected - outageMs));
    const hangUp = Date.now();
    await call.close();
    const hungUp = Date.now() - hangUp;
    const session = await relay.endedSession();
    const noted = await call.noted();
    const gaps = noted.filter(({ name }) => name === "gap").reduce((sum, { event }) => sum + event.samples, 0);
    return { speech, relay, session, noted, contexts, proxy, gaps, connected, hungUp };
  }

  for (const { lossPercent, bufferSeconds, isComfortable } of TRIALS) {
    test(`loses no word where ${lossPercent} % of them are lost${isComfortable ? ", and is comfortable" : ""}`, async (t) => {
      const { speech, relay, session, contexts, proxy, gaps, connected, hungUp } = await called(lossPercent, bufferSeconds);
      const { samples, rate } = readWav(await relay.recording(session.id));
      const given = await contexts.captured();
      const matches = compare(toReferenceRate(given.samples, given.rate), samples, rate);
      const snr = matches.map((match) => match.snrDb);
      const lags = matches.map((match) => match.lag);
      const lag = median(lags);
      const moved = Math.max(...lags.map((own) => Math.abs(own - lag)));
      const [givenSeconds, recordedSeconds] = [given.samples.length / given.rate, samples.length / rate].map((length) => length.toFixed(1));
      t.diagnostic(`${snr.length} windows of ${givenSeconds} s given and ${recordedSeconds} s recorded`);
      t.diagnostic(`SNR median ${median(snr).toFixed(1)} dB, ${(lag / rate).toFixed(1)} s behind, moved by ${moved.toFixed(1)} samples`);

      const block = given.samples.length / given.times.length;
      const late = lateness(proxy.audioUp(), (position) => given.times[Math.floor(((position - lag) * given.rate) / RATE / block)]);
      const [half, most, longest] = [0.5, 0.95, 1].map((part) => (quantile(late, part) / 1_000).toFixed(2));
      const spoken = (session.audio_samples / RATE).toFixed(0);
      const isMissed = isComfortable && Number(most) * 1_000 >= COMFORTABLE_MS;
      const times = `${half}, ${most}, ${longest} s${isMissed ? " NOT REACHED" : ""}`;
      const row = [`${lossPercent} %`, `${spoken} s`, `${gaps / RATE} s`, times, session.reconnects + 1];
      table.push(`| ${[...row, `${(connected / 1_000).toFixed(1)} s`, `${(hungUp / 1_000).toFixed(1)} s`].join(" | ")} |`);

      assert.equal(session.end_reason, "normal");
      assert.equal(gaps, 0, "nothing was given up");
      const due = (speech.words[0].end - speech.words[0].begin) / rate / 0.5;
      assert.ok(matches.length > 0.8 * due, `${matches.length} windows of ${due.toFixed(0)} were found`);
      assert.ok(median(snr) >= UPLINK_SNR_DB, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
      assert.ok(moved < CHUNK / 2, `the windows lie ${lags.map((x) => x.toFixed(0))} samples late`);
      assert.ok(!isMissed, `${most} s late`);
    });
  }

  test("announces all that had to go where 30 % of them are lost and the buffer is short", async (t) => {
    const { session, noted, contexts, gaps } = await called(30, SHORT_BUFFER_SECONDS, OUTAGE_MS);
    // The microphone is heard before the SDK's worklet is there: what was spoken counts from then on.
    const from = noted.find(({ name, event }) => name === "microphone" && event.live)?.time ?? 0;
    const { samples, rate, times } = await contexts.captured();
    const spoken = (samples.length / times.length) * times.filter((time) => time >= from).length / rate;
    const [metered, announced] = [session.audio_samples, gaps].map((count) => count / RATE);
    t.diagnostic(`${spoken.toFixed(1)} s spoken, ${metered.toFixed(1)} s metered, ${announced.toFixed(1)} s announced in ${noted.filter(({ name }) => name === "gap").length} gaps`);
    assert.equal(session.end_reason, "normal");
    assert.ok(announced > 0, "more was said than fits the buffer");
    assert.ok(Math.abs(metered + announced - spoken) < UNCERTAIN_S, `${metered} s and ${announced} s of ${spoken} s`);
  });
});
