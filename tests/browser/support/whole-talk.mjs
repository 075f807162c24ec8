// @ts-check
// Somebody talks without a pause, and all of it has to arrive, and once.

import assert from "node:assert/strict";

import { compare, median } from "./signal.mjs";

/** One chunk. A chunk lost or repeated moves everything after it by as much; the fake microphone's own losses are smaller. */
const CHUNK = 1_600;

/** Talks without a pause, so that every chunk of the call is one that can be recognised. */
export const STORY = [
  "North wind and sun were disputing which was the stronger, when a traveller came along wrapped in a warm cloak,",
  "and they agreed that the one who first succeeded in making the traveller take his cloak off",
  "should be considered stronger than the other, and then the wind blew as hard as it could.",
].join(" ");

/**
 * Every chunk of the talk is in the recording, and once.
 * @param {import("node:test").TestContext} t
 * @param {import("./speech.mjs").Speech} speech
 * @param {import("./wav.mjs").Wav} recording
 */
export function assertWhole(t, speech, { samples, rate }) {
  const matches = compare(speech.reference, samples, rate);
  const snr = matches.map((match) => match.snrDb);
  const lags = matches.map((match) => match.lag);
  const moved = Math.max(...lags.map((lag) => Math.abs(lag - median(lags))));
  t.diagnostic(`${snr.length} windows, SNR median ${median(snr).toFixed(1)} dB, moved by ${moved.toFixed(1)} samples`);
  const due = (speech.words[0].end - speech.words[0].begin) / rate / 0.5;
  assert.ok(matches.length > 0.8 * due, `${matches.length} windows of ${due.toFixed(0)} were found`);
  assert.ok(median(snr) >= 55, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
  assert.ok(moved < CHUNK / 2, `the windows lie ${lags.map((x) => x.toFixed(0))} samples late`);
}
