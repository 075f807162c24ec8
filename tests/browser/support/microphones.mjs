// @ts-check
// Microphones that a test plugs in and pulls out: Chromium's fake devices stay where they are.

/** @typedef {import("playwright-core").Page} Page */

/**
 * Gives the page these microphones in place of its own, the first one the default. What each hears is a tone.
 * @param {Page} page
 * @param {string[]} ids
 */
export async function plugIn(page, ids) {
  await page.evaluate((first) => {
    const { mediaDevices } = navigator;
    const context = new AudioContext();
    let plugged = first;
    /** What was asked for, in order; a device that is waited for is in the page's hands. @type {string[]} */
    const asked = [];
    /** @type {{ id: string, track: MediaStreamTrack }[]} */
    const opened = [];
    /** @type {Map<string, Promise<void>>} */
    const held = new Map();
    /** Those that another program has. @type {string[]} */
    let busy = [];

    /** @param {any} constraints */
    mediaDevices.getUserMedia = async ({ audio }) => {
      const wanted = audio.deviceId?.exact;
      const wish = audio.deviceId?.ideal ?? audio.deviceId;
      const id = wanted ?? (plugged.includes(wish) ? wish : plugged[0]);
      asked.push(id);
      await held.get(id);
      if (!plugged.includes(id)) throw new DOMException("no such microphone", wanted ? "OverconstrainedError" : "NotFoundError");
      // In Chromium's words.
      if (busy.includes(id)) throw new DOMException("Could not start audio source", "NotReadableError");
      const tone = new OscillatorNode(context);
      const loudspeaker = new MediaStreamAudioDestinationNode(context);
      tone.connect(loudspeaker);
      tone.start();
      const { stream } = loudspeaker;
      const [track] = stream.getAudioTracks();
      Object.defineProperty(track, "label", { value: `Microphone ${id}` });
      track.getSettings = () => ({ deviceId: id });
      opened.push({ id, track });
      return stream;
    };
    mediaDevices.enumerateDevices = async () =>
      plugged.map((deviceId) => ({ deviceId, kind: "audioinput", groupId: "", label: "", toJSON: () => "" }));

    Object.assign(globalThis, {
      microphones: {
        asked: () => asked,
        live: () => opened.filter(({ track }) => track.readyState === "live").map(({ id }) => id),
        /** @param {string[]} ids */
        plug(ids) {
          const gone = opened.filter(({ id, track }) => track.readyState === "live" && !ids.includes(id));
          plugged = ids;
          for (const { track } of gone) {
            track.stop();
            track.dispatchEvent(new Event("ended"));
          }
          mediaDevices.dispatchEvent(new Event("devicechange"));
        },
        /** Says nothing of what is gone but that devices have changed: what is open goes on in silence. @param {string[]} ids */
        vanish(ids) {
          plugged = ids;
          mediaDevices.dispatchEvent(new Event("devicechange"));
        },
        /** A live track breaks, and the browser says more than one thing about it; answers what was asked for at once. */
        hiccup() {
          const before = asked.length;
          const { track } = opened.filter(({ track }) => track.readyState === "live")[0];
          track.stop();
          for (const name of ["ended", "mute"]) track.dispatchEvent(new Event(name));
          mediaDevices.dispatchEvent(new Event("devicechange"));
          return asked.slice(before);
        },
        /** Whoever opens this one waits until the function is called that is kept for `release`. @param {string} id */
        hold(id) {
          held.set(id, new Promise((resolve) => Object.assign(globalThis, { releaseMicrophone: resolve })));
        },
        /** Another program has these. @param {string[]} ids */
        occupy(ids) {
          busy = ids;
        },
        release() {
          held.clear();
          /** @type {any} */ (globalThis).releaseMicrophone();
        },
      },
    });
  }, ids);
  /** @param {string} method @param {unknown} [argument] @returns {Promise<any>} */
  const tell = (method, argument) =>
    page.evaluate(([name, value]) => /** @type {any} */ (globalThis).microphones[String(name)](value), [method, argument]);
  return {
    /** What was asked for so far, in order. @returns {Promise<string[]>} */
    asked: () => tell("asked"),
    /** Which ones are open. @returns {Promise<string[]>} */
    live: () => tell("live"),
    /** From here on there are these. @param {string[]} there */
    plug: (there) => tell("plug", there),
    /** From here on there are these, and no track ends. @param {string[]} there */
    vanish: (there) => tell("vanish", there),
    /** The open one breaks. @returns {Promise<string[]>} What was asked for before anything else could happen. */
    hiccup: () => tell("hiccup"),
    /** Opening this one takes until `release`. @param {string} id */
    hold: (id) => tell("hold", id),
    release: () => tell("release"),
    /** From here on another program has these. @param {string[]} ids */
    occupy: (ids) => tell("occupy", ids),
  };
}
