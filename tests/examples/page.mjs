// @ts-check
// What a call costs the page that makes it, as a table beside its goals: `cargo xtask bench page` builds what it needs and runs
// `node tests/examples/page.mjs [--seconds 600] [--clicks 30] [--json]`.

import { parseArgs } from "node:util";

import { measurePage } from "../browser/support/page-cost.mjs";
import { Stage } from "../browser/support/stage.mjs";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "600" }, clicks: { type: "string", default: "30" }, json: { type: "boolean", default: false } },
});
const stage = new Stage();
try {
  const cost = await measurePage(stage, { seconds: Number(values.seconds), clicks: Number(values.clicks) });
  console.log(values.json ? JSON.stringify(cost) : table(cost));
} finally {
  await stage.clear();
}

/** @param {import("../browser/support/page-cost.mjs").PageCost} cost */
function table({ seconds, clicks, idle, burning, bare, metered, call, click, bareClick }) {
  const core = (/** @type {number} */ percent) => `${percent.toFixed(2)} % (${(percent * 600).toFixed(0)} ms a minute)`;
  const megabytes = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(2);
  const growth = (/** @type {"page" | "worker" | "wasm"} */ part) =>
    `${megabytes(call.memory.before[part])} to ${megabytes(call.memory.after[part])} MB`;
  const clicked = (/** @type {typeof click} */ { half, most, longest }) => [half, most, longest].map((ms) => ms.toFixed(0)).join(", ");
  const lines = [
    [`${seconds} s of a call, half of them spoken, ${call.answers} answers`, "goal", "measured"],
    ["the page's main thread, of a core", "< 0.50 %", core(call.main)],
    ["the engine's Worker", "", core(call.worker)],
    ["threads that bring and render sound", "", core(call.audio)],
    ["main thread of a page that shows the levels 20 times a second", "", core(metered.main)],
    ["main thread of a bare page: microphone, worklet, WebSocket, no answer", "", core(bare.main)],
    ["main thread of a page that does nothing", "", core(idle.main)],
    ["main thread of one that burns 10 %, where it is not made to wait", "<= 10 %", core(burning.main)],
    ["the same, as Chromium accounts for its tasks", "", core(burning.tasks)],
    ["JavaScript of the page", "", growth("page")],
    ["JavaScript of the Worker", "", growth("worker")],
    ["WebAssembly", "", growth("wasm")],
    ["quanta for which the tap was not run, or was given nothing", "0", `${call.tap.missed + call.tap.empty} of ${call.tap.run}`],
    ["quanta for which the player was not run", "0", `${call.playback.missed} of ${call.playback.run}`],
    ["silences within an answer: the player had nothing", "0", `${call.playback.silences}`],
    ["underruns of the loudspeaker, as the browser says", "0", `${call.loudspeaker.underrunEvents ?? "not told"}`],
    ["frames of the microphone that the browser lost", "0", `${call.microphone.totalFrames - call.microphone.deliveredFrames}`],
    ["chunks at the relay; lost; longest wait for one", "lost 0", `${call.chunks.count}; ${call.chunks.lost}; ${call.chunks.longestGapMs} ms`],
    [`click to first chunk at the relay, ${clicks} times: half, 95 %, all, ms`, "<= 300", clicked(click)],
    ["the same of the bare page", "", clicked(bareClick)],
  ];
  const [label, goal] = [0, 1].map((column) => Math.max(...lines.map((line) => line[column].length)));
  return lines.map(([what, wanted, measured]) => `${what.padEnd(label)}  ${wanted.padStart(goal)}  ${measured}`).join("\n");
}
