// @ts-check
// A call whose agent is spoken over while it tells a story.

import { delays } from "./barge-ins.mjs";
import { launch } from "./chromium.mjs";
import { Relay, until } from "./relay.mjs";
import { speak } from "./speech.mjs";
import { storyTeller } from "./story-teller.mjs";
import { TestPage } from "./test-page.mjs";

/** The stand-in's voice takes 60 ms a character: half a minute. */
export const STORY = `${"The tower was built in a year and stands on the hill above the town, where everybody can see it from far away, ".repeat(4)}and so on.`;
/** The greeting, which is the story, sounds by then. */
const PAUSE_S = 9;

/**
 * A call in which this is said over the greeting, and understood like that, or by nobody.
 * @param {import("./stage.mjs").Stage} stage
 * @param {{ said: string, understood?: string | undefined, options?: Partial<import("voxrelay").ConnectOptions> }} scene
 */
export async function callOver(stage, { said, understood, options = {} }) {
  const { VOXRELAY_AGENTS__TELLER__STT: ears, ...deaf } = await storyTeller(stage, { story: STORY, words: understood ?? "", times: 3 });
  const relay = await Relay.start(understood && ears ? { ...deaf, VOXRELAY_AGENTS__TELLER__STT: ears } : deaf);
  stage.after(() => relay.stop());
  const speech = speak(stage, [PAUSE_S, said, 30]);
  const browser = await launch(stage, { microphone: speech.file });
  const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
  const fetched = /** @type {string[]} */ ([]);
  page.page.on("request", (request) => fetched.push(new URL(request.url()).pathname));
  await page.start({ meter: true, ...options });
  return { page, fetched };
}

/** Waits until the agent is held; gives how long that took, and in which block. @param {TestPage} page */
export async function held(page) {
  let found = /** @type {{ ms: number, silent: number }[]} */ ([]);
  await until("the agent is held", async () => (found = delays(await page.levels())).length > 0);
  return found[0];
}
