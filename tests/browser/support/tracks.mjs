// @ts-check
// The tracks that a page was given: which are live, and their end.

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
        given: () => tracks.length,
        end() {
          for (const track of tracks) {
            track.stop();
            track.dispatchEvent(new Event("ended"));
          }
        },
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
    /** How many there were. @returns {Promise<number>} */
    given: () => tell("given"),
    /** They end, as when a microphone goes away. */
    end: () => tell("end"),
  };
}
