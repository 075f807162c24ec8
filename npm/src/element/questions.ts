import type { Call } from "../index.js";
import { button, icon, make, set, show, write } from "./borrowed.js";
import type { Nodes } from "./nodes.js";
import type { Shown } from "./screen.js";

const THUMB = "M8 11l3-7h2v6h6l-2 9H8zM4 11v8";

/** What is done with an answer. */
export interface Answers {
  /** The user agrees that the microphone opens, or does not. */
  agree(isAgreed: boolean): void;
  /** Whether there is a call, or one is being made: not any more once it is hung up. */
  isBusy(): boolean;
  /** There is something else to show. */
  changed(): void;
}

/** What the user is asked: before a call, and after it. */
export class Questions {
  readonly #nodes: Nodes;
  readonly #changed: () => void;
  readonly #consentText = make("p", { id: "consent" });
  readonly #agree: HTMLElement;
  readonly #consent: HTMLElement;
  readonly #rate = make("p", { id: "rate", role: "status" });
  readonly #good: HTMLElement;
  readonly #bad: HTMLElement;
  readonly #rating: HTMLElement;
  #call: Call | undefined;
  #given: { readonly isGood: boolean; readonly isTaken: boolean } | undefined;

  constructor(nodes: Nodes, { agree, changed }: Answers) {
    const { labels } = nodes;
    this.#nodes = nodes;
    this.#changed = changed;
    this.#agree = labels.make("agree", "button", { type: "button", class: "main", "aria-describedby": "consent" });
    this.#agree.onclick = () => agree(true);
    const decline = labels.make("decline", "button", { type: "button", class: "plain" });
    decline.onclick = () => agree(false);
    this.#consent = make("div", { class: "box", part: "consent", hidden: "" }, this.#consentText, make("div", { class: "row" }, this.#agree, decline));
    this.#good = button("thumb", labels.ear("good"), icon("", THUMB));
    this.#good.onclick = () => void this.#give(true);
    this.#bad = button("thumb down", labels.ear("bad"), icon("", THUMB));
    this.#bad.onclick = () => void this.#give(false);
    this.#rating = make("div", { class: "box row", part: "rating", role: "group", "aria-labelledby": "rate" }, this.#rate, this.#good, this.#bad);
    nodes.formPart.before(this.#consent, this.#rating);
  }

  clear(): void {
    this.#given = undefined;
  }

  render({ view, texts, consent, snapshot }: Shown, call: Call | undefined): void {
    const { callPart } = this.#nodes;
    this.#call = call;
    const isNew = this.#consent.hidden && consent !== undefined;
    if (consent !== undefined) write(this.#consentText, consent);
    show(this.#consent, consent !== undefined, callPart);
    if (isNew) this.#agree.focus();
    const given = this.#given;
    write(this.#rate, given ? (given.isTaken ? texts.thanks : texts.notRated) : texts.rate);
    set(this.#good, "aria-pressed", given?.isGood === true);
    set(this.#bad, "aria-pressed", given?.isGood === false);
    show(this.#rating, view.state === "closed" && !!snapshot?.session && snapshot.captions.length > 0, callPart);
  }

  async #give(isGood: boolean): Promise<void> {
    const given = (this.#given = { isGood, isTaken: true });
    this.#changed();
    await this.#call?.feedback({ rating: isGood ? 5 : 1 }).catch(() => {
      // The user may have said something else by now, or have made another call.
      if (this.#given !== given) return;
      this.#given = { isGood, isTaken: false };
      this.#changed();
    });
  }
}
