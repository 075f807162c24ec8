// @ts-check
// The user speaks over the agent: the loudspeaker falls silent, without a click. `cargo xtask bench barge-in` does it 50 times with voice
// activity on the page and 50 times without, and prints how long it took: from the first block of the microphone that is not quiet to the first
// one of the loudspeaker that is, by the clock of one audio context. Without it, it prints as well how much of that went by after the relay had
// decided: from the moment when what the relay says was on its way to the page to that first block, by the clock of the machine.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { Relay, until } from "../support/relay.mjs";
import { PATIENCE_MS, delays, quantile } from "../support/barge-ins.mjs";
import { sameEverywhere } from "../support/heard.mjs";
import { Proxy } from "../support/proxy.mjs";
import { speak } from "../support/speech.mjs";
import { Stage } from "../support/stage.mjs";
import { storyTeller } from "../support/story-teller.mjs";
import { TestPage } from "../support/test-page.mjs";
import { Fakes } from "../../providers/support/fakes.mjs";

const TIMES = Number(process.env.E2E_BARGE_INS ?? 2);
/** So often in one call. */
const A_CALL = 10;
/** What 95 of a hundred do not exceed: noticed by the relay, and by the page. */
const [SILENT_MS, HELD_MS] = [300, 150];
/** The same from the relay's decision on. */
const DECIDED_MS = 100;
const WORDS = "please wait a moment";
/** From the end of what the user says to the next time: the answer has to be there by then, and to sound for a while. */
const PAUSE_S = 6;
/** The stand-in's voice takes 60 ms a character. */
const STORY = `${"The tower was built in a year and stands on the hill above the town, where everybody can see it from far away, ".repeat(3)}and so on.`;

/** No two samples of a 440 Hz tone of the stand-in's loudness are further apart than 0.02; a tone that is cut at its top is by 0.34. */
const CLICK = 0.1;

describe("the user speaks over the agent", () => {
  const stage = new Stage();
  after(() => stage.clear());

  /**
   * One call, in which the user speaks over the agent so often; how long the agent still sounded each time, from the first sound of the user and,
   * if the relay alone decides, from its decision.
   * @param {number} times @param {boolean} voiceActivity
   */
  async function interrupted(times, voiceActivity) {
    const spoken = Array.from({ length: times + 1 });
    const fakes = await Fakes.start();
    const settings = await storyTeller(stage, { story: STORY, words: WORDS, times: times + 2, fakes });
    const relay = await Relay.start(settings);
    stage.after(() => relay.stop());
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());

    // The microphone is opened before the call is: the first words come when the greeting has begun.
    const speech = speak(stage, [PAUSE_S, ...spoken.flatMap(() => [WORDS, PAUSE_S])]);
    const browser = await launch(stage, { microphone: speech.file });
    const page = await TestPage.open(browser, proxy.url);
    await page.start({ meter: true, voiceActivity });
    let found = /** @type {{ ms: number, begun: number, silent: number }[]} */ ([]);
    const isDone = async () => (found = delays(await page.levels())).length >= times;
    await until("it was interrupted so often", isDone, (speech.seconds + 20) * 1_000);
    const renderedAt = await page.rendered();
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
    assert.ok(cut.length >= times, `what was not heard is taken back: ${JSON.stringify([...turns.values()])}`);
    await sameEverywhere(relay, fakes, [...turns.values()]);
    const decisions = proxy.frames.filter(({ direction, type }) => direction === "down" && (type === "hold" || type === "flush"));
    const decided = voiceActivity ? [] : found.map(({ begun, silent }) => {
      const decision = decisions.find(({ time }) => time >= renderedAt[begun]);
      assert.ok(decision, "the relay has decided");
      return renderedAt[silent] - decision.time;
    });
    await stage.clear();
    return { took: took.slice(0, times), decided: decided.slice(0, times) };
  }

  for (const voiceActivity of [false, true]) {
    const noticed = voiceActivity ? "with voice activity on the page" : "noticed by the relay alone";
    test(`the loudspeaker falls silent without a click, ${TIMES} times, ${noticed}`, async () => {
      const took = /** @type {number[]} */ ([]);
      const decided = /** @type {number[]} */ ([]);
      // How the browser's blocks of microphone and loudspeaker lie to each other is decided anew in each call.
      while (took.length < TIMES) {
        const call = await interrupted(Math.min(A_CALL, TIMES - took.length), voiceActivity);
        took.push(...call.took);
        decided.push(...call.decided);
      }
      const missed = [];
      for (const [what, values, goal] of /** @type {const} */ ([
        ["silent", took, voiceActivity ? HELD_MS : SILENT_MS],
        ["of it since the relay's decision", decided, DECIDED_MS],
      ])) {
        if (values.length === 0) continue;
        const of = (/** @type {number} */ part) => Math.round(quantile(values, part));
        // Of two there is no percentile.
        const isMissed = TIMES >= 50 && of(0.95) > goal;
        const said = `${what} after ${of(0.5)} ms (median), ${of(0.95)} ms (p95, goal ${goal}), ${of(1)} ms at most`;
        console.log(`${values.length} times ${noticed}: ${said}${isMissed ? "  NOT REACHED" : ""}`);
        if (isMissed) missed.push(`${what}: it took ${of(0.95)} ms (p95), and not ${goal}`);
      }
      assert.deepEqual(missed, []);
    });
  }
});
