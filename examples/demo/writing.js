// @ts-check
// What is typed: the field, and what was typed and is not in the transcript yet.

import { element } from "./page.js";

/** @typedef {import("../../npm/src/index.ts").Call} Call */

/** @typedef {object} Typed
 * @property {string} text
 * @property {boolean} isSent
 * @property {boolean} isOver The call is over, and it has arrived.
 */

/** What the page does for the field. @typedef {object} Page
 * @property {(text: string) => void} begin Begins a call without a microphone, for what was typed before there is one.
 * @property {() => void} changed There is something else to show.
 * @property {(thrown: unknown) => void} refused The text was not taken.
 */

export class Writing {
  #form = element("write", HTMLFormElement);
  #field = element("text", HTMLInputElement);
  /** @type {Call | undefined} */
  #call;
  /** A call is there, or is being made. */
  #isLive = false;
  /** In the order in which it was typed. @type {Typed[]} */
  waiting = [];

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    // The field keeps the focus, however it is sent.
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#take();
    });
    this.#form.querySelector("button")?.addEventListener("pointerdown", (event) => event.preventDefault());
  }

  /** Whether the agent reads, as far as is known, and whether there is anybody who takes it. @param {boolean} reads @param {boolean} isEnding */
  offer(reads, isEnding) {
    this.#form.hidden = !reads;
    element("unread").hidden = reads;
    this.#field.readOnly = isEnding;
  }

  /** A call has begun: what is typed from now on waits for it. @param {string} [text] What it was begun for. */
  begin(text) {
    this.waiting = [];
    this.#isLive = true;
    if (text) this.#wait(text);
  }

  /** The call is up. @param {Call} call */
  connected(call) {
    this.#call = call;
    for (const typed of [...this.waiting]) this.#send(typed);
  }

  /** The transcript has it. @param {string} text */
  arrived(text) {
    const index = this.waiting.findIndex((typed) => typed.text === text);
    return index < 0 ? undefined : this.waiting.splice(index, 1)[0];
  }

  /** The relay will not get it. @param {string} text */
  undelivered(text) {
    this.#giveBack(this.waiting.find((typed) => typed.text === text));
  }

  /** The call is over. What was sent and not told to be undelivered has arrived. */
  close() {
    this.#call = undefined;
    this.#isLive = false;
    for (const typed of this.waiting.filter(({ isSent }) => !isSent).reverse()) this.#giveBack(typed);
    for (const typed of this.waiting) typed.isOver = true;
  }

  #take() {
    const text = this.#field.value.trim();
    if (!text || this.#field.readOnly) return;
    this.#field.value = "";
    if (this.#isLive) this.#wait(text);
    else this.page.begin(text);
  }

  /** @param {string} text */
  #wait(text) {
    const typed = { text, isSent: false, isOver: false };
    this.waiting.push(typed);
    this.#send(typed);
    this.page.changed();
  }

  /** @param {Typed} typed */
  #send(typed) {
    if (!this.#call || typed.isSent) return;
    typed.isSent = true;
    this.#call.sendText(typed.text).catch((thrown) => {
      this.#giveBack(typed);
      this.page.refused(thrown);
    });
  }

  /** Takes a text back into the field, before what is in it by now. @param {Typed | undefined} typed */
  #giveBack(typed) {
    if (!typed || !this.waiting.includes(typed)) return;
    this.waiting = this.waiting.filter((other) => other !== typed);
    this.#field.value = `${typed.text} ${this.#field.value}`.trim();
    this.page.changed();
  }
}
