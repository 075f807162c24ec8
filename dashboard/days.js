// Which days a page is about.

import { busy, el, tell } from "./dom.js";

const SPANS = { 1: "Today", 7: "7 days", 30: "30 days", 90: "90 days" };
const DAY_MS = 86_400_000;

/**
 * A choice of days. Nothing is asked of the relay twice at the same time.
 * @param {(days: { from: string, to: string }) => Promise<void>} show
 */
export function daysForm(show) {
  const wrong = el("p", { class: "wrong", role: "alert" });
  const select = el("select", { id: "days", change: () => void again() }, ...Object.entries(SPANS).map(([days, name]) => el("option", { value: days }, name)));
  select.value = "7";
  const element = el("div", { class: "row" }, el("label", { for: "days" }, "Days (UTC)"), select, wrong);
  async function again() {
    const now = Date.now();
    const day = (/** @type {number} */ time) => new Date(time).toISOString().slice(0, 10);
    wrong.textContent = "";
    try {
      await busy(select, () => show({ from: day(now - (Number(select.value) - 1) * DAY_MS), to: day(now) }));
      tell(`${select.selectedOptions[0].textContent} are shown.`);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      wrong.textContent = error instanceof Error ? error.message : String(error);
    }
  }
  return { element, show: again };
}
