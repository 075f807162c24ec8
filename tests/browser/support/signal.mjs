// @ts-check
// Finds one signal in another and says how well it matches.

const MIN_HZ = 80;
/** Up to here the resampler is flat (its goal); above, two good resamplers differ by design. */
const MAX_HZ = 7000;

/**
 * Where, and how well, a window of the reference was found.
 * @typedef {object} Match
 * @property {number} at First sample of the window in the reference.
 * @property {number} lag Samples by which the window comes later in the recording, with its fraction.
 * @property {number} gain Amplitude in the recording over that in the reference.
 * @property {number} snrDb Energy of the window over the energy of what differs, from 80 Hz to 7 kHz.
 */

/**
 * In-place FFT of a power-of-two length.
 * @param {Float64Array} re
 * @param {Float64Array} im
 */
export function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const angle = (-2 * Math.PI * k) / size;
      const c = Math.cos(angle);
      const s = Math.sin(angle);
      for (let a = k; a < n; a += size) {
        const b = a + half;
        const x = re[b] * c - im[b] * s;
        const y = re[b] * s + im[b] * c;
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
    }
  }
}

/**
 * The lag at which `needle` correlates best with `hay`, and how well: 1 is a perfect match.
 * @param {Float64Array} needle
 * @param {Float64Array} hay
 * @returns {{ lag: number, correlation: number }}
 */
export function locate(needle, hay) {
  let n = 1;
  while (n < needle.length + hay.length) n *= 2;
  const [ar, ai, br, bi] = [0, 0, 0, 0].map(() => new Float64Array(n));
  ar.set(needle);
  br.set(hay);
  fft(ar, ai);
  fft(br, bi);
  // The inverse of B·conj(A) by a forward transform of its conjugate: only the real part is read.
  for (let i = 0; i < n; i++) {
    const re = br[i] * ar[i] + bi[i] * ai[i];
    const im = bi[i] * ar[i] - br[i] * ai[i];
    ar[i] = re;
    ai[i] = -im;
  }
  fft(ar, ai);
  let best = 0;
  for (let i = 0; i < n; i++) if (ar[i] > ar[best]) best = i;
  const lag = best > hay.length ? best - n : best;
  const part = hay.subarray(Math.max(0, lag), Math.max(0, lag + needle.length));
  const norm = Math.sqrt(energy(needle) * energy(part));
  return { lag, correlation: norm > 0 ? ar[best] / n / norm : 0 };
}

/**
 * Compares windows of the reference with the recording. Windows without speech, and those the recording was too early or
 * too late for, are left out. Each window is looked for near where the one before was found, so that a few samples that
 * a busy machine's fake microphone lost in between do not count as noise; what they did to the lag is in the result.
 * @param {Float64Array} reference
 * @param {Float64Array} recording At the same rate.
 * @param {number} rate
 * @param {{ windowSeconds?: number, searchSeconds?: number }} [options]
 * @returns {Match[]}
 */
export function compare(reference, recording, rate, { windowSeconds = 0.5, searchSeconds = 0.25 } = {}) {
  const size = Math.round(windowSeconds * rate);
  const search = Math.round(searchSeconds * rate);
  const energies = windows(reference, size).map((at) => energy(tapered(reference.subarray(at, at + size), size)));
  const loudest = Math.max(...energies);
  let { lag } = locate(reference, recording);
  /** @type {Match[]} */
  const matches = [];
  for (const [i, at] of windows(reference, size).entries()) {
    if (energies[i] < loudest / 1000) continue;
    const part = reference.subarray(at, at + size);
    const from = at + lag - search;
    const to = at + lag + size + search;
    if (from < 0 || to > recording.length) continue;
    const found = locate(part, recording.subarray(from, to));
    const whole = from + found.lag;
    if (found.correlation > 0.5) lag = whole - at;
    matches.push({ at, ...measure(part, recording.subarray(whole, whole + size), rate, whole - at) });
  }
  return matches;
}

/**
 * @param {number[]} values
 */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/**
 * Gain, fraction of a sample and SNR of two parts that are aligned to the sample. In the frequency domain, where a delay is a
 * phase and the band is a range of bins; the same taper on both keeps their edges out.
 * @param {Float64Array} part
 * @param {Float64Array} found
 * @param {number} rate
 * @param {number} lag
 */
function measure(part, found, rate, lag) {
  let n = 1;
  while (n < part.length) n *= 2;
  const [ar, ai, br, bi] = [0, 0, 0, 0].map(() => new Float64Array(n));
  ar.set(tapered(part, part.length));
  br.set(tapered(found, part.length));
  fft(ar, ai);
  fft(br, bi);
  const first = Math.ceil((MIN_HZ * n) / rate);
  const last = Math.floor((MAX_HZ * n) / rate);
  /** @param {number} delay */
  const correlation = (delay) => {
    let sum = 0;
    for (let k = first; k <= last; k++) {
      const phase = (2 * Math.PI * k * delay) / n;
      const re = br[k] * ar[k] + bi[k] * ai[k];
      const im = bi[k] * ar[k] - br[k] * ai[k];
      sum += re * Math.cos(phase) - im * Math.sin(phase);
    }
    return sum;
  };
  const delay = peak(correlation, -1.5, 1.5);
  let own = 0;
  let other = 0;
  for (let k = first; k <= last; k++) {
    own += ar[k] ** 2 + ai[k] ** 2;
    other += br[k] ** 2 + bi[k] ** 2;
  }
  const common = correlation(delay);
  const gain = common / own;
  const residual = Math.max(other - gain * common, Number.MIN_VALUE);
  return { lag: lag + delay, gain, snrDb: 10 * Math.log10((gain * common) / residual) };
}

/**
 * The place of the highest value: a grid finds the hill, thirds find its top.
 * @param {(x: number) => number} value
 * @param {number} from
 * @param {number} to
 */
function peak(value, from, to) {
  const step = (to - from) / 60;
  let best = from;
  for (let x = from; x <= to; x += step) if (value(x) > value(best)) best = x;
  let [low, high] = [best - step, best + step];
  while (high - low > 1e-6) {
    const third = (high - low) / 3;
    if (value(low + third) < value(high - third)) low += third;
    else high -= third;
  }
  return (low + high) / 2;
}

/**
 * What a window sees: nothing at its edges, so that a word that is cut there does not ring.
 * @param {Float64Array} samples
 * @param {number} size
 */
function tapered(samples, size) {
  return samples.map((sample, i) => sample * Math.sin((Math.PI * (i + 0.5)) / size) ** 2);
}

/** @param {Float64Array} samples */
function energy(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return sum;
}

/**
 * @param {Float64Array} samples
 * @param {number} size
 */
function windows(samples, size) {
  return Array.from({ length: Math.floor(samples.length / size) }, (_, i) => i * size);
}
