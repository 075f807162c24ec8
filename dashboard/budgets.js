// Budgets: what of them is used, what an administrator sets in their place, and the thresholds that were reached.

import { read } from "./api.js";
import { el, money, reading, refill, table, when } from "./dom.js";
import { listing } from "./listing.js";
import { resetBudget, setBudget } from "./orders.js";

const COLUMNS = [
  { name: "Whose" },
  { name: "Period (UTC)" },
  { name: "Used" },
  { name: "Spent", isNumber: true },
  { name: "Set aside", isNumber: true },
  { name: "Left", isNumber: true },
  { name: "Budget", isNumber: true },
  { name: "Set by hand", isNumber: true },
  { name: "Change it" },
];
const SHARES = { 50: "More than 50 %", 80: "More than 80 %", 99: "More than 99 %", "": "All" };

/** From these parts on a budget is shown as nearly used, and as used. */
const NEAR = 0.8;
const SPENT = 0.99;

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function budgets(place, signal) {
  const list = listing(
    {
      title: "Budgets",
      nothing: "There is no such budget. Those that calls have used in this day or month are listed, and those that are set by hand; All has also those of which little or nothing is spent.",
      path: "/v1/admin/budgets",
      rows: "budgets",
      by: {
        kind: { label: "Of", choices: { "": "All", user: "Users", account: "Accounts" } },
        subject: { label: "Name" },
        above_percent: { label: "Spent or set aside", choices: SHARES, value: "50" },
      },
      columns: COLUMNS,
      cells,
    },
    signal,
  );
  const set = async () => {
    if (await setBudget()) await list.show();
  };
  const head = el("div", { class: "head" }, el("h1", {}, "Budgets"), el("button", { class: "quiet", type: "button", click: () => void set() }, "Set a budget"));
  const reached = el("div", {});
  const alerts = reading(signal);
  place.replaceChildren(head, ...list.parts, el("div", { class: "gap" }), alerts.words, reached);
  // The one is shown also if the other cannot be read.
  const readAlerts = () => alerts.show(async () => refill(reached, raised((await read("/v1/admin/alerts", { limit: 50 }, signal)).alerts)));
  await Promise.all([readAlerts(), list.show()]);
}

/** @param {any} row @param {() => Promise<void>} again */
function cells(row, again) {
  const subject = row.user_sub ?? row.account;
  const whose = `${row.scope} ${subject}`;
  const used = row.spent_nano_usd + row.reserved_nano_usd;
  const max = Math.max(row.cap_nano_usd, 1);
  const meter = el("meter", { min: 0, max, low: NEAR * max, high: SPENT * max, optimum: 0, value: used, "aria-label": `${whose}: ${money(used)} of ${money(row.cap_nano_usd)}` });
  const button = (/** @type {string} */ word, /** @type {() => Promise<boolean>} */ change) => {
    const click = async () => {
      if (await change()) await again();
    };
    return el("button", { class: "quiet", type: "button", "data-of": `${word} ${whose}`, "aria-label": `${word} the budget of ${whose}`, click: () => void click() }, word);
  };
  const isSet = row.set_nano_usd !== null;
  return [
    whose,
    row.period,
    meter,
    money(row.spent_nano_usd),
    money(row.reserved_nano_usd),
    money(row.left_nano_usd),
    money(row.cap_nano_usd),
    isSet ? money(row.set_nano_usd) : "–",
    el(
      "div",
      { class: "row" },
      button("Set", () => setBudget({ kind: row.scope, subject, cap: isSet ? row.set_nano_usd : row.cap_nano_usd })),
      ...(isSet ? [button("Reset", () => resetBudget(row.scope, subject))] : []),
    ),
  ];
}

/** @param {any[]} alerts */
function raised(alerts) {
  const title = el("h2", {}, "Thresholds that were reached");
  if (alerts.length === 0) return el("section", { class: "card" }, title, el("p", { class: "soft" }, "None so far."));
  const whose = (/** @type {any} */ alert) => (alert.scope === "provider" ? alert.item : alert.scope === "account" ? alert.account : alert.user_sub);
  const rows = alerts.map((alert) => [
    when(alert.created_at),
    alert.scope,
    whose(alert) || "–",
    alert.scope === "provider" ? "–" : `${alert.percent} %`,
    alert.delivered_at ? "delivered" : "not delivered",
  ]);
  const columns = [{ name: "When (UTC)" }, { name: "Of" }, { name: "Whose" }, { name: "Reached", isNumber: true }, { name: "Webhook" }];
  return el("section", { class: "card" }, title, table("Thresholds that were reached", columns, rows));
}
