// Elements and texts. Whatever comes from the relay is put in as text, never as markup.

/**
 * @param {string} tag
 * @param {Record<string, string | number | boolean | ((event: any) => void) | undefined>} [given] Attributes; a function listens to the event of its name.
 * @param {...(Node | string)} inside
 * @returns {any}
 */
export function el(tag, given = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...inside);
  return element;
}

/**
 * An element of a drawing. What it looks like is in its attributes or its class: the policy allows no style in the page.
 * @param {string} tag @param {Record<string, string | number>} given @param {...Node} inside
 */
export function svg(tag, given, ...inside) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, String(value));
  element.append(...inside);
  return element;
}

/**
 * @param {string} caption What the table is about, for screen readers.
 * @param {{ name: string, isNumber?: boolean }[]} columns
 * @param {(Node | string)[][]} rows The first cell of each is its heading.
 */
export function table(caption, columns, rows) {
  const kind = (/** @type {number} */ at) => (columns[at].isNumber ? { class: "number" } : {});
  const head = columns.map(({ name }, at) => el("th", { scope: "col", ...kind(at) }, name));
  const body = rows.map((row) =>
    el("tr", {}, ...row.map((cell, at) => el(at === 0 ? "th" : "td", { ...(at === 0 ? { scope: "row" } : {}), ...kind(at) }, cell))),
  );
  // What scrolls can be reached with the keyboard.
  return el(
    "div",
    { class: "wide", tabindex: 0, role: "group", "aria-label": caption, "data-of": caption },
    el("table", {}, el("caption", { class: "sr" }, caption), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)),
  );
}

/**
 * Puts something else into an element. If the focus was inside, it goes to what is of the same `data-of` now, or else to the content, as it would be lost.
 * @param {HTMLElement} place @param {...(Node | string)} inside
 */
export function refill(place, ...inside) {
  const hasFocus = place.contains(document.activeElement);
  const of = document.activeElement?.getAttribute("data-of");
  place.replaceChildren(...inside);
  if (!hasFocus) return;
  const same = [...place.querySelectorAll("[data-of]")].find((found) => found.getAttribute("data-of") === of);
  /** @type {HTMLElement | null} */ (same ?? document.getElementById("main"))?.focus({ preventScroll: true });
}

/**
 * Does what takes a while, during which a control does nothing. The browser takes the focus from what is disabled, and it comes back.
 * @template T
 * @param {any} control @param {() => Promise<T>} work
 */
export async function busy(control, work) {
  const hadFocus = document.activeElement === control;
  control.disabled = true;
  try {
    return await work();
  } finally {
    control.disabled = false;
    if (hadFocus && document.activeElement === document.body) control.focus();
  }
}

/** @param {string} id @param {string} name @param {Record<string, string>} choices What each value is called. */
export function select(id, name, choices) {
  return el("select", { id, name }, ...Object.entries(choices).map(([value, word]) => el("option", { value }, word)));
}

/** @param {[string, string][]} figures */
export function tiles(figures) {
  return el("dl", { class: "tiles" }, ...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** @param {number} nano */
export function money(nano) {
  const usd = nano / 1e9;
  const digits = usd !== 0 && Math.abs(usd) < 1 ? 4 : 2;
  return new Intl.NumberFormat("en", { style: "currency", currency: "USD", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(usd);
}

/** @param {number} value */
export function count(value) {
  return new Intl.NumberFormat("en").format(value);
}

/** @param {number} part @param {number} all */
export function share(part, all) {
  return all === 0 ? "–" : `${((100 * part) / all).toFixed(1)} %`;
}

/** @param {number} seconds */
export function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.round(seconds)} s`;
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {string | null | undefined} time */
export function when(time) {
  return time ? `${time.slice(0, 10)} ${time.slice(11, 19)}` : "–";
}

/** @param {string} words Said to screen readers. */
export function tell(words) {
  const told = document.getElementById("told");
  if (told) told.textContent = words;
}

/**
 * Asks before something is done that cannot be taken back.
 * @param {{ title: string, words: string, yes: string, fields?: { name: string, label: string, value?: string, type?: string, choices?: Record<string, string> }[] }} question
 * @returns {Promise<Record<string, string> | undefined>} What was written into the fields, or `undefined` if it is not to be done.
 */
export function confirmed({ title, words, yes, fields = [] }) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("ask"));
  const part = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  part("ask-title").textContent = title;
  part("ask-words").textContent = words;
  part("ask-yes").textContent = yes;
  const inputs = fields.map(({ name, value = "", type = "text", choices }) =>
    choices ? select(`ask-${name}`, name, choices) : el("input", { id: `ask-${name}`, name, value, type, required: true, autocomplete: "off" }),
  );
  const labels = fields.map(({ name, label }, at) => el("div", {}, el("label", { for: `ask-${name}` }, label), inputs[at]));
  part("ask-fields").replaceChildren(...labels);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    const answer = () => {
      const given = Object.fromEntries(inputs.map((input) => [input.name, input.value]));
      resolve(dialog.returnValue === "yes" ? given : undefined);
    };
    dialog.addEventListener("close", answer, { once: true });
  });
}
