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
 * A table that is shown when it is asked for.
 * @param {string} title @param {{ name: string, isNumber?: boolean }[]} columns @param {(Node | string)[][]} rows @param {boolean} [isOpen] At first.
 */
export function asTable(title, columns, rows, isOpen = false) {
  return el("details", { open: isOpen }, el("summary", { "data-of": `summary ${title}`, "aria-label": `${title}, as a table` }, "As a table"), table(title, columns, rows));
}

/** What an element is of, so that it is known again in a later state of the page; of a row, what the first thing in it is of. @param {Node | null} node */
function keyOf(node) {
  if (!(node instanceof Element)) return null;
  const from = node instanceof HTMLTableRowElement ? node.querySelector("[data-of]") : node;
  return from?.getAttribute("data-of") ?? null;
}

/** Gives the focus to what is of the same as what had it and is gone, or else to the content, as it would be lost. @param {ParentNode} place @param {string | null} key */
function focusAgain(place, key) {
  const same = key === null ? undefined : [...place.querySelectorAll("[data-of]")].find((found) => keyOf(found) === key);
  /** @type {HTMLElement | null} */ (same ?? document.getElementById("main"))?.focus({ preventScroll: true });
}

/**
 * Puts something else into an element. If the focus was inside, it goes to what is of the same `data-of` now, or else to the content. Tables that are
 * there again are scrolled as far, and open if they were.
 * @param {HTMLElement} place @param {...(Node | string)} inside
 */
export function refill(place, ...inside) {
  const hasFocus = place.contains(document.activeElement);
  const key = keyOf(document.activeElement);
  const scrolled = new Map([...place.querySelectorAll(".wide")].map((wide) => [keyOf(wide), wide.scrollLeft]));
  const open = new Set([...place.querySelectorAll("details[open] > summary")].map(keyOf));
  place.replaceChildren(...inside);
  for (const summary of place.querySelectorAll("details > summary")) if (open.has(keyOf(summary))) summary.parentElement?.setAttribute("open", "");
  for (const wide of place.querySelectorAll(".wide")) wide.scrollLeft = scrolled.get(keyOf(wide)) ?? 0;
  if (hasFocus) focusAgain(place, key);
}

/**
 * Puts a newer state of the same into an element. What is the same as before stays where it is, with the focus, what is selected and how far it is
 * scrolled: somebody may be at it. What listens there goes on as it was, so its `data-of` has to name all that it depends on.
 * @param {HTMLElement} place @param {...Node} inside
 */
export function renew(place, ...inside) {
  const hadFocus = place.contains(document.activeElement);
  merge(place, inside);
  if (hadFocus && !place.contains(document.activeElement)) focusAgain(place, null);
}

/** Takes an element away. The focus that was inside goes to the content. @param {HTMLElement} element */
export function takeAway(element) {
  const hadFocus = element.contains(document.activeElement);
  element.remove();
  if (hadFocus) focusAgain(document, null);
}

