// @ts-check
// A real Firefox whose microphones hear what is played to them.

import puppeteer from "puppeteer-core";

import { MICROPHONES, Sound } from "./sound.mjs";
import { openTab } from "./tabs.mjs";

const PREFERENCES = {
  // Whoever asks for the microphone gets it.
  "media.navigator.permission.disabled": true,
  // A busy machine comes late to the 25 ms that it keeps of a microphone, and the rest is lost: 0.2 s, in samples.
  "media.cubeb_latency_mtg_frames": 8_820,
  "app.update.disabledForTesting": true,
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "toolkit.telemetry.enabled": false,
};

/**
 * Starts a browser that is closed when the scenario is over.
 * @param {import("./stage.mjs").Stage} stage
 * @param {{ microphone?: string, hasSound?: boolean, isRoom?: boolean }} [options] `microphone` is a WAV file at 44.1 kHz; in a room
 *   the default microphone hears what the loudspeakers play; without `hasSound` the machine has no
 *   loudspeaker, and the microphone is a tone of Firefox's own.
 * @returns {Promise<import("./engines.mjs").Engine>}
 */
export async function launch(stage, { microphone, hasSound = true, isRoom = false } = {}) {
  const sound = hasSound ? await Sound.start(stage, isRoom) : undefined;
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.E2E_FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    extraPrefsFirefox: { ...PREFERENCES, "media.navigator.streams.fake": !sound },
    env: sound?.environment ?? { ...process.env, PULSE_SERVER: "unix:/nowhere" },
  });
  stage.after(() => browser.close());
  return {
    version: await browser.version(),
    microphones: MICROPHONES,
    isTold: true,
    open: (url) => openTab(browser, url),
    speak: () => microphone && sound?.play(microphone),
    unplug: sound && ((which) => sound.unplug(MICROPHONES[which])),
  };
}
