// @ts-check
// Browsers without sound: who writes is answered all the same.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { Fakes } from "../providers/support/fakes.mjs";
import { launch } from "./support/chromium.mjs";
import { mindAndMouth } from "./support/mind-and-mouth.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/** What a browser may lack. @type {Record<string, () => void>} */
const LACKS = {
  AudioWorklet: () => {
    Reflect.deleteProperty(globalThis, "AudioWorkletNode");
    Reflect.deleteProperty(BaseAudioContext.prototype, "audioWorklet");
  },
  AudioContext: () => void Reflect.deleteProperty(globalThis, "AudioContext"),
};

describe("a browser without sound", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** A relay whose agent reads, and speaks. @param {string[]} answers */
  async function start(answers) {
    const fakes = await Fakes.start();
    stage.after(() => fakes.stop());
    await fakes.script({ "openai.chat": answers.map((text) => ({ think: { text } })) });
    const relay = await Relay.start({
      VOXRELAY_AGENTS__DEFAULT: "host",
      VOXRELAY_AGENTS__HOST__LLM: "mind",
      VOXRELAY_AGENTS__HOST__TTS: "mouth",
      ...mindAndMouth(stage, fakes),
    });
    stage.after(() => relay.stop());
    return relay;
  }

  for (const [what, lack] of Object.entries(LACKS)) {
    test(`${what}: a call in writing says so and is answered, turn by turn, and no microphone opens`, async () => {
      const answers = ["Table four is free.", "It is by the window, and you may bring your dog."];
      const relay = await start(answers);
      const page = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
      await page.page.evaluate(lack);
      await page.start({ microphone: false });
      await page.hears(({ name, event }) => name === "error" && event.code === "audio_unavailable");
      for (const text of answers) {
        assert.equal(await page.say("sendText", "Which table is it?"), "taken");
        await page.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last && event.text === text);
      }
      const state = async () => (await page.noted()).filter(({ name }) => name === "agent").at(-1)?.event.state;
      await until("the agent listens again", async () => (await state()) === "listening");
      await assert.rejects(page.setMicrophone("default"), /there is no sound on this page/);
      await page.close();
      await assert.rejects(page.start(), /audio_unavailable/);
      assert.equal(relay.sessions().length, 1, "nobody is billed for a call that cannot be spoken");
    });
  }
});
