// @ts-check
// Which of the tracks that a page was given are live.

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
