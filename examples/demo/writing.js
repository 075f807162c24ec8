// @ts-check
// What is typed: the field, and the lines that were typed and that the transcript does not have yet.

/** @typedef {import("../../npm/src/index.ts").VoiceClient} Call */

/** What the page does for the field. @typedef {object} Page
 * @property {(text: string) => void} begin Begins a call without a microphone, for what was typed before there is one.
 * @property {(role: "user" | "agent", text: string) => HTMLElement} addLine Adds a line to the conversation.
 * @property {(thrown: unknown) => void} refused The text was not taken.
 */

export class Writing {
  /** @type {Call | undefined} */
  #call;
  /** Typed, and not in the transcript yet: in the order in which it was typed. @type {{ text: string, line: HTMLElement, sent: boolean }[]} */
  #waiting = [];

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLInputElement} field
   * @param {Page} page
   */
  constructor(form, field, page) {
    this.form = form;
    this.field = field;
    this.page = page;
    // The field keeps the focus, however it is sent.
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#take();
    });
    form.querySelector("button")?.addEventListener("pointerdown", (event) => event.preventDefault());
  }

  /** Whether the agent reads, as far as is known. @param {boolean} reads */
  offer(reads) {
    this.form.hidden = !reads;
  }

  /** A call has begun: what is typed from now on waits for it. @param {string} [text] What it was begun for. */
  begin(text) {
    this.#waiting = [];
    this.offer(true);
    if (text) this.#wait(text);
  }

  /** The call is up. @param {Call} call */
  connected(call) {
    this.#call = call;
    for (const typed of this.#waiting) this.#send(typed);
  }

  /** The line that waits for this text, if there is one: the transcript has it now. @param {string} text */
  spoken(text) {
    const index = this.#waiting.findIndex((typed) => typed.text === text);
    return index < 0 ? undefined : this.#waiting.splice(index, 1)[0]?.line;
  }

  /** The relay will not get it. @param {string} text */
  undelivered(text) {
    this.#giveBack(this.#waiting.find((typed) => typed.text === text));
  }

  /** The call is over. What was sent and not told to be undelivered has arrived. */
  close() {
    this.#call = undefined;
    for (const typed of this.#waiting.filter(({ sent }) => !sent).reverse()) this.#giveBack(typed);
    for (const { line } of this.#waiting) line.dataset.last = "true";
    this.#waiting = [];
  }

  #take() {
    const text = this.field.value.trim();
    if (!text || this.field.readOnly) return;
    this.field.value = "";
    if (this.form.dataset.live === undefined) this.page.begin(text);
    else this.#wait(text);
  }

  /** @param {string} text */
  #wait(text) {
    const line = this.page.addLine("user", text);
    line.dataset.last = "false";
    const typed = { text, line, sent: false };
    this.#waiting.push(typed);
    this.#send(typed);
  }

  /** @param {{ text: string, line: HTMLElement, sent: boolean }} typed */
  #send(typed) {
    if (!this.#call || typed.sent) return;
    typed.sent = true;
    this.#call.sendText(typed.text).catch((thrown) => {
      this.#giveBack(typed);
      this.page.refused(thrown);
    });
  }

  /** Takes a line back into the field, before what is in it by now. @param {{ text: string, line: HTMLElement, sent: boolean } | undefined} typed */
  #giveBack(typed) {
    if (!typed || !this.#waiting.includes(typed)) return;
    this.#waiting = this.#waiting.filter((other) => other !== typed);
    typed.line.remove();
    this.field.value = `${typed.text} ${this.field.value}`.trim();
  }
}
