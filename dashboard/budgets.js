// Budgets, and who is near the end of one.

import { Refused, read } from "./api.js";
import { el, money, table, when } from "./dom.js";

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function budgets(place, signal) {
  const [found, alerts] = await Promise.all([
    read("/v1/admin/budgets", { above_percent: 50, limit: 100 }, signal).catch((error) => {
      if (error instanceof Refused && error.status === 404) return undefined;
      throw error;
    }),
    read("/v1/admin/alerts", { limit: 50 }, signal),
  ]);
  const head = el("div", { class: "head" }, el("h1", {}, "Budgets"));
  place.replaceChildren(head, el("div", { class: "grid" }, near(found?.budgets), raised(alerts.alerts)));
}

/** @param {any[] | undefined} rows */
function near(rows) {
  const title = el("h2", {}, "Near their limit");
  const say = (/** @type {string} */ words) => el("section", { class: "card all" }, title, el("p", { class: "soft" }, words));
  if (rows === undefined) return say("This relay does not tell its budgets. Thresholds that were reached are below.");
  if (rows.length === 0) return say("Nobody has used more than half of a budget.");
  const cells = rows.map((row) => {
    const limit = row.limit_nano_usd ?? row.cap_nano_usd ?? 0;
    const used = row.spent_nano_usd + (row.reserved_nano_usd ?? 0);
    const name = row.user_sub ?? row.account ?? row.owner ?? "–";
    const meter = el("meter", { min: 0, max: Math.max(limit, 1), value: used, "aria-label": `${name}: ${money(used)} of ${money(limit)}` });
    return [name, row.scope ?? "–", row.period ?? "–", money(row.spent_nano_usd), money(limit), meter];
  });
  const columns = [{ name: "Whose" }, { name: "Of" }, { name: "Period" }, { name: "Spent", isNumber: true }, { name: "Limit", isNumber: true }, { name: "Used" }];
  return el("section", { class: "card all" }, title, table("Budgets near their limit", columns, cells));
}

/** @param {any[]} alerts */
function raised(alerts) {
  const title = el("h2", {}, "Thresholds that were reached");
  if (alerts.length === 0) return el("section", { class: "card all" }, title, el("p", { class: "soft" }, "None so far."));
  const cells = alerts.map((alert) => [
    when(alert.created_at),
    alert.scope,
    alert.user_sub ?? alert.item ?? alert.account ?? "–",
    alert.percent === null || alert.percent === undefined ? "–" : `${alert.percent} %`,
    alert.delivered_at ? "delivered" : "not delivered",
  ]);
  const columns = [{ name: "When (UTC)" }, { name: "Of" }, { name: "Whose" }, { name: "Reached", isNumber: true }, { name: "Webhook" }];
  return el("section", { class: "card all" }, title, table("Thresholds that were reached", columns, cells));
}
