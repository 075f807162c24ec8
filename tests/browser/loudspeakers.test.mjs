// @ts-check
// Loudspeakers that are chosen within a call, and one that goes away: the agent is heard, and the page knows through what, and how loud.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { Fakes } from "../providers/support/fakes.mjs";
import { launch } from "./support/chromium.mjs";
import { mindAndMouth } from "./support/mind-and-mouth.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/** The agent is heard if it is louder than this, in dB of full scale, and silent at that. */
const AUDIBLE_DB = -60;
const SILENT_DB = -100;

/** A minute of the stand-in's voice: nobody hears its end. */
const STORY = "It was a dark and stormy night. ".repeat(30);

describe("loudspeakers that come and go", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** A page, and the loudspeakers that Chromium has beside its default one. */
  async function opened() {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    // What a context plays on is the browser's own word, and so are the devices, but for those that the test takes away.
    await page.page.evaluate(() => {
      const { mediaDevices } = navigator;
      const all = mediaDevices.enumerateDevices.bind(mediaDevices);
      let gone = "";
      mediaDevices.enumerateDevices = async () => (await all()).filter(({ deviceId }) => deviceId !== gone);
      /** @type {any[]} */
      const contexts = [];
      globalThis.AudioContext = class extends AudioContext {
        constructor() {
          super();
          contexts.push(this);
        }
      };
      Object.assign(globalThis, {
        loudspeakers: {
          there: async () => (await all()).filter(({ kind, deviceId }) => kind === "audiooutput" && deviceId !== "default").map(({ deviceId }) => deviceId),
          playsOn: () => contexts.at(-1).sinkId,
          /** @param {string} id */
          take(id) {
            gone = id;
            mediaDevices.dispatchEvent(new Event("devicechange"));
          },
        },
      });
    });
    /** @param {string} method @param {string} [argument] @returns {Promise<any>} */
    const tell = (method, argument) =>
      page.page.evaluate(([name, id]) => /** @type {any} */ (globalThis).loudspeakers[String(name)](id), [method, argument]);
    return { page, tell };
  }

  test("the chosen one is played on, stood in for while it is gone, and taken again when it is back", async () => {
    const { page, tell } = await opened();
    await page.start();
    /** @param {object} event @param {number} [from] */
    const says = (event, from) =>
      page.hears(({ name, event: said }) => name === "speaker" && JSON.stringify(said) === JSON.stringify(event), from);
    const [chosen] = await tell("there");
    assert.ok(chosen, "Chromium's fake devices have a loudspeaker beside the default one");
    assert.equal(await tell("playsOn"), "");

    await page.setSpeaker(chosen);
    let said = await says({ deviceId: chosen, fallback: false });
    assert.equal(await tell("playsOn"), chosen);

    await tell("take", chosen);
    said = await says({ fallback: true }, said);
    // By the system's name: the echo canceller would go on listening to the one that was chosen.
    await until("the system's loudspeaker is played on", async () => (await tell("playsOn")) === "default");

    await tell("take", "");
    said = await says({ deviceId: chosen, fallback: false }, said);
    assert.equal(await tell("playsOn"), chosen);

    await assert.rejects(page.setSpeaker("no such loudspeaker"), /This loudspeaker cannot be used/);
    assert.equal(await tell("playsOn"), chosen);
    assert.deepEqual((await page.noted()).filter(({ name }) => name === "error"), []);
    await page.close();
  });

  test("an agent that is put on hold, cut off or through is shown as silent, also where no microphone has more levels told", async () => {
    const fakes = await Fakes.start();
    stage.after(() => fakes.stop());
    await fakes.script({ "openai.chat": [{ think: { text: STORY } }] });
    const relay = await Relay.start({
      VOXRELAY_AGENTS__DEFAULT: "teller",
      VOXRELAY_AGENTS__TELLER__LLM: "mind",
      VOXRELAY_AGENTS__TELLER__TTS: "mouth",
      ...mindAndMouth(stage, fakes),
    });
    stage.after(() => relay.stop());
    const page = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
    await page.start({ microphone: false });
    const isHeard = () => until("the agent is heard", async () => (await page.loudest()) > AUDIBLE_DB);
    assert.equal(await page.say("sendText", "Tell me a story."), "taken");
    await isHeard();

    // At once, so that nothing is forgotten that was told on hold.
    await page.page.evaluate(() => {
      const { harness } = /** @type {any} */ (globalThis);
      harness.hold(true);
      harness.forget();
    });
    await until("its silence is told", async () => (await page.loudest()) === SILENT_DB);
    assert.equal(await page.output(), SILENT_DB);
    await page.hold(false);
    await isHeard();

    // The first one cuts the story off. What is told of an end depends on when it comes, so there are some.
    for (const text of ["One moment.", "Please wait.", "It takes a while.", "Nearly there."]) {
      await page.forget();
      assert.equal(await page.say("say", text, { interrupt: true }), "taken");
      await isHeard();
      await until("it is shown as silent", async () => (await page.output()) === SILENT_DB);
    }
    await page.close();
  });
});
