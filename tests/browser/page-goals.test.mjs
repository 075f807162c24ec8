// @ts-check
// What `cargo xtask bench page` prints and how it ends follow from what was measured: here nothing is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { isGood, rows, table } from "./support/page-goals.mjs";

const THREADS = { main: 0.2, worker: 1.4, audio: 2.6, all: 4.2, threads: {} };
const HEAPS = { page: 1_000_000, worker: 1_000_000, wasm: 1_000_000 };

/** A call that reaches every goal, but for what is told. @param {object} [call] @param {number} [longest] */
function cost(call = {}, longest = 181) {
  const clicked = { half: 152, most: 172, longest, shortest: 140, trials: [] };
  const good = {
    ...THREADS,
    memory: { before: HEAPS, after: HEAPS },
    tap: { run: 1_000, missed: 0, empty: 0 },
    playback: { run: 1_000, missed: 0, silences: 0 },
    loudspeaker: { underrunEvents: 0 },
    microphone: { totalFrames: 500, deliveredFrames: 500 },
    answers: 4,
    chunks: { count: 200, longestGapMs: 113, lost: 0 },
  };
  const others = { idle: THREADS, burning: { ...THREADS, main: 10.25, tasks: 10.12 }, bare: THREADS, metered: THREADS };
  const measured = { seconds: 20, clicks: 8, ...others, call: { ...good, ...call }, click: clicked, bareClick: { ...clicked, longest: 999 } };
  return /** @type {import("./support/page-cost.mjs").PageCost} */ (/** @type {unknown} */ (measured));
}

/** The lines of the table that say that a goal is missed. @param {import("./support/page-cost.mjs").PageCost} measured */
function missed(measured) {
  const judged = rows(measured);
  const lines = table(measured, judged).split("\n");
  const marked = lines.filter((line) => line.endsWith("NOT REACHED"));
  assert.equal(lines.length, judged.length + 1, "everything is printed, whatever is missed");
  assert.equal(isGood(judged), marked.length === 0);
  return marked;
}

test("a call that reaches every goal is good, and what has no goal is not judged", () => {
  assert.deepEqual(missed(cost()), []);
  assert.deepEqual(missed(cost({ loudspeaker: {} })), [], "not every browser counts underruns");
});

test("each goal that is missed is said in its own row", () => {
  for (const [measured, what] of /** @type {const} */ ([
    [cost({ main: 0.5 }), "the page's main thread"],
    [cost({ tap: { run: 1_000, missed: 0, empty: 1 } }), "quanta for which the tap"],
    [cost({ playback: { run: 1_000, missed: 2, silences: 0 } }), "quanta for which the player"],
    [cost({ playback: { run: 1_000, missed: 0, silences: 1 } }), "silences within an answer"],
    [cost({ loudspeaker: { underrunEvents: 3 } }), "underruns of the loudspeaker"],
    [cost({ microphone: { totalFrames: 500, deliveredFrames: 499 } }), "frames of the microphone"],
    [cost({ chunks: { count: 200, longestGapMs: 113, lost: 1 } }), "chunks at the relay"],
    [cost({}, 301), "click to first chunk"],
  ])) {
    const lines = missed(measured);
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.ok(lines[0].startsWith(what), lines[0]);
  }
});
