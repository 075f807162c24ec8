// @ts-check
// Reads the WAV files that sox and the relay write, 16-bit or float: their first channel.

import { readFileSync } from "node:fs";

/**
 * @typedef {object} Wav
 * @property {number} rate Samples a second.
 * @property {Float64Array} samples -1 to 1.
 */

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;

/**
 * @param {string} path
 * @returns {Wav}
 */
export function readWav(path) {
  const bytes = readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let format = 0;
  let channels = 0;
  let rate = 0;
  let bits = 0;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const id = bytes.toString("latin1", at, at + 4);
    const length = view.getUint32(at + 4, true);
    const body = at + 8;
    if (id === "fmt ") {
      format = view.getUint16(body, true);
      channels = view.getUint16(body + 2, true);
      rate = view.getUint32(body + 4, true);
      bits = view.getUint16(body + 14, true);
      if (format === EXTENSIBLE) format = view.getUint16(body + 24, true);
    } else if (id === "data") {
      // A file whose writer was stopped may claim more, or less, than it holds.
      const end = length === 0 ? bytes.length : Math.min(body + length, bytes.length);
      return { rate, samples: decode(view, body, end, format, bits, path).filter((_, i) => i % channels === 0) };
    }
    at = body + length + (length % 2);
  }
  throw new Error(`${path} holds no audio`);
}

/**
 * @param {DataView} view
 * @param {number} begin
 * @param {number} end
 * @param {number} format
 * @param {number} bits
 * @param {string} path
 */
function decode(view, begin, end, format, bits, path) {
  const bytes = bits / 8;
  const samples = new Float64Array(Math.floor((end - begin) / bytes));
  for (let i = 0; i < samples.length; i++) {
    const at = begin + i * bytes;
    if (format === PCM && bits === 16) samples[i] = view.getInt16(at, true) / 32768;
    else if (format === FLOAT && bits === 32) samples[i] = view.getFloat32(at, true);
    else throw new Error(`${path} is in format ${format} with ${bits} bits`);
  }
  return samples;
}
