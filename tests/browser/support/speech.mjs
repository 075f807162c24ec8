// @ts-check
// Spoken words as WAV files, made when they are needed: 44.1 kHz for Chromium's microphone, 16 kHz as an ideal resampler
// would make them.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readWav } from "./wav.mjs";

/** What Chromium's fake microphone runs at; any other rate it would resample, badly. */
const MICROPHONE_HZ = 44_100;
const SPEECH_HZ = 16_000;

/** Something to say or to be silent: words, or seconds. @typedef {string | number} Part */

/**
 * @typedef {object} Speech
 * @property {string} file WAV at 44.1 kHz, 16 bits: the microphone.
 * @property {Float64Array} reference The same at 16 kHz, by sox's best resampler, in floating point.
 * @property {number} rate 16,000.
 * @property {number} seconds
 * @property {{ begin: number, end: number }[]} words Where the words of each spoken part lie, in samples of the reference.
 */

/**
 * Speaks the parts one after the other.
 * @param {import("./stage.mjs").Stage} stage Removes the files when the test is over.
 * @param {Part[]} parts
 * @param {{ flite?: string }} [options] `flite`: the voice of flite that speaks; eSpeak NG, which no recogniser understands, if there is none.
 * @returns {Speech}
 */
export function speak(stage, parts, { flite } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "voxrelay-speech-"));
  stage.after(() => rmSync(folder, { recursive: true, force: true }));
  const files = parts.map((part, i) => {
    const file = join(folder, `part${i}.wav`);
    if (typeof part === "string") {
      const spoken = join(folder, `spoken${i}.wav`);
      if (flite) execFileSync("flite", ["-voice", flite, "-t", part, "-o", spoken]);
      else execFileSync("espeak-ng", ["-v", "en-us", "-s", "150", "-w", spoken, part]);
      execFileSync("sox", [spoken, "-r", `${MICROPHONE_HZ}`, "-b", "16", "-c", "1", file, "gain", "-n", "-3"]);
    } else {
      execFileSync("sox", ["-n", "-r", `${MICROPHONE_HZ}`, "-b", "16", "-c", "1", file, "trim", "0", `${part}`]);
    }
    return file;
  });
  const file = join(folder, "microphone.wav");
  const reference = join(folder, "reference.wav");
  execFileSync("sox", [...files, file]);
  execFileSync("sox", [file, "-e", "float", "-b", "32", "-r", `${SPEECH_HZ}`, reference, "rate", "-v"]);
  let at = 0;
  const words = [];
  for (const [i, part] of parts.entries()) {
    const length = Math.round((readWav(files[i]).samples.length * SPEECH_HZ) / MICROPHONE_HZ);
    if (typeof part === "string") words.push({ begin: at, end: at + length });
    at += length;
  }
  const { samples, rate } = readWav(reference);
  return { file, reference: samples, rate, seconds: samples.length / rate, words };
}

/**
 * Brings samples of any rate to 16 kHz, by the same resampler as the reference.
 * @param {Float32Array} samples
 * @param {number} rate
 */
export function toReferenceRate(samples, rate) {
  const raw = ["-t", "raw", "-e", "float", "-b", "32", "-c", "1"];
  const output = execFileSync(
    "sox",
    [...raw, "-r", `${rate}`, "-", ...raw, "-r", `${SPEECH_HZ}`, "-", "rate", "-v"],
    { input: Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength), maxBuffer: 1 << 28 },
  );
  const floats = new Float32Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.byteLength));
  return Float64Array.from(floats);
}
