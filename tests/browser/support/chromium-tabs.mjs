// @ts-check
// A real Chromium with tabs that can be hidden: Playwright, which drives it elsewhere, shows every page for ever.

import puppeteer from "puppeteer-core";

import { flags } from "./chromium.mjs";
import { MICROPHONES, Sound } from "./sound.mjs";
import { openTab } from "./tabs.mjs";

/** What a call says last may take 300 s over a slow line. */
const SLOWEST_MS = 360_000;

/**
 * Starts a browser that is closed when the scenario is over.
 * @param {import("./stage.mjs").Stage} stage
 * @param {{ microphone?: string, isLooped?: boolean, isPlugged?: boolean, isRoom?: boolean, trusts?: string, there?: (program: string) => string }} [options] `microphone` is a WAV file at 44.1 kHz, which is played from each opening of
 *   the microphone on, with `isLooped` over and over; `isPlugged`: it has microphones that can be pulled out, and does not play the file; `isRoom`: of these the default one hears what the loudspeakers play; `trusts`:
 *   an origin without HTTPS whose pages may have the microphone all the same; `there`: makes a program that is started elsewhere of Chromium.
 * @returns {Promise<import("./engines.mjs").Engine>}
 */
export async function launch(stage, { microphone, isLooped = false, isPlugged = false, isRoom = false, trusts, there = (program) => program } = {}) {
  const sound = isPlugged ? await Sound.start(stage, isRoom) : undefined;
  const browser = await puppeteer.launch({
    browser: "chrome",
    executablePath: there(process.env.E2E_CHROMIUM ?? "/usr/bin/chromium"),
    headless: true,
    // It may be where no port of this machine is.
    pipe: true,
    protocolTimeout: SLOWEST_MS,
    // Without a window it is silent unless it is told otherwise.
    ...(isRoom && { ignoreDefaultArgs: ["--mute-audio"] }),
    args: [
      ...flags({ microphone, isLooped }).filter((flag) => !isPlugged || flag !== "--use-fake-device-for-media-stream"),
      ...(trusts ? [`--unsafely-treat-insecure-origin-as-secure=${trusts}`] : []),
    ],
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