/** @param {Node} place @param {Node[]} nodes What it is to hold, in this order. */
function merge(place, nodes) {
  const keys = new Set(nodes.map(keyOf));
  for (const before of [...place.childNodes]) if (!keys.has(keyOf(before))) before.remove();
  let next = place.firstChild;
  for (const node of nodes) {
    if (next && next.nodeName === node.nodeName && keyOf(next) === keyOf(node)) {
      const same = next;
      next = next.nextSibling;
      become(same, node);
    } else place.insertBefore(node, next);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

/** @param {ChildNode} before @param {Node} now The same, as it is now. */
function become(before, now) {
  if (before.isEqualNode(now)) return;
  if (!(before instanceof Element && now instanceof Element)) {
    before.nodeValue = now.nodeValue;
    return;
  }
  for (const name of before.getAttributeNames()) if (!now.hasAttribute(name)) before.removeAttribute(name);
  for (const { name, value } of now.attributes) before.setAttribute(name, value);
  merge(before, [...now.childNodes]);
}

/** @param {unknown} error What was thrown, as people read it. */
export function said(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * What is read when somebody asks for it. If it cannot be read, what was read before stays, and is said to be of before.
 * @param {AbortSignal} signal
 */
export function reading(signal) {
  const words = el("p", { class: "wrong", role: "alert" });
  let at = "";
  /** @param {() => Promise<void | false>} work Reads and shows it; `false` if it was overtaken. @returns {Promise<boolean>} Whether what is shown is new. */
  async function show(work) {
    try {
      if ((await work()) === false) return false;
    } catch (error) {
      if (!signal.aborted) words.textContent = `${said(error)}${at === "" ? "" : ` What is shown was read before, at ${when(at)} (UTC).`}`;
      return false;
    }
    at = new Date().toISOString();
    words.textContent = "";
    return true;
  }
  return { words, show, isEmpty: () => at === "" };
}

/** What goes on by itself, and is said to be old from when on it does not. */
export function liveness() {
  const words = el("p", { class: "wrong", role: "alert" });
  let since = "";
  return {
    words,
    fresh() {
      if (since !== "") tell("It is live again.");
      since = "";
      words.textContent = "";
    },
    /** @param {string} why */
    stale(why) {
      if (since === "") since = new Date().toISOString();
      const text = `Not live any more, since ${when(since)} (UTC). ${why} It is asked for again.`;
      // What is said again and again is read out once.
      if (words.textContent !== text) words.textContent = text;
    },
  };
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

/** The least sum that is written with figures, in nano-dollars. */
export const LEAST_MONEY = 100_000;

/** @param {number} nano */
export function money(nano) {
  const usd = nano / 1e9;
  // What costs something does not read as if it cost nothing.
  if (usd > 0 && usd < 0.00005) return "< $0.0001";
  const digits = usd !== 0 && Math.abs(usd) < 1 ? 4 : 2;
  return new Intl.NumberFormat("en", { style: "currency", currency: "USD", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(usd);
}

/** @param {number} value @param {number} [digits] After the point. */
export function count(value, digits = 0) {
  return new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** What a list says that cannot show all rows. @param {number} rows */
export function leftOut(rows) {
  return rows === 0 ? [] : [el("p", { class: "wrong" }, `${count(rows)} cannot be read, and ${rows === 1 ? "is" : "are"} left out: see the relay's log.`)];
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

/** The answer to the question before: a question never takes the place of one that is not answered yet. @type {Promise<unknown>} */
let lastAnswer = Promise.resolve();

/**
 * A field of a question: a text, or a choice of values with what they are called.
 * @typedef {{ name: string, label: string, value?: string, type?: string, mode?: string, pattern?: string, title?: string, choices?: Record<string, string> }} Field
 *   `mode` is the keyboard of a phone, `pattern` what the whole text has to be like, and `title` says so to people.
 */

/**
 * Asks before something is done that cannot be taken back.
 * @param {{ title: string, words: string, yes: string, fields?: Field[] }} question
 * @returns {Promise<Record<string, string> | undefined>} What was written into the fields, or `undefined` if it is not to be done.
 */
export function confirmed(question) {
  const answer = lastAnswer.then(() => answered(question));
  lastAnswer = answer;
  return answer;
}

/** @param {{ title: string, words: string, yes: string, fields?: Field[] }} question @returns {Promise<Record<string, string> | undefined>} */
function answered({ title, words, yes, fields = [] }) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("ask"));
  const part = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  part("ask-title").textContent = title;
  part("ask-words").textContent = words;
  part("ask-yes").textContent = yes;
  // The browser would press the first button, which is to cancel, and what was written would be gone.
  const keydown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    part("ask-yes").focus();
  };
  const inputs = fields.map(({ name, value = "", type = "text", mode, pattern, title, choices }) =>
    choices
      ? select(`ask-${name}`, name, choices)
      : el("input", { id: `ask-${name}`, name, value, type, inputmode: mode, pattern, title, required: true, autocomplete: "off", keydown }),
  );
  const labels = fields.map(({ name, label }, at) => el("div", {}, el("label", { for: `ask-${name}` }, label), inputs[at]));
  part("ask-fields").replaceChildren(...labels);
  dialog.returnValue = "no";
  const asker = document.activeElement;
  dialog.showModal();
  return new Promise((resolve) => {
    const answer = () => {
      // The browser gives the focus back to what was pressed, unless that was replaced or taken away meanwhile.
      if (asker && !asker.isConnected) focusAgain(document, keyOf(asker));
      const given = Object.fromEntries(inputs.map((input) => [input.name, input.value]));
      resolve(dialog.returnValue === "yes" ? given : undefined);
    };
    dialog.addEventListener("close", answer, { once: true });
  });
}
