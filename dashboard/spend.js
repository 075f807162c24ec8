// What was spent: by day, by whom, with which agent and at which provider.

import { read } from "./api.js";
import { chart } from "./charts.js";
import { daysForm } from "./days.js";
import { LEAST_MONEY, el, money, refill, share, table, tiles } from "./dom.js";
import { giveCredit } from "./orders.js";

const BY = { user: "By user", account: "By account", agent: "By agent", provider: "By provider", item: "By item" };

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function spend(place, signal) {
  const body = el("div", { class: "grid" });
  const form = daysForm(async (days) => {
    const asked = ["day", ...Object.keys(BY)].map((by) => read("/v1/admin/spend", { ...days, by }, signal));
    const [byDay, ...others] = await Promise.all(asked);
    refill(body, ...show(byDay, others));
  }, signal);
  const credit = el("button", { class: "quiet", type: "button", click: () => giveCredit() }, "Give credit");
  place.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Spend"), el("div", { class: "row" }, form.element, credit)), body);
  await form.show();
}

/** @param {any} byDay @param {any[]} others */
function show(byDay, others) {
  const sums = tiles([
    ["Spent", money(byDay.total_nano_usd)],
    ["Erased since", money(byDay.erased_nano_usd)],
    ["Given back", money(byDay.credited_nano_usd)],
    ["To be paid", money(byDay.total_nano_usd + byDay.erased_nano_usd - byDay.credited_nano_usd)],
  ]);
  sums.classList.add("all");
  const times = byDay.rows.map((/** @type {any} */ row) => `${row.name}T00:00:00.000Z`);
  const values = byDay.rows.map((/** @type {any} */ row) => row.cost_nano_usd);
  const tables = others.map((found) => {
    const title = BY[/** @type {keyof typeof BY} */ (found.by)];
    const rows = found.rows.map((/** @type {any} */ row) => [row.name, money(row.cost_nano_usd), share(row.cost_nano_usd, found.total_nano_usd)]);
    const columns = [{ name: title.slice(3, 4).toUpperCase() + title.slice(4) }, { name: "Cost", isNumber: true }, { name: "Share", isNumber: true }];
    return el("section", { class: "card" }, el("h2", {}, title), rows.length > 0 ? table(title, columns, rows) : el("p", { class: "soft" }, "Nothing was spent."));
  });
  return [sums, chart({ title: "Spend by day", times, lines: [{ name: "Spent", values }], write: money, least: LEAST_MONEY, isWide: true }), ...tables];
}
