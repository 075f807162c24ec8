// @ts-check
// Calls from a page that has two microphones.

import assert from "node:assert/strict";

import { launch } from "./chromium.mjs";
import { plugIn } from "./microphones.mjs";
import { Relay, until } from "./relay.mjs";
import { TestPage } from "./test-page.mjs";

/** A page with two microphones. @param {import("./stage.mjs").Stage} stage */
export async function twoMicrophones(stage) {
  const relay = await Relay.start();
  stage.after(() => relay.stop());
  const browser = await launch(stage);
  const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
  return { relay, page, microphones: await plugIn(page.page, ["desk", "headset"]) };
}

/** @param {TestPage} page @param {string} id @param {object} event @param {number} [from] */
export function saysMicrophone(page, id, event, from) {
  const wanted = JSON.stringify({ label: `Microphone ${id}`, deviceId: id, ...event });
  return page.hears(({ name, event: said }) => name === "microphone" && JSON.stringify(said) === wanted, from);
}

/** Waits until more of the user is heard than by now. @param {TestPage} page */
export async function isHeard(page) {
  const from = (await page.noted()).length;
  const more = await page.hears(({ name }) => name === "usage", from);
  const { audioMs } = (await page.noted())[more - 1].event;
  await page.hears(({ name, event }) => name === "usage" && event.audioMs > audioMs, more);
}

/**
 * The microphone that is chosen, in this form or within the call, goes away and comes back.
 * @param {import("./stage.mjs").Stage} stage
 * @param {ConstrainDOMString} [deviceId]
 */
export async function isStoodInFor(stage, deviceId) {
  const { page, microphones } = await twoMicrophones(stage);
  await page.start(deviceId ? { microphone: { deviceId } } : {});
  if (!deviceId) await page.setMicrophone("headset");
  let said = await saysMicrophone(page, "headset", { live: true, fallback: false });

  await microphones.plug(["desk"]);
  said = await saysMicrophone(page, "headset", { live: false, fallback: false }, said);
  said = await saysMicrophone(page, "desk", { live: true, fallback: true }, said);
  await isHeard(page);

  await microphones.plug(["desk", "headset"]);
  said = await saysMicrophone(page, "headset", { live: true, fallback: false }, said);
  await until("only the chosen one is open", async () => String(await microphones.live()) === "headset");
  await isHeard(page);
  assert.deepEqual((await page.noted()).filter(({ name }) => name === "error"), []);
  await page.close();
}
