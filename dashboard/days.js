// Which days a page is about.

import { busy, el, reading, tell } from "./dom.js";

const SPANS = { 1: "Today", 7: "7 days", 30: "30 days", 90: "90 days" };
const DAY_MS = 86_400_000;

/**
 * A choice of days. Nothing is asked of the relay twice at the same time.
 * @param {(days: { from: string, to: string }) => Promise<void>} show @param {AbortSignal} signal
 */
export function daysForm(show, signal) {
  const figures = reading(signal);
  const select = el("select", { id: "days", change: () => void again() }, ...Object.entries(SPANS).map(([days, name]) => el("option", { value: days }, name)));
  let shown = (select.value = "7");
  const element = el("div", { class: "row" }, el("label", { for: "days" }, "Days (UTC)"), select, figures.words);
  async function again() {
    const now = Date.now();
    const day = (/** @type {number} */ time) => new Date(time).toISOString().slice(0, 10);
    const days = { from: day(now - (Number(select.value) - 1) * DAY_MS), to: day(now) };
    const isNew = await busy(select, () => figures.show(() => show(days)));
    // The choice says what is shown, and what could not be read can be chosen again.
    if (!isNew) {
      select.value = shown;
      return;
    }
    shown = select.value;
    tell(`${select.selectedOptions[0].textContent} ${shown === "1" ? "is" : "are"} shown.`);
  }
  return { element, show: again };
}
