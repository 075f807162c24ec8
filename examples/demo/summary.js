// @ts-check
// What there is to say of a call when it is over: how long, how much, why, and what the user thinks of it.

import { dollars, duration } from "./figures.js";
import { element, show, showRows } from "./page.js";
import { endOf } from "./words.js";

/** @typedef {import("./story.js").Story} Story */

export class Summary {
  #section = element("summary");
  #good = element("good", HTMLButtonElement);
  #bad = element("bad", HTMLButtonElement);
  /** @type {Story | undefined} */
  #story;

  constructor() {
    this.#good.addEventListener("click", () => void this.#rate(this.#good, 5));
    this.#bad.addEventListener("click", () => void this.#rate(this.#bad, 1));
    element("download").addEventListener("click", () => {
      if (this.#story) save(`voxrelay-${this.#story.call.sessionId}.txt`, transcriptOf(this.#story));
    });
  }

  clear() {
    this.#story = undefined;
    this.#section.hidden = true;
  }

  /** Of a call that was up. @param {Story} story */
  show(story) {
    this.#story = story;
    show("why", endOf(story.reason)[1]);
    showRows("sums", sumsOf(story));
    this.#mark(undefined);
    show("rate", "How was it?");
    show("rated", "");
    this.#section.hidden = false;
    return this.#section;
  }

  /** @param {HTMLButtonElement} pressed @param {number} rating */
  async #rate(pressed, rating) {
    const story = this.#story;
    this.#mark(pressed);
    const isTaken = await story?.call.feedback({ rating }).then(
      () => true,
      () => false,
    );
    if (story !== this.#story) return;
    if (!isTaken) this.#mark(undefined);
    const said = isTaken ? "Thank you." : "That was not kept. Please try again.";
    show("rate", said);
    show("rated", said);
  }

  /** @param {HTMLButtonElement | undefined} pressed */
  #mark(pressed) {
    for (const button of [this.#good, this.#bad]) button.setAttribute("aria-pressed", String(button === pressed));
  }
}

/** Each figure that the call has. @param {Story} story @returns {[string, string][]} */
function sumsOf({ snapshot, reconnects, lostMs, lastedMs = 0 }) {
  const { captions, usage } = snapshot;
  const turns = (/** @type {string} */ who) => captions.filter(({ role, text }) => role === who && text).length;
  const count = (/** @type {number} */ number) => number.toLocaleString("en");
  /** @type {[string, string][]} */
  const rows = [
    ["Lasted", duration(lastedMs)],
    ["Turns", `${turns("user")} yours, ${turns("agent")} the agent's`],
    ["Reconnects", String(reconnects)],
  ];
  if (lostMs > 0) rows.push(["Lost on the way", duration(lostMs)]);
  if (usage.audioMs > 0) rows.push(["Listening billed", duration(usage.audioMs)]);
  if (usage.tokens > 0) rows.push(["Tokens billed", count(usage.tokens)]);
  if (usage.characters > 0) rows.push(["Characters spoken", count(usage.characters)]);
  rows.push(["Cost", dollars(usage.costNanoUsd)]);
  return rows;
}

/** What was said, as plain text. @param {Story} story */
function transcriptOf(story) {
  const { captions, session } = story.snapshot;
  const began = new Date(story.begunAt ?? Date.now()).toISOString();
  const head = [`Conversation ${session?.conversationId}`, `Session ${session?.sessionId}, begun ${began}`];
  const figures = sumsOf(story).map(([name, value]) => `${name}: ${value}`);
  const said = captions.filter(({ text }) => text).map(({ role, text }) => `${role === "user" ? "You" : "Agent"}: ${text}`);
  return [head, figures, said].map((part) => part.join("\n")).join("\n\n") + "\n";
}

/** @param {string} name @param {string} text */
function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
