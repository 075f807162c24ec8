// The dashboard: signs in, and shows the page that the address names. The token is kept in memory only, and an address that brings one loses it at
// once.

import { Refused, hasToken, read, setToken } from "./api.js";
import { audit } from "./audit.js";
import { budgets } from "./budgets.js";
import { call } from "./call.js";
import { clearCharts } from "./charts.js";
import { el, said, tell } from "./dom.js";
import { overview } from "./overview.js";
import { sessions } from "./sessions.js";
import { spend } from "./spend.js";
import { webhooks } from "./webhooks.js";

/** @type {Record<string, [string, (place: HTMLElement, signal: AbortSignal) => Promise<void>]>} */
const PAGES = {
  "#/": ["Overview", overview],
  "#/spend": ["Spend", spend],
  "#/budgets": ["Budgets", budgets],
  "#/sessions": ["Sessions", sessions],
  "#/webhooks": ["Webhooks", webhooks],
  "#/audit": ["Audit", audit],
};
const CALL = "#/call/";

const part = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const [door, wrong, input, place, nav, leave, main] = ["door", "wrong", "token", "page", "pages", "leave", "main"].map(part);

/** What belongs to the page that is shown ends with it. */
let shown = new AbortController();

/** @param {string} token */
async function signIn(token) {
  wrong.textContent = "";
  setToken(token.trim());
  try {
    await read("/v1/admin/live", { limit: 1 });
  } catch (error) {
    // The page may show what another token was good for.
    return signOut(said(error));
  }
  input.value = "";
  door.hidden = true;
  nav.hidden = false;
  leave.hidden = false;
  main.focus({ preventScroll: true });
  await show();
}

/** @param {string} [why] */
function signOut(why = "") {
  setToken("");
  shown.abort();
  clearCharts();
  place.replaceChildren();
  document.title = "Voxrelay dashboard";
  door.hidden = false;
  nav.hidden = true;
  leave.hidden = true;
  wrong.textContent = why;
  input.focus();
}

async function show() {
  if (!hasToken()) return;
  shown.abort();
  shown = new AbortController();
  clearCharts();
  const { signal } = shown;
  const hash = location.hash === "" ? "#/" : location.hash;
  const of = hash.startsWith(CALL) ? "#/sessions" : hash;
  const [title, page] = PAGES[of] ?? PAGES["#/"];
  for (const link of nav.querySelectorAll("a")) {
    if (link.getAttribute("href") === of) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${title} · Voxrelay dashboard`;
  place.replaceChildren(el("p", { class: "soft" }, "…"));
  tell(title);
  try {
    if (hash.startsWith(CALL)) await call(place, signal, decodeURIComponent(hash.slice(CALL.length)));
    else await page(place, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refused && error.status === 401) return signOut("The token is not good any more. Sign in with a new one.");
    place.replaceChildren(el("h1", {}, title), el("p", { class: "wrong", role: "alert" }, said(error)));
  }
}

/** Takes the token out of the address, if there is one: nothing that is shown or remembered has it then. */
function tokenOfAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) history.replaceState(null, "", location.pathname);
  return given;
}

door.addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  void signIn(input.value);
});
leave.addEventListener("click", () => signOut());
// The address names the page, so that it does not change for this.
part("skip").addEventListener("click", (/** @type {Event} */ event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  const given = tokenOfAddress();
  if (given !== null) return void signIn(given);
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  void show();
});

const brought = tokenOfAddress();
if (brought !== null) void signIn(brought);
else input.focus();
