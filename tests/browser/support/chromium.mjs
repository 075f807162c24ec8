// @ts-check
// A real Chromium whose microphone is a file.

import { chromium } from "playwright-core";

import { PATIENCE_MS } from "./relay.mjs";

const FLAGS = [
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-device-for-media-stream",
];

/**
 * What Chromium is started with.
 * @param {{ microphone?: string, isLooped?: boolean, allowMicrophone?: boolean, needsGesture?: boolean }} [options] As of {@link launch}; `isLooped`: the file begins anew when it is through.
 */
export function flags({ microphone, isLooped = false, allowMicrophone = true, needsGesture = false } = {}) {
  return [
    ...FLAGS,
    `--autoplay-policy=${needsGesture ? "document-user-activation-required" : "no-user-gesture-required"}`,
    ...(microphone ? [`--use-file-for-fake-audio-capture=${microphone}${isLooped ? "" : "%noloop"}`] : []),
    ...(allowMicrophone ? ["--use-fake-ui-for-media-stream"] : ["--deny-permission-prompts"]),
  ];
}

/**
 * Starts a browser that is closed when the scenario is over.
 * @param {import("./stage.mjs").Stage} stage
 * @param {{ microphone?: string, allowMicrophone?: boolean, keepsPages?: boolean, needsGesture?: boolean }} [options] `microphone` is a WAV file at 44.1 kHz; it is
 *   played once from each opening of the microphone on, then silence. `keepsPages`: it has a back/forward cache, as people's browsers have.
 *   `needsGesture`: a page makes no sound before it is clicked, unless it has the microphone, as people's browsers have it.
 */
export async function launch(stage, options) {
  const browser = await chromium.launch({
    ...(options?.keepsPages && { ignoreDefaultArgs: ["--disable-back-forward-cache"] }),
    ...(process.env.E2E_CHROMIUM ? { executablePath: process.env.E2E_CHROMIUM } : {}),
    args: flags(options),
  });
  const open = browser.newContext.bind(browser);
  browser.newContext = async (settings) => {
    const context = await open(settings);
    context.setDefaultTimeout(PATIENCE_MS);
    return context;
  };
  stage.after(() => browser.close());
  return browser;
}

/**
 * Asks for the microphone without echo cancellation, gain control and noise suppression, whatever the page asks for: they
 * change the signal, and what arrives could no longer be compared with the file.
 * @param {import("playwright-core").BrowserContext} context
 */
export async function rawMicrophone(context) {
  await context.addInitScript(() => {
    const media = navigator.mediaDevices;
    if (!media) return;
    const open = media.getUserMedia.bind(media);
    media.getUserMedia = (wanted) => {
      const audio = typeof wanted?.audio === "object" ? wanted.audio : {};
      const raw = { echoCancellation: false, autoGainControl: false, noiseSuppression: false };
      return open({ ...wanted, audio: { ...audio, ...raw } });
    };
  });
}
