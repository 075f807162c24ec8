// @ts-check
// In every engine: the user speaks over the agent, and the loudspeaker falls silent.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { until } from "../browser/support/relay.mjs";
import { speak } from "../browser/support/speech.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { storyTeller } from "../browser/support/story-teller.mjs";

const WORDS = "please wait a moment";
/** The stand-in's voice takes 60 ms a character: it tells for 20 s. */
const STORY = `${"The tower was built in a year and stands on the hill above the town, where everybody can see it from far away, ".repeat(3)}and so on.`;
/** Chromium plays its file from the moment at which the microphone is opened: the words come when the story has begun. */
const PAUSE_S = 6;

/** A file is louder than this when somebody speaks; a microphone that hums and beeps is louder than the other when it beeps. */
const VOICED = { told: 0.02, humming: 0.2 };
/** Nothing is heard below this. */
const SILENT = 0.001;
/** After so long it went on. */
const PATIENCE_MS = 3_000;

describe("the user speaks over the agent", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const name of ENGINES) {
    test(`the loudspeaker falls silent, and what was not heard is taken back, in ${name}`, async (t) => {
      const settings = await storyTeller(stage, { story: STORY, words: WORDS, times: 30 });
      const speech = speak(stage, [PAUSE_S, WORDS, PAUSE_S]);
      const { call, engine } = await openPage(stage, name, { microphone: speech.file, settings });
      await call.start({ meter: true });
      // A microphone that beeps by itself would interrupt the agent before it begins.
      await call.mute(true);
      await until("the agent tells its story", async () => (await call.levels()).loudspeaker.slice(-300).some((level) => level > SILENT));
      engine.speak();
      const { microphone } = await call.levels();
      await call.mute(false);
      const took = await silentAfter(call, engine.isTold, microphone.length, (speech.seconds + 10) * 1_000);
      await call.hangUp();
      t.diagnostic(`silent ${took.toFixed(0)} ms after the first sound of the word`);
      assert.ok(took < PATIENCE_MS, `it went on for ${took} ms`);
      const turns = new Map();
      for (const { name, event } of await call.noted()) if (name === "transcript") turns.set(event.turn, event);
      const cut = [...turns.values()].filter(({ role, text }) => role === "agent" && text.trim() !== STORY.trim());
      assert.ok(cut.length > 0, JSON.stringify([...turns.values()]));
    });
  }

  for (const name of ENGINES) {
    test(`the page holds the agent by itself over a voice, where the relay does not listen, in ${name}`, async (t) => {
      const { VOXRELAY_AGENTS__TELLER__STT: _, ...deaf } = await storyTeller(stage, { story: STORY, words: "", times: 3 });
      const speech = speak(stage, [PAUSE_S, WORDS, PAUSE_S]);
      const { call, engine, server } = await openPage(stage, name, { microphone: speech.file, settings: deaf });
      await call.start({ meter: true, voiceActivity: true });
      await call.mute(true);
      await until("the agent tells its story", async () => (await call.levels()).loudspeaker.slice(-300).some((level) => level > SILENT));
      engine.speak();
      const { microphone } = await call.levels();
      await call.mute(false);
      if (engine.isTold) {
        const took = await silentAfter(call, true, microphone.length, (speech.seconds + 10) * 1_000);
        t.diagnostic(`silent ${took.toFixed(0)} ms after the first sound of the word`);
        assert.ok(took < PATIENCE_MS, `it went on for ${took} ms`);
      } else {
        // A hum and a beep are no voice: that it is looked for in them harms no call.
        const { length } = await call.noted();
        await call.hears(({ name }) => name === "usage", length);
      }
      assert.ok(server.asked.includes("/sdk/voice.wasm"), `${server.asked}`);
      await call.hangUp();
    });
  }
});

/**
 * Waits until the agent is silent; how long after the first sound of the user from this block on, in ms.
 * @param {import("../browser/support/test-call.mjs").TestCall} call
 * @param {boolean} isTold Whether the microphone hears a file.
 * @param {number} from
 * @param {number} patienceMs
 */
async function silentAfter(call, isTold, from, patienceMs) {
  const voiced = isTold ? VOICED.told : VOICED.humming;
  let took = Infinity;
  await until("the agent is silent", async () => {
    const { blockMs, loudspeaker, microphone: spoken } = await call.levels();
    const begin = spoken.findIndex((level, at) => at >= from && level > voiced);
    if (begin < 0) return false;
    const quiet = Math.round(200 / blockMs);
    for (let at = begin; at + quiet <= loudspeaker.length; at += 1) {
      if (!loudspeaker.slice(at, at + quiet).every((level) => level < SILENT)) continue;
      took = (at - begin) * blockMs;
      return true;
    }
    return false;
  }, patienceMs);
  return took;
}
