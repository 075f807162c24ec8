// All sessions, the newest first.

import { count, el, money, when } from "./dom.js";
import { listing } from "./listing.js";

const COLUMNS = [{ name: "User" }, { name: "Account" }, { name: "Agent" }, { name: "Began (UTC)" }, { name: "State" }, { name: "Reconnects", isNumber: true }, { name: "Cost", isNumber: true }];

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function sessions(place, signal) {
  const list = listing(
    {
      title: "Sessions",
      nothing: "There is no such session.",
      path: "/v1/admin/sessions",
      rows: "sessions",
      by: { user_sub: { label: "User" }, account: { label: "Account" }, state: { label: "State", choices: { "": "All", live: "Live", ended: "Ended" } } },
      columns: COLUMNS,
      cells,
    },
    signal,
  );
  place.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Sessions")), ...list.parts);
  await list.show();
}

/** @param {any} session */
function cells(session) {
  return [
    el("a", { href: `#/call/${encodeURIComponent(session.id)}`, "data-of": `call ${session.id}`, "aria-label": `${session.user_sub}, ${when(session.started_at)} UTC` }, session.user_sub),
    session.account,
    session.agent,
    when(session.started_at),
    session.state === "live" ? "live" : (session.end_reason ?? "–").replaceAll("_", " "),
    count(session.reconnects),
    money(session.cost_nano_usd),
  ];
}
