// @ts-check
// A phone call takes the sound away from the page, as iOS does it: the context says `interrupted`, and its clock stands still.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { launch } from "./chromium.mjs";
import { Relay, until } from "./relay.mjs";
import { TestPage } from "./test-page.mjs";
import { watchTracks } from "./tracks.mjs";

/** Longer than a context that says that it runs may stand still before it is made anew. */
const INTERRUPTION_MS = 8_000;

/**
 * Lets the test say what every context says, and counts what is done about it.
 * @param {import("playwright-core").Page} page
 */
async function holdSound(page) {
  await page.evaluate(() => {
    /** @type {string | undefined} */
    let said;
    const counts = { resumed: 0, made: 0 };
    /** @type {AudioContext[]} */
    const contexts = [];
    const { get } = Object.getOwnPropertyDescriptor(BaseAudioContext.prototype, "state") ?? {};
    Object.defineProperty(BaseAudioContext.prototype, "state", { get() { return said ?? get?.call(this); } });
    const { resume } = AudioContext.prototype;
    AudioContext.prototype.resume = function () {
      counts.resumed += 1;
      if (said === "interrupted") return Promise.reject(new DOMException("", "InvalidStateError"));
      said = undefined;
      return resume.call(this);
    };
    globalThis.AudioContext = class extends AudioContext {
      constructor() {
        super();
        counts.made += 1;
        contexts.push(this);
      }
    };
    Object.assign(globalThis, {
      sound: {
        async say(/** @type {string | undefined} */ state) {
          said = state;
          for (const context of contexts) await (state ? context.suspend() : resume.call(context));
        },
        counts: () => ({ ...counts }),
      },
    });
  });
  /** @param {string} method @param {unknown} [argument] @returns {Promise<any>} */
  const tell = (method, argument) =>
    page.evaluate(([name, value]) => /** @type {any} */ (globalThis).sound[String(name)](value), [method, argument]);
  return {
    /** @param {string} [state] What contexts say; none for the truth. */
    say: (state) => tell("say", state),
    /** @returns {Promise<{ resumed: number, made: number }>} */
    counts: () => tell("counts"),
  };
}

/**
 * A call is made; something else takes the sound away, and gives it back to a context that says this. The context is the SDK's or the page's own.
 * @param {import("./stage.mjs").Stage} stage
 * @param {"suspended" | undefined} afterwards
 * @param {boolean} isOwn
 */
export async function interrupt(stage, afterwards, isOwn) {
  const relay = await Relay.start();
  stage.after(() => relay.stop());
  const browser = await launch(stage);
  const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
  const sound = await holdSound(page.page);
  const microphones = await watchTracks(page.page);
  await page.start({ record: isOwn });
  const before = await sound.counts();
  assert.equal(await microphones.given(), 1);

  await sound.say("interrupted");
  // The microphone goes with the sound.
  await microphones.end();
  await sleep(INTERRUPTION_MS);
  assert.deepEqual(await sound.counts(), before, "nothing is tried meanwhile");
  assert.equal(await microphones.given(), 1, "nor with the microphone");
  const notices = async () => (await page.noted()).filter(({ name }) => name === "error").map(({ event }) => event.code);
  assert.deepEqual(await notices(), ["audio_unavailable"]);

  await sound.say(afterwards);
  await until("it is resumed", async () => (await sound.counts()).resumed > before.resumed);
  await until("the microphone, which ended meanwhile, is opened again", async () => (await microphones.given()) === 2);
  await sleep(3_000);
  assert.deepEqual(await sound.counts(), { resumed: before.resumed + 1, made: before.made });
  assert.deepEqual(await notices(), ["audio_unavailable"]);
  await page.close();
  await stage.clear();
}
