// @ts-check
// Which of the tracks that a page was given are live, and which of the contexts that it made are open.

/**
 * Keeps an eye on every track that a page is given from here on.
 * @param {import("./test-call.mjs").Page} page
 */
export async function watchTracks(page) {
  await page.evaluate(() => {
    /** @type {MediaStreamTrack[]} */
    const tracks = [];
    const { mediaDevices } = navigator;
    const ask = mediaDevices.getUserMedia.bind(mediaDevices);
    mediaDevices.getUserMedia = async (constraints) => {
      const stream = await ask(constraints);
      tracks.push(...stream.getTracks());
      return stream;
    };
    Object.assign(globalThis, {
      tracks: {
        live: () => tracks.filter((track) => track.readyState === "live").length,
        forget: () => void tracks.splice(0),
      },
    });
  }, undefined);
  /** @param {string} method @returns {Promise<any>} */
  const tell = (method) => page.evaluate((/** @type {string} */ name) => /** @type {any} */ (globalThis).tracks[name](), method);
  return {
    /** How many are live. @returns {Promise<number>} */
    live: () => tell("live"),
    /** Lets go of those so far, so that the page may. */
    forget: () => tell("forget"),
  };
}

/**
 * Keeps an eye on every audio context that a page makes from here on.
 * @param {import("./test-call.mjs").Page} page
 * @returns {Promise<() => Promise<string[]>>} Asks for the state of each.
 */
export async function watchContexts(page) {
  await page.evaluate(() => {
    /** @type {AudioContext[]} */
    const contexts = [];
    globalThis.AudioContext = class extends AudioContext {
      constructor() {
        super();
        contexts.push(this);
      }
    };
    Object.assign(globalThis, { contextStates: () => contexts.map(({ state }) => state) });
  }, undefined);
  return () => page.evaluate(() => /** @type {any} */ (globalThis).contextStates(), undefined);
}
