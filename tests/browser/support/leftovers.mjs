// @ts-check
// What is left on a page after its garbage was collected, counted by the browser itself.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** @typedef {import("playwright-core").Page} Page */

const KINDS = ["AudioContext", "AudioWorkletNode", "MediaStreamAudioSourceNode", "MediaStream", "MediaStreamTrack", "MessagePort"];

/** Chromium itself keeps what `getUserMedia` gave, also to a page that does nothing else, for 10 s. */
const PATIENCE_MS = 60_000;

/**
 * Waits until no more is left than this.
 * @param {Page} page
 * @param {Record<string, number>} wanted
 */
export async function leavesOnly(page, wanted) {
  const end = Date.now() + PATIENCE_MS;
  const tooMuch = async () =>
    Object.entries(await leftovers(page)).filter(([kind, count]) => count > (wanted[kind] ?? 0));
  let left = await tooMuch();
  while (left.length > 0 && Date.now() < end) {
    await sleep(1_000);
    left = await tooMuch();
  }
  assert.deepEqual(Object.fromEntries(left), {}, "this is left");
}

/**
 * Counts the objects that nothing but their holders keeps, and the Workers that run.
 * @param {Page} page
 * @returns {Promise<Record<string, number>>}
 */
async function leftovers(page) {
  const devtools = await page.context().newCDPSession(page);
  /** @type {Record<string, number>} */
  const counts = { Worker: page.workers().length };
  // What one collection lets go of may be what held the next.
  for (let round = 0; round < 3; round += 1) await devtools.send("HeapProfiler.collectGarbage");
  for (const kind of KINDS) {
    const { result } = await devtools.send("Runtime.evaluate", { expression: `${kind}.prototype`, objectGroup: kind });
    const { objects } = await devtools.send("Runtime.queryObjects", { prototypeObjectId: String(result.objectId), objectGroup: kind });
    const counting = { objectId: objects.objectId, functionDeclaration: "function () { return this.length; }", returnByValue: true };
    counts[kind] = (await devtools.send("Runtime.callFunctionOn", counting)).result.value;
    // The answer itself holds what it found.
    await devtools.send("Runtime.releaseObjectGroup", { objectGroup: kind });
  }
  await devtools.detach();
  return counts;
}
