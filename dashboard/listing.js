// A list that is read a page at a time, and what it is narrowed by.

import { read } from "./api.js";
import { count, el, leftOut, reading, refill, select, table, tell } from "./dom.js";

/**
 * @typedef {object} Listing
 * @property {string} title
 * @property {string} nothing What is said if there are none.
 * @property {string} path
 * @property {string} rows The field of an answer that has the rows.
 * @property {Record<string, { label: string, choices?: Record<string, string>, value?: string }>} by
 *   The fields of the query, each a choice of values with what they are called, or, without choices, a text. `value` is what it is at first.
 * @property {{ name: string, isNumber?: boolean }[]} columns
 * @property {(row: any, again: () => Promise<void>) => (Node | string)[]} cells The cells of a row. `again` reads the list anew.
 */

/** @param {Listing} listing @param {AbortSignal} signal */
export function listing({ title, nothing, path, rows: field, by, columns, cells }, signal) {
  const shown = reading(signal);
  const list = el("section", { class: "card", "aria-label": title }, el("p", { class: "soft" }, "…"));
  const more = el("button", { class: "quiet", type: "button", hidden: true, click: () => void show(next) }, "Show more");
  const inputs = Object.entries(by).map(([name, { choices, value = "" }]) => {
    const input = choices ? select(`by-${name}`, name, choices) : el("input", { id: `by-${name}`, name, autocomplete: "off", spellcheck: "false" });
    input.value = value;
    return input;
  });
  /** @type {any[]} */
  let rows = [];
  let damaged = 0;
  let next = "";
  let asks = 0;
  /** What the list is narrowed by: the pages that follow are of the same, whatever is written meanwhile, and whatever could not be read. @type {Record<string, string>} */
  let given = {};

  /** @param {string} [cursor] Where the page begins; without it the list begins anew. */
  async function show(cursor = "") {
    // Only the answer to the last question is shown, so that no page comes twice, and none to a question of before.
    asks += 1;
    const asked = asks;
    const wanted = cursor === "" ? Object.fromEntries(inputs.map((input) => [input.name, input.value.trim()])) : given;
    const isNew = await shown.show(async () => {
      const found = await read(path, { ...wanted, limit: 50, cursor }, signal).catch((error) => {
        if (asked === asks) throw error;
      });
      if (asked !== asks) return false;
      rows = cursor === "" ? found[field] : [...rows, ...found[field]];
      damaged = (cursor === "" ? 0 : damaged) + (found.damaged ?? 0);
      [given, next] = [wanted, found.next ?? ""];
    });
    if (shown.isEmpty() && !signal.aborted) refill(list, el("p", { class: "soft" }, "Nothing has been read yet."));
    if (!isNew) return;
    const again = () => show();
    const none = damaged > 0 ? [] : [el("p", { class: "soft" }, nothing)];
    refill(list, ...leftOut(damaged), ...(rows.length > 0 ? [table(title, columns, rows.map((row) => cells(row, again)))] : none));
    // A button that is gone has no focus to keep: the list has it then.
    if (next === "" && document.activeElement === more) list.querySelector(".wide")?.focus();
    more.hidden = next === "";
    tell(`${title}: ${count(rows.length)} shown.`);
  }

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
    ...Object.values(by).map(({ label }, at) => el("label", { for: inputs[at].id }, label, inputs[at])),
    el("button", { class: "main", type: "submit" }, "Show"),
  );
  return { parts: [form, shown.words, el("div", { class: "gap" }), list, el("div", { class: "gap" }), more], show };
}
