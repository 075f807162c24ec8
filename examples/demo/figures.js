// @ts-check
// Money, time and prices as they are written.

/** The smallest amount that is shown. */
export const LEAST_NANO_USD = 1_000;

/** Six digits while it is less than a cent. @param {number} nanoUsd @param {boolean} down Rounded so that it never seems more. */
export function dollars(nanoUsd, down = false) {
  const digits = nanoUsd === 0 ? 2 : nanoUsd < 1e7 ? 6 : nanoUsd < 1e9 ? 4 : 2;
  const shown = down ? nanoUsd - (nanoUsd % 10 ** (9 - digits)) : nanoUsd;
  return `$${(shown / 1e9).toFixed(digits)}`;
}

/** What may be spent yet. @param {number} nanoUsd */
export function leftOf(nanoUsd) {
  return nanoUsd < LEAST_NANO_USD ? "nothing left" : `${dollars(nanoUsd, true)} left`;
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const parts = [seconds % 60, ...(minutes < 60 ? [] : [minutes % 60])].reverse().map((part) => String(part).padStart(2, "0"));
  return [minutes < 60 ? minutes : Math.floor(minutes / 60), ...parts].join(":");
}

/** @param {number} ms */
export function milliseconds(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** What is left of a budget is told beside how much of it is spent. @param {import("../../npm/src/index.ts").CallEvents["budget"]} budget */
export function share({ percent, limitNanoUsd, spentNanoUsd }) {
  return percent === 100 ? "" : `${Math.floor((spentNanoUsd * 100) / limitNanoUsd)} % `;
}

/** For so many a price is written, so that it can be read. @type {Record<string, readonly [count: number, words: string]>} */
const UNITS = { second: [60, "a minute"], character: [1_000, "for 1,000 characters"] };

/** With at least two digits, and as many more as it has. @param {import("../../npm/src/index.ts").CallEvents["session"]["prices"]["items"][number]} price @returns {readonly [item: string, price: string]} */
export function priceOf({ item, unit, nanoUsd, per }) {
  const [kind = "", above] = unit.split(">");
  const [count, words] = UNITS[kind] ?? [1_000_000, `for a million ${kind.replaceAll("_", " ")}s`];
  const usd = ((nanoUsd * count) / per / 1e9).toFixed(6).replace(/0{1,4}$/, "");
  return [item, `$${usd} ${words}${above ? `, in prompts of more than ${Number(above).toLocaleString("en")}` : ""}`];
}
