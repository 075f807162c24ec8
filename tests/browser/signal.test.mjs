// @ts-check
// The measure itself: what the browser tests assert would mean nothing if it could not tell these apart.

import assert from "node:assert/strict";
import { test } from "node:test";

import { compare, median } from "./support/signal.mjs";

const RATE = 16_000;
const CHUNK = 1_600;

/** Five seconds of something like speech: harmonics of a gliding pitch, in syllables. @param {number} [delay] in samples */
function speech(delay = 0) {
  return Float64Array.from({ length: 5 * RATE }, (_, i) => {
    const t = (i - delay) / RATE;
    const phase = 2 * Math.PI * (120 * t + 9 * Math.sin(1.7 * t) + 3 * Math.sin(5.3 * t));
    let sum = 0;
    for (let h = 1; h <= 40; h++) sum += Math.sin(h * phase + h * h) / h;
    return 0.1 * sum * (0.6 + 0.4 * Math.sin(2 * Math.PI * 3 * t));
  });
}

/** @param {Float64Array} samples */
const as16Bits = (samples) => samples.map((sample) => Math.round(sample * 32767) / 32768);

test("a copy that is late by a fraction of a sample and rounded to 16 bits matches as well as 16 bits can", () => {
  const recording = new Float64Array(7 * RATE);
  recording.set(as16Bits(speech(0.37)), 5_000);
  const matches = compare(speech(), recording, RATE);
  assert.ok(matches.length >= 9);
  assert.ok(median(matches.map((match) => match.snrDb)) > 65, JSON.stringify(matches));
  for (const match of matches) assert.ok(Math.abs(match.lag - 5_000.37) < 0.01, JSON.stringify(match));
});

test("a lost chunk and a repeated one shift what follows by exactly one chunk", () => {
  const source = speech();
  const half = 2.5 * RATE;
  const lost = Float64Array.from([...source.subarray(0, half), ...source.subarray(half + CHUNK), ...new Float64Array(RATE)]);
  const repeated = Float64Array.from([...source.subarray(0, half), ...source.subarray(half - CHUNK), ...new Float64Array(RATE)]);
  for (const [recording, shift] of /** @type {const} */ ([[lost, -CHUNK], [repeated, CHUNK]])) {
    const padded = Float64Array.from([...new Float64Array(RATE), ...recording]);
    const lags = compare(source, padded, RATE).map((match) => match.lag);
    const moved = lags[lags.length - 1] - lags[0];
    assert.ok(Math.abs(moved - shift) < 0.01, `moved by ${moved}`);
  }
});

test("noise at a tenth of the amplitude is measured as about 20 dB, and a wrong recording as no match", () => {
  const source = speech();
  let state = 1;
  const noise = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1) * Math.sqrt(3);
  const rms = Math.sqrt(source.reduce((sum, sample) => sum + sample * sample, 0) / source.length);
  const noisy = new Float64Array(7 * RATE);
  noisy.set(source.map((sample) => sample + 0.1 * rms * noise()), RATE);
  const snr = median(compare(source, noisy, RATE).map((match) => match.snrDb));
  assert.ok(snr > 18 && snr < 24, `${snr} dB`);
  const wrong = Float64Array.from({ length: 7 * RATE }, () => 0.1 * noise());
  assert.ok(median(compare(source, wrong, RATE).map((match) => match.snrDb)) < 0);
});
