// @ts-check
// The conversation: what was said, and below it what was typed and is on its way.

import { element } from "./page.js";

/** @typedef {import("../../npm/src/index.ts").Caption} Caption */
/** @typedef {import("./writing.js").Typed} Typed */

/** So near its end the conversation follows what is added. */
const NEAR_PX = 80;
/** So much of what was said last stays in sight above what comes after the call. */
const ABOVE_PX = 72;

export class Captions {
  #flow = element("flow");
  #lines = element("lines");
  #empty = element("empty");
  /** By the session, the turn and who spoke. @type {Map<string, HTMLLIElement>} */
  #said = new Map();
  /** @type {Map<Typed, HTMLLIElement>} */
  #typed = new Map();
  /** @type {readonly Caption[]} */
  #shown = [];

  /** Whether what was said last stays in sight when something is added: not while somebody reads what was said before. */
  #follows = true;
  /** Its size, and that of what is in it, when that was settled. */
  #size = "";

  constructor() {
    this.#flow.addEventListener(
      "scroll",
      () => {
        // A browser scrolls, too, when there is more or less room than before.
        if (this.#measured === this.#size) this.#follows = this.#isNear;
      },
      { passive: true },
    );
    const observer = new ResizeObserver(() => this.#settle());
    for (const part of [this.#flow, this.#lines]) observer.observe(part);
  }

  clear() {
    this.#said.clear();
    this.#typed.clear();
    this.#shown = [];
    this.#lines.replaceChildren();
    this.#empty.hidden = false;
    this.#follows = true;
    this.#settle();
  }

  /**
   * Shows all of it.
   * @param {readonly Caption[]} captions
   * @param {readonly Typed[]} typed
   * @param {(text: string) => Typed | undefined} arrived Asks for what was typed and is in the transcript by these words.
   */
  show(captions, typed, arrived) {
    if (captions !== this.#shown) this.#showSaid(captions, arrived);
    for (const [key, line] of this.#typed) {
      if (typed.includes(key)) continue;
      line.remove();
      this.#typed.delete(key);
    }
    for (const key of typed) {
      const line = this.#typed.get(key) ?? this.#add("user");
      this.#typed.set(key, line);
      write(line, key.text, key.isOver);
      // Below what was said meanwhile.
      if (line.nextElementSibling && !this.#isTyped(line.nextElementSibling)) this.#lines.append(line);
    }
    this.#empty.hidden = this.#lines.childElementCount > 0;
    this.#settle();
  }

  /** What comes after the call is in sight, below the last words. @param {HTMLElement} after */
  reveal(after) {
    this.#follows = false;
    this.#settle();
    this.#flow.scrollTop = after.offsetTop - ABOVE_PX;
  }

  /** @param {readonly Caption[]} captions @param {(text: string) => Typed | undefined} arrived */
  #showSaid(captions, arrived) {
    this.#shown = captions;
    const gone = new Set(this.#said.keys());
    for (const [index, caption] of captions.entries()) {
      const { role, text, last } = caption;
      // There may be no words yet.
      if (!text) continue;
      const key = nameOf(caption);
      gone.delete(key);
      let line = this.#said.get(key);
      if (!line) {
        const typed = role === "user" ? arrived(text) : undefined;
        line = (typed && this.#typed.get(typed)) ?? this.#add(role);
        if (typed) this.#typed.delete(typed);
        // Words of a turn that began later may stand there already.
        const later = captions.slice(index + 1).find((other) => this.#said.has(nameOf(other)));
        if (later) this.#said.get(nameOf(later))?.before(line);
        this.#said.set(key, line);
      }
      write(line, text, last);
    }
    for (const key of gone) {
      this.#said.get(key)?.remove();
      this.#said.delete(key);
    }
  }

  /** @param {Caption["role"]} role */
  #add(role) {
    const line = document.createElement("li");
    line.className = role;
    const who = document.createElement("b");
    who.textContent = role === "user" ? "You" : "Agent";
    const words = document.createElement("span");
    words.dir = "auto";
    line.append(who, words);
    this.#lines.append(line);
    return line;
  }

  /** @param {Element} line */
  #isTyped(line) {
    return [...this.#typed.values()].some((typed) => typed === line);
  }

  get #isNear() {
    const { scrollHeight, scrollTop, clientHeight } = this.#flow;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  get #measured() {
    const { scrollHeight, clientHeight, clientWidth } = this.#flow;
    return `${scrollHeight} ${clientHeight} ${clientWidth}`;
  }

  #settle() {
    this.#size = this.#measured;
    if (this.#follows) this.#flow.scrollTop = this.#flow.scrollHeight;
    // Only what can be scrolled is a stop of the keyboard.
    if (this.#flow.scrollHeight > this.#flow.clientHeight) this.#flow.tabIndex = 0;
    else this.#flow.removeAttribute("tabindex");
  }
}

/** @param {Caption} caption */
function nameOf({ sessionId, role, turn }) {
  return `${sessionId} ${role} ${turn}`;
}

/** What was said is foreign text: never HTML. @param {HTMLLIElement} line @param {string} text @param {boolean} last */
function write(line, text, last) {
  line.dataset.last = String(last);
  const words = line.lastElementChild;
  if (words && words.textContent !== text) words.textContent = text;
}
