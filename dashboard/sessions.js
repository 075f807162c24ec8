// All sessions, the newest first.

import { read } from "./api.js";
import { count, el, money, table, tell, when } from "./dom.js";

const COLUMNS = [{ name: "User" }, { name: "Account" }, { name: "Agent" }, { name: "Began (UTC)" }, { name: "Ended" }, { name: "Reconnects", isNumber: true }, { name: "Cost", isNumber: true }];

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function sessions(place, signal) {
  const wrong = el("p", { class: "wrong", role: "alert" });
  const list = el("section", { class: "card", "aria-label": "Sessions" }, el("p", { class: "soft" }, "…"));
  const user = el("input", { id: "by-user", autocomplete: "off", spellcheck: "false" });
  const account = el("input", { id: "by-account", autocomplete: "off", spellcheck: "false" });
  const state = el("select", { id: "by-state" }, el("option", { value: "" }, "All"), el("option", { value: "live" }, "Live"), el("option", { value: "ended" }, "Ended"));
  const more = el("button", { class: "quiet", type: "button", click: () => void show(next) }, "Show more");
  /** @type {any[]} */
  let rows = [];
  let next = "";

  /** @param {string} [cursor] Where the page begins; without it the list begins anew. */
  async function show(cursor = "") {
    wrong.textContent = "";
    const asked = { user_sub: user.value.trim(), account: account.value.trim(), state: state.value, limit: 50, cursor };
    try {
      const found = await read("/v1/admin/sessions", asked, signal);
      rows = cursor === "" ? found.sessions : [...rows, ...found.sessions];
      next = found.next ?? "";
    } catch (error) {
      if (!signal.aborted) wrong.textContent = error instanceof Error ? error.message : String(error);
      return;
    }
    const nothing = el("p", { class: "soft" }, "There is no such session.");
    list.replaceChildren(rows.length > 0 ? table("Sessions", COLUMNS, rows.map(cells)) : nothing);
    more.hidden = next === "";
    tell(`${count(rows.length)} sessions are shown.`);
  }

  const field = (/** @type {string} */ name, /** @type {HTMLElement} */ input) => el("label", { for: input.id }, name, input);
  const form = el(
    "form",
    {
      class: "row card",
      role: "search",
      submit: (/** @type {Event} */ event) => {
        event.preventDefault();
        void show();
      },
    },
    field("User", user),
    field("Account", account),
    field("State", state),
    el("button", { class: "main", type: "submit" }, "Show"),
  );
  place.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Sessions")), form, wrong, el("div", { class: "gap" }), list, el("div", { class: "gap" }), more);
  more.hidden = true;
  await show();
}

/** @param {any} session */
function cells(session) {
  return [
    el("a", { href: `#/call/${encodeURIComponent(session.id)}`, "aria-label": `${session.user_sub}, ${when(session.started_at)}` }, session.user_sub),
    session.account,
    session.agent,
    when(session.started_at),
    session.state === "live" ? "live" : (session.end_reason ?? "–").replaceAll("_", " "),
    count(session.reconnects),
    money(session.cost_nano_usd),
  ];
}
