// @ts-check
// What a call may cost its page, beside what it does cost it, as `cargo xtask bench page` prints it.

/** The most that the page's main thread may take, in % of a core. */
const MAIN_PERCENT = 0.5;
/** The longest that a click may wait for its first chunk at the relay. */
const CLICK_MS = 300;

/**
 * A line of the table. Whether its goal is reached is left out where it has none, or where the browser does not tell what it is about.
 * @typedef {{ what: string, goal: string, measured: string, isReached?: boolean }} Row
 */

/** @param {import("./page-cost.mjs").PageCost} cost @returns {Row[]} */
export function rows({ clicks, idle, burning, bare, metered, call, click, bareClick }) {
  const core = (/** @type {number} */ percent) => `${percent.toFixed(2)} % (${(percent * 600).toFixed(0)} ms a minute)`;
  const megabytes = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(2);
  const growth = (/** @type {"page" | "worker" | "wasm"} */ part) =>
    `${megabytes(call.memory.before[part])} to ${megabytes(call.memory.after[part])} MB`;
  const clicked = (/** @type {typeof click} */ { half, most, longest }) => [half, most, longest].map((ms) => ms.toFixed(0)).join(", ");
  const known = (/** @type {string} */ what, /** @type {string} */ measured) => ({ what, goal: "", measured });
  const none = (/** @type {string} */ what, /** @type {number | undefined} */ count, of = "") =>
    count === undefined ? { what, goal: "0", measured: "not told" } : { what, goal: "0", measured: `${count}${of}`, isReached: count === 0 };
  return [
    { what: "the page's main thread, of a core", goal: `< ${MAIN_PERCENT.toFixed(2)} %`, measured: core(call.main), isReached: call.main < MAIN_PERCENT },
    known("the engine's Worker", core(call.worker)),
    known("threads that bring and render sound", core(call.audio)),
    known("main thread of a page that shows the levels 20 times a second", core(metered.main)),
    known("main thread of a bare page: microphone, worklet, WebSocket, no answer", core(bare.main)),
    known("main thread of a page that does nothing", core(idle.main)),
    // This checks the measurement, and has no goal: timers and the page itself come on top.
    known("main thread of one that burns 10 %, where it is not made to wait", core(burning.main)),
    known("the same, as Chromium accounts for its tasks", core(burning.tasks)),
    known("JavaScript of the page", growth("page")),
    known("JavaScript of the Worker", growth("worker")),
    known("WebAssembly", growth("wasm")),
    none("quanta for which the tap was not run, or was given nothing", call.tap.missed + call.tap.empty, ` of ${call.tap.run}`),
    none("quanta for which the player was not run", call.playback.missed, ` of ${call.playback.run}`),
    none("silences within an answer: the player had nothing", call.playback.silences),
    none("underruns of the loudspeaker, as the browser says", call.loudspeaker.underrunEvents),
    none("frames of the microphone that the browser lost", call.microphone.totalFrames - call.microphone.deliveredFrames),
    {
      what: "chunks at the relay; lost; longest wait for one",
      goal: "lost 0",
      measured: `${call.chunks.count}; ${call.chunks.lost}; ${call.chunks.longestGapMs} ms`,
      isReached: call.chunks.count > 0 && call.chunks.lost === 0,
    },
    {
      what: `click to first chunk at the relay, ${clicks} times: half, 95 %, all, ms`,
      goal: `<= ${CLICK_MS}`,
      measured: clicked(click),
      isReached: click.longest <= CLICK_MS,
    },
    known("the same of the bare page", clicked(bareClick)),
  ];
}

/** @param {import("./page-cost.mjs").PageCost} cost @param {Row[]} rows */
export function table({ seconds, call }, rows) {
  const title = `${seconds} s of a call, half of them spoken, ${call.answers} answers`;
  const lines = [{ what: title, goal: "goal", measured: "measured", isReached: undefined }, ...rows].map(({ what, goal, measured, isReached }) => ({
    what,
    goal,
    measured: isReached === false ? `${measured}  NOT REACHED` : measured,
  }));
  const [label, goals] = [lines.map(({ what }) => what.length), lines.map(({ goal }) => goal.length)].map((lengths) => Math.max(...lengths));
  return lines.map(({ what, goal, measured }) => `${what.padEnd(label)}  ${goal.padStart(goals)}  ${measured}`).join("\n");
}

/** Whether no goal was missed. @param {Row[]} rows */
export function isGood(rows) {
  return rows.every(({ isReached }) => isReached !== false);
}
