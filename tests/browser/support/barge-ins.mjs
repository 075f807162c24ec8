// @ts-check
// How soon the loudspeaker is silent when the user begins to speak over the agent.

/** The microphone is louder than this when somebody speaks: -34 dB of the full scale. Words begin softly. */
const VOICED = 0.02;
/** Nothing is heard below this. */
const SILENT = 0.001;
/** After so long it went on. */
export const PATIENCE_MS = 3_000;

/**
 * For each time that somebody began to speak while the agent sounded: how long the agent still sounded.
 * @param {{ blockMs: number, loudspeaker: number[], microphone: number[] }} levels
 * @returns {{ ms: number, begun: number, silent: number }[]} How long, infinite if it did not stop; the first block of the voice, and the first silent one.
 */
export function delays({ blockMs, loudspeaker, microphone }) {
  const blocks = (/** @type {number} */ ms) => Math.round(ms / blockMs);
  const is = (/** @type {number[]} */ levels, /** @type {number} */ from, /** @type {number} */ to, /** @type {(level: number) => boolean} */ what) =>
    from >= 0 && to <= levels.length && levels.slice(from, to).every(what);
  const found = [];
  for (let at = 0; at < microphone.length; at += 1) {
    if (microphone[at] < VOICED || !is(microphone, at - blocks(2_000), at, (level) => level < VOICED)) continue;
    if (!is(loudspeaker, at - blocks(200), at, (level) => level > SILENT)) continue;
    let silent = at;
    while (silent < loudspeaker.length && !is(loudspeaker, silent, silent + blocks(200), (level) => level < SILENT)) silent += 1;
    const hasStopped = silent < loudspeaker.length;
    // What has just begun is looked at again.
    if (hasStopped || (loudspeaker.length - at) * blockMs > PATIENCE_MS) found.push({ ms: hasStopped ? (silent - at) * blockMs : Infinity, begun: at, silent });
  }
  return found;
}

/** @param {number[]} values @param {number} part From 0 to 1. */
export const quantile = (values, part) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(part * values.length))];
