// @ts-check
// A call for the dashboard to show, and what a page of the dashboard complains of.

import { launch } from "./chromium.mjs";
import { Relay } from "./relay.mjs";
import { speak } from "./speech.mjs";
import { TestPage } from "./test-page.mjs";

/**
 * A relay with a call that goes on.
 * @param {import("./stage.mjs").Stage} stage
 * @param {import("./speech.mjs").Part[]} said
 * @param {Record<string, string>} [settings]
 */
export async function callThatGoesOn(stage, said, settings) {
  const speech = speak(stage, said);
  const relay = await Relay.start(settings);
  stage.after(() => relay.stop());
  const browser = await launch(stage, { microphone: speech.file });
  const origin = `http://127.0.0.1:${relay.port}`;
  const caller = await TestPage.open(browser, origin);
  await caller.start();
  await caller.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
  return { relay, browser, origin, caller };
}

/** What a page throws from here on, and what its policy refuses. @param {import("playwright-core").Page} page @returns {string[]} */
export function complaintsOf(page) {
  /** @type {string[]} */
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) complaints.push(message.text());
  });
  return complaints;
}
