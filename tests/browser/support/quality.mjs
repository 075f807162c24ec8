// @ts-check
// What a page was told of its line.

/** @typedef {import("voxrelay").QualityEvent} QualityEvent */
/** @typedef {import("./test-call.mjs").TestCall} TestCall */

/** @param {TestCall} page @returns {Promise<QualityEvent[]>} */
export const told = async (page) => (await page.noted()).filter(({ name }) => name === "quality").map(({ event }) => event);

/** Waits for a warning to be raised or cleared. @param {TestCall} page @param {string} name @param {boolean} raised @param {number} patienceMs */
export const warned = (page, name, raised, patienceMs) =>
  page.hears(({ name: what, event }) => what === "quality" && event.changed.some((/** @type {any} */ change) => change.name === name && change.raised === raised), 0, patienceMs);
