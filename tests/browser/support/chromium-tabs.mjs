// @ts-check
// A real Chromium with tabs that can be hidden: Playwright, which drives it elsewhere, shows every page for ever.

import puppeteer from "puppeteer-core";

import { flags } from "./chromium.mjs";
import { MICROPHONES, Sound } from "./sound.mjs";
import { openTab } from "./tabs.mjs";

/**
 * Starts a browser that is closed when the scenario is over.
 * @param {import("./stage.mjs").Stage} stage
 * @param {{ microphone?: string, isPlugged?: boolean }} [options] `microphone` is a WAV file at 44.1 kHz, which is played from each opening of
 *   the microphone on; `isPlugged`: it has microphones that can be pulled out, and does not play the file.
 * @returns {Promise<import("./engines.mjs").Engine>}
 */
export async function launch(stage, { microphone, isPlugged = false } = {}) {
  const sound = isPlugged ? await Sound.start(stage) : undefined;
  const browser = await puppeteer.launch({
    browser: "chrome",
    executablePath: process.env.E2E_CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: flags({ microphone }).filter((flag) => !isPlugged || flag !== "--use-fake-device-for-media-stream"),
    ...(sound && { env: sound.environment }),
  });
  stage.after(() => browser.close());
  return {
    version: await browser.version(),
    microphones: isPlugged ? MICROPHONES : ["Fake Audio Input 1", "Fake Audio Input 2"],
    isTold: true,
    open: (url) => openTab(browser, url),
    speak: () => undefined,
    unplug: sound && ((which) => sound.unplug(MICROPHONES[which])),
  };
}
