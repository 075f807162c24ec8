// @ts-check
// A phone call takes the sound away from the page, as iOS does it: the context says `interrupted`, and its clock stands still. Afterwards it may say
// that it runs while its clock goes on to stand still.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { launch } from "./chromium.mjs";
import { Relay, until } from "./relay.mjs";
import { speak } from "./speech.mjs";
import { TestPage } from "./test-page.mjs";
import { watchTracks } from "./tracks.mjs";

/** Longer than a context that says that it runs may stand still before it is made anew. */
const INTERRUPTION_MS = 8_000;

/** The agent is heard if it is louder than this, in dB of full scale. */
const AUDIBLE_DB = -60;

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
    const { get: time } = Object.getOwnPropertyDescriptor(BaseAudioContext.prototype, "currentTime") ?? {};
    /** When the clocks stood still. @type {Map<BaseAudioContext, number>} */
    const frozen = new Map();
    Object.defineProperty(BaseAudioContext.prototype, "currentTime", { get() { return frozen.get(this) ?? time?.call(this); } });
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
        freeze() {
          for (const context of contexts) frozen.set(context, context.currentTime);
        },
        counts: () => ({ ...counts }),
        open: () => contexts.filter(({ state }) => state !== "closed").length,
      },
    });
  });
  /** @param {string} method @param {unknown} [argument] @returns {Promise<any>} */
  const tell = (method, argument) =>
    page.evaluate(([name, value]) => /** @type {any} */ (globalThis).sound[String(name)](value), [method, argument]);
  return {
    /** @param {string} [state] What contexts say; none for the truth. */
    say: (state) => tell("say", state),
    /** The clock of every context that there is stands still from here on, while it says that it runs. */
    freeze: () => tell("freeze"),
    /** @returns {Promise<{ resumed: number, made: number }>} */
    counts: () => tell("counts"),
    /** How many contexts are not closed. @returns {Promise<number>} */
    open: () => tell("open"),
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
  // Whoever takes the phone in hand meanwhile, or looks at the page, changes nothing.
  await page.page.mouse.click(5, 5);
  await page.page.keyboard.press("Shift");
  await page.page.evaluate(() => void document.dispatchEvent(new Event("visibilitychange")));
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

/**
 * A call is made whose context says that it runs while its clock stands still: it is made anew, and the microphone with it.
 * @param {import("./stage.mjs").Stage} stage
 */
export async function freeze(stage) {
  const relay = await Relay.start();
  stage.after(() => relay.stop());
  // The file begins anew whenever the microphone is opened.
  const speech = speak(stage, [0.5, "North wind and sun were disputing which was the stronger.", 1]);
  const browser = await launch(stage, { microphone: speech.file });
  const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
  const sound = await holdSound(page.page);
  const microphones = await watchTracks(page.page);
  await page.start();
  /** @param {import("./test-call.mjs").Noted} noted */
  const isAnswer = ({ name, event }) => name === "transcript" && event.role === "agent" && event.last && /You spoke for/.test(event.text);
  await page.hears(isAnswer);
  const before = await sound.counts();
  assert.deepEqual([await microphones.given(), await microphones.live()], [1, 1]);

  await page.forget();
  const from = (await page.noted()).length;
  await sound.freeze();
  await until("the microphone is opened again", async () => (await microphones.given()) === 2);
  assert.equal((await sound.counts()).made, before.made + 1, "the context is made anew");
  await page.hears(isAnswer, from);
  assert.ok((await page.loudest()) > AUDIBLE_DB, `the agent is heard: ${await page.loudest()} dB`);
  assert.equal((await sound.counts()).made, before.made + 1, "once");
  assert.deepEqual([await microphones.given(), await microphones.live()], [2, 1], "one microphone is open");
  await until("the context before is closed", async () => (await sound.open()) === 1);
  const notices = (await page.noted()).filter(({ name }) => name === "error").map(({ event }) => event.code);
  assert.deepEqual(notices, ["audio_unavailable"]);
  assert.equal(await page.trouble(), undefined, "it is over");
  await page.close();
  await stage.clear();
}
