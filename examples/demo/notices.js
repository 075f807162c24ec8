// @ts-check
// What the user should know beside how the call stands: troubles, budgets, what was lost. One notice about each thing.

import { dollars, share } from "./figures.js";
import { element } from "./page.js";
import { BUDGETS, DEGRADED, inWords } from "./words.js";

/** @typedef {import("../../npm/src/index.ts").CallEvents} Events */
/** @typedef {import("../../npm/src/index.ts").VoxrelayError} VoxrelayError */

const MOST = 2;
/** Marks the notice of audio that was lost. */
const GAP = "gap";
/** Marks the notice of why there is no connection yet. */
const ATTEMPT = "attempt";

export class Notices {
  #list = element("notices");

  clear() {
    this.#list.replaceChildren();
  }

  /** @param {Events["budget"]} budget */
  budget(budget) {
    const { scope, percent, limitNanoUsd, spentNanoUsd } = budget;
    const [name] = BUDGETS[scope];
    const advice = `${dollars(spentNanoUsd)} of ${dollars(limitNanoUsd)}. When nothing is left, the call ends.`;
    this.#add(percent === 100 ? "bad" : "wait", `${name} is ${share(budget)}spent`, advice, `budget-${scope}`);
  }

  /** @param {number} ms In this call. */
  lost(ms) {
    const title = `${(ms / 1000).toFixed(1)} s of what you said were lost`;
    this.#add("wait", title, "The connection was away for too long. Please say it again.", GAP);
  }

  /** @param {Events["degraded"]} event */
  degraded({ what, degraded }) {
    if (degraded) this.#add("wait", ...DEGRADED[what], what);
    else this.drop(what);
  }

  onPage() {
    this.#add("wait", "The engine runs on the page", "No Worker could be started, so a busy page can delay the sound.");
  }

  /**
   * Something went wrong, and the call goes on.
   * @param {unknown} thrown
   * @param {boolean} isAttempt It keeps a call from coming up, so far.
   */
  trouble(thrown, isAttempt = false) {
    const { code, retryable } = /** @type {Partial<VoxrelayError>} */ (thrown ?? {});
    this.#add(retryable ? "wait" : "bad", ...inWords(thrown), isAttempt ? ATTEMPT : code);
  }

  /** The call is up. */
  connected() {
    this.drop(ATTEMPT);
  }

  /** The call is over: what its headline says is said once. @param {string} reason @param {Events["budget"]["scope"] | undefined} spent */
  over(reason, spent) {
    this.drop(ATTEMPT);
    // Where the relay ended it, what it did not take any more needs no repeating.
    if (reason !== "abnormal") this.drop(GAP);
    if (reason === "budget" && spent) this.drop(`budget-${spent}`);
  }

  /** @param {string} about */
  drop(about) {
    this.#list.querySelector(`[data-about="${CSS.escape(about)}"]`)?.remove();
  }

  /** Takes the place of the one before about the same. @param {"wait" | "bad"} tone @param {string} title @param {string} advice */
  #add(tone, title, advice, about = title) {
    this.drop(about);
    const line = document.createElement("li");
    line.dataset.about = about;
    line.className = "notice";
    line.dataset.tone = tone;
    const text = document.createElement("div");
    const strong = document.createElement("strong");
    strong.textContent = title;
    text.append(strong, advice);
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "×";
    close.setAttribute("aria-label", `Dismiss: ${title}`);
    close.addEventListener("click", () => {
      line.remove();
      // The next one to dismiss, or else what there is always.
      (this.#list.querySelector("button") ?? element("call")).focus();
    });
    line.append(text, close);
    this.#list.append(line);
    while (this.#list.children.length > MOST) this.#list.firstElementChild?.remove();
  }
}
