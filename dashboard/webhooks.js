// What webhooks were told, alerts among it, and telling it once more.

import { count, el, when } from "./dom.js";
import { listing } from "./listing.js";
import { replay } from "./orders.js";

const COLUMNS = [{ name: "Happened (UTC)" }, { name: "Webhook" }, { name: "Event" }, { name: "Call" }, { name: "State" }, { name: "Tries", isNumber: true }, { name: "Last answer" }, { name: "Again" }];
const STATES = { waiting: "Waiting", delivered: "Delivered", given_up: "Given up" };
const EVENTS = ["call.started", "call.ended", "recording.ready", "user.erased"];
const ALERTS = ["budget.threshold", "provider.excess", "provider.down", "calls.failing", "answers.slow"];

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function webhooks(place, signal) {
  const list = listing(
    {
      title: "Messages to webhooks",
      nothing: "There is no such message. What is kept is that of the last 30 days, and alerts about money for 400.",
      path: "/v1/admin/webhooks",
      rows: "deliveries",
      by: {
        name: { label: "Webhook" },
        event: { label: "Event", choices: { "": "All", ...Object.fromEntries([...EVENTS, ...ALERTS].map((word) => [word, word])) } },
        state: { label: "State", choices: { "": "All", ...STATES } },
      },
      columns: COLUMNS,
      cells,
    },
    signal,
  );
  place.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Webhooks")), ...list.parts);
  await list.show();
}

/** @param {any} row @param {() => Promise<void>} again */
function cells(row, again) {
  // Of several alerts of a kind, which one it is.
  const what = row.about ? `${row.event} (${row.about})` : row.event;
  const whom = `${what} to ${row.name}, ${when(row.created_at)} UTC`;
  const send = async () => {
    if (await replay(row)) await again();
  };
  return [
    when(row.created_at),
    row.name,
    what,
    row.session_id ? el("a", { href: `#/call/${encodeURIComponent(row.session_id)}`, "data-of": `call ${row.id}`, "aria-label": `Show the call of ${whom}` }, "Show") : "–",
    STATES[/** @type {keyof typeof STATES} */ (row.state)] ?? row.state,
    count(row.attempts),
    row.answer || "–",
    el("button", { class: "quiet", type: "button", "data-of": row.id, "aria-label": `Send again: ${whom}`, click: () => void send() }, "Send again"),
  ];
}
