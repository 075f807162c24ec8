// @ts-check
// The user speaks over the agent: the loudspeaker falls silent, without a click. `cargo xtask bench barge-in` does it 50 times and prints
// how long it took.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay, until } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { storyTeller } from "./support/story-teller.mjs";
import { TestPage } from "./support/test-page.mjs";

const TIMES = Number(process.env.E2E_BARGE_INS ?? 2);
const WORDS = "please wait a moment";
/** From the end of what the user says to the next time: the answer has to be there by then, and to sound for a while. */
const PAUSE_S = 6;
/** The stand-in's voice takes 60 ms a character. */
const STORY = `${"The tower was built in a year and stands on the hill above the town, where everybody can see it from far away, ".repeat(3)}and so on.`;

/** The microphone is louder than this when somebody speaks: -34 dB of the full scale. Words begin softly. */
const VOICED = 0.02;
/** After so long it went on. */
const PATIENCE_MS = 3_000;
/** Nothing is heard below this. */
const SILENT = 0.001;
/** No two samples of a 440 Hz tone of the stand-in's loudness are further apart than 0.02; a tone that is cut at its top is by 0.34. */
const CLICK = 0.1;

/**
 * For each time that somebody began to speak while the agent sounded: how long the agent still sounded.
 * @param {{ blockMs: number, loudspeaker: number[], microphone: number[] }} levels
 * @returns {{ ms: number, silent: number }[]} How long, infinite if it did not stop; and the first silent block.
 */
function delays({ blockMs, loudspeaker, microphone }) {
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
    if (hasStopped || (loudspeaker.length - at) * blockMs > PATIENCE_MS) found.push({ ms: hasStopped ? (silent - at) * blockMs : Infinity, silent });
  }
  return found;
}

/** @param {number[]} values @param {number} part From 0 to 1. */
const quantile = (values, part) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(part * values.length))];

describe("the user speaks over the agent", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test(`the loudspeaker falls silent without a click, ${TIMES} times`, async () => {
    const times = Array.from({ length: TIMES + 1 });
    const settings = await storyTeller(stage, { story: STORY, words: WORDS, times: TIMES + 2 });
    const relay = await Relay.start(settings);
    stage.after(() => relay.stop());

    // The microphone is opened before the call is: the first words come when the greeting has begun.
    const speech = speak(stage, [PAUSE_S, ...times.flatMap(() => [WORDS, PAUSE_S])]);
    const browser = await launch(stage, { microphone: speech.file });
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    await page.start({ meter: true });
    let found = /** @type {{ ms: number, silent: number }[]} */ ([]);
    const isDone = async () => (found = delays(await page.levels())).length >= TIMES;
    await until("it was interrupted so often", isDone, (speech.seconds + 20) * 1_000);
    await page.hangUp();

    const took = found.map(({ ms }) => ms);
    assert.ok(took.every((ms) => ms < PATIENCE_MS), `it went on: ${took}`);
    const { samples } = await page.heard();
    for (const { silent } of found) {
      let jump = 0;
      for (let i = (silent - 4) * 128; i < (silent + 2) * 128; i += 1) jump = Math.max(jump, Math.abs(samples[i + 1] - samples[i]));
      assert.ok(jump < CLICK, `it clicked when it fell silent: two samples are ${jump} apart`);
    }
    const turns = new Map();
    for (const { name, event } of await page.noted()) if (name === "transcript") turns.set(event.turn, event);
    const cut = [...turns.values()].filter(({ role, text }) => role === "agent" && text.trim() !== STORY.trim());
    assert.ok(cut.length >= TIMES, `what was not heard is taken back: ${JSON.stringify([...turns.values()])}`);
    const of = (/** @type {number} */ part) => Math.round(quantile(took, part));
    console.log(`${took.length} times: silent after ${of(0.5)} ms (median), ${of(0.95)} ms (p95), ${of(1)} ms at most`);
  });
});
