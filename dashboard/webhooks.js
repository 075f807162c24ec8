// What webhooks were told, and telling it once more.

import { read } from "./api.js";
import { count, el, table, tell, when } from "./dom.js";
import { replay } from "./orders.js";

const COLUMNS = [{ name: "Happened (UTC)" }, { name: "Webhook" }, { name: "Event" }, { name: "Call" }, { name: "State" }, { name: "Tries", isNumber: true }, { name: "Last answer" }, { name: "Again" }];
const STATES = { waiting: "Waiting", delivered: "Delivered", given_up: "Given up" };
const EVENTS = ["call.started", "call.ended", "recording.ready", "user.erased"];

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function webhooks(place, signal) {
  const wrong = el("p", { class: "wrong", role: "alert" });
  const list = el("section", { class: "card", "aria-label": "Messages to webhooks" }, el("p", { class: "soft" }, "…"));
  const name = el("input", { id: "by-webhook", autocomplete: "off", spellcheck: "false" });
  const choice = (/** @type {string} */ id, /** @type {[string, string][]} */ words) =>
    el("select", { id }, el("option", { value: "" }, "All"), ...words.map(([value, word]) => el("option", { value }, word)));
  const event = choice("by-event", EVENTS.map((word) => [word, word]));
  const state = choice("by-delivery", Object.entries(STATES));
  const more = el("button", { class: "quiet", type: "button", click: () => void show(next) }, "Show more");
  /** @type {any[]} */
  let rows = [];
  let next = "";

  /** @param {string} [cursor] Where the page begins; without it the list begins anew. */
  async function show(cursor = "") {
    wrong.textContent = "";
    const asked = { name: name.value.trim(), event: event.value, state: state.value, limit: 50, cursor };
    try {
      const found = await read("/v1/admin/webhooks", asked, signal);
      rows = cursor === "" ? found.deliveries : [...rows, ...found.deliveries];
      next = found.next ?? "";
    } catch (error) {
      if (!signal.aborted) wrong.textContent = error instanceof Error ? error.message : String(error);
      return;
    }
    const nothing = el("p", { class: "soft" }, "There is no such message. What is kept is that of the last 30 days.");
    list.replaceChildren(rows.length > 0 ? table("Messages to webhooks", COLUMNS, rows.map(cells)) : nothing);
    more.hidden = next === "";
    tell(`${count(rows.length)} messages are shown.`);
  }

  /** @param {any} row */
  function cells(row) {
    const whom = `${row.event} to ${row.name}, ${when(row.created_at)}`;
    const again = async () => {
      if (await replay(row.id, row.name)) await show();
    };
    return [
      when(row.created_at),
      row.name,
      row.event,
      row.session_id ? el("a", { href: `#/call/${encodeURIComponent(row.session_id)}`, "aria-label": `Show the call of ${whom}` }, "Show") : "–",
      STATES[/** @type {keyof typeof STATES} */ (row.state)] ?? row.state,
      count(row.attempts),
      row.answer || "–",
      el("button", { class: "quiet", type: "button", "aria-label": `Send again: ${whom}`, click: () => void again() }, "Send again"),
    ];
  }

  const field = (/** @type {string} */ label, /** @type {HTMLElement} */ input) => el("label", { for: input.id }, label, input);
  const form = el(
    "form",
    {
      class: "row card",
      role: "search",
      submit: (/** @type {Event} */ submitted) => {
        submitted.preventDefault();
        void show();
      },
    },
    field("Webhook", name),
    field("Event", event),
    field("State", state),
    el("button", { class: "main", type: "submit" }, "Show"),
  );
  place.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Webhooks")), form, wrong, el("div", { class: "gap" }), list, el("div", { class: "gap" }), more);
  more.hidden = true;
  await show();
}
