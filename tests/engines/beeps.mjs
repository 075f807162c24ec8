// @ts-check
// Finds the beeps of WebKit's mock microphone: 70 ms once a second, high and low by turns, over a hum.

/** @typedef {{ at: number, hz: number }} Beep `at`: the first sample. */

const BLOCK_S = 0.01;
/** The hum has 0.08, a beep 0.36 of full scale. */
const BEEPING = 0.2;
/** What a beep may be, in Hz. */
const PITCHES = [1_500, 500];

/** @param {Float64Array} samples @param {number} rate @returns {Beep[]} */
export function beeps(samples, rate) {
  const size = Math.round(rate * BLOCK_S);
  const found = [];
  let isBeeping = false;
  for (let at = 0; at + 3 * size <= samples.length; at += size) {
    const wasBeeping = isBeeping;
    isBeeping = rms(samples.subarray(at, at + size)) > BEEPING;
    if (!isBeeping || wasBeeping) continue;
    const [a, b] = PITCHES.map((hz) => amplitude(samples.subarray(at + size, at + 3 * size), hz / rate));
    found.push({ at, hz: PITCHES[a > b ? 0 : 1] });
  }
  return found;
}

/** @param {Float64Array} samples */
const rms = (samples) => Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);

/** How much there is of a frequency, in cycles a sample. @param {Float64Array} samples @param {number} frequency */
function amplitude(samples, frequency) {
  let [re, im] = [0, 0];
  for (const [i, sample] of samples.entries()) {
    re += sample * Math.cos(2 * Math.PI * frequency * i);
    im += sample * Math.sin(2 * Math.PI * frequency * i);
  }
  return (2 * Math.hypot(re, im)) / samples.length;
}
