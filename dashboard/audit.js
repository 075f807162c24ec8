// What administrators did.

import { read } from "./api.js";
import { el, when } from "./dom.js";
import { listing } from "./listing.js";

const PATH = "/v1/admin/audit";
const COLUMNS = [{ name: "When (UTC)" }, { name: "Administrator" }, { name: "Deed" }, { name: "To the user" }, { name: "Of what" }, { name: "Why" }];

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function audit(place, signal) {
  const deeds = await deedsOfRelay(signal);
  const list = listing(
    {
      title: "Audit",
      nothing: "There is no such deed.",
      path: PATH,
      rows: "audit",
      by: {
        by: { label: "Administrator" },
        what: { label: "Deed", choices: { "": "All", ...Object.fromEntries(deeds.map((deed) => [deed, called(deed)])) } },
        user_sub: { label: "To the user" },
      },
      columns: COLUMNS,
      cells,
    },
    signal,
  );
  place.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Audit")), ...list.parts);
  await list.show();
}

/** The deeds that this relay knows, as the document of its API lists them, so that they are listed once. @param {AbortSignal} signal @returns {Promise<string[]>} */
async function deedsOfRelay(signal) {
  const document = await read("/v1/openapi.json", {}, signal);
  const { schema } = document.paths[PATH].get.parameters.find((/** @type {any} */ parameter) => parameter.name === "what");
  return (schema.allOf ?? [schema]).flatMap((/** @type {any} */ part) => part.enum ?? []);
}

/** @param {string} deed */
function called(deed) {
  const words = deed.replaceAll("_", " ");
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}

/** @param {any} deed */
function cells(deed) {
  return [when(deed.at), deed.by || "erased since", called(deed.what), deed.user_sub ?? "–", deed.subject || "–", deed.reason || "–"];
}
