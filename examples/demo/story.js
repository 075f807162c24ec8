// @ts-check
// One call of the page, from the press of the button on: its snapshot, and what a page notes itself beside that.

/** @typedef {import("../../npm/src/index.ts").Call} Call */
/** @typedef {import("../../npm/src/index.ts").CallEvents} Events */

export class Story {
  /** `connect()` has resolved: the call is, or was, up. */
  isUp = false;
  /** The user hung up. */
  isHungUp = false;
  /** The button was pressed once more while the call was ending: another one is to follow. */
  isAgain = false;
  /** Why there is no call, as `connect()` rejected. @type {unknown} */
  failure;
  /** The newest event of each budget. @type {Map<Events["budget"]["scope"], Events["budget"]>} */
  budgets = new Map();
  reconnects = 0;
  /** Of the microphone, never to be heard. */
  lostMs = 0;
  /** When it was connected first. @type {number | undefined} */
  #begunAt;
  /** @type {number | undefined} */
  #endedAt;
  #state = "idle";

  /** @param {Call} call @param {boolean} hasMicrophone Whether one is asked for. */
  constructor(call, hasMicrophone) {
    this.call = call;
    this.hasMicrophone = hasMicrophone;
  }

  get snapshot() {
    return this.call.snapshot;
  }

  /** Notes when it began and ended, and how often the connection came back. */
  note() {
    const { state } = this.snapshot;
    if (state === this.#state) return;
    if (state === "connected") {
      if (this.#begunAt === undefined) this.#begunAt = Date.now();
      else this.reconnects++;
    }
    if (state === "closed") this.#endedAt ??= Date.now();
    this.#state = state;
  }

  /** Nothing more comes of it. Why it ended comes a moment after its state. */
  get isOver() {
    return this.failure !== undefined || (this.isUp ? this.snapshot.ended !== undefined : this.isHungUp);
  }

  get isEnding() {
    return !this.isOver && (this.isHungUp || this.snapshot.state === "closing");
  }

  /** There is a connection, or it is being got back. */
  get isLive() {
    return this.isUp && !this.isOver && !this.isEnding;
  }

  get reads() {
    return this.snapshot.session?.features.includes("text");
  }

  /** An agent that listens has a price for it, by the second. */
  get listens() {
    return this.snapshot.session?.prices.items.some(({ unit }) => unit === "second");
  }

  /** The call has a microphone, and an agent that listens to it. Before there is a session it may have. */
  get isSpoken() {
    return this.hasMicrophone && (this.reads !== true || this.listens === true);
  }

  /** How long it lasted, from the first connection on. */
  get lastedMs() {
    return this.#begunAt === undefined ? undefined : (this.#endedAt ?? Date.now()) - this.#begunAt;
  }

  /** When it began, in milliseconds since 1970. */
  get begunAt() {
    return this.#begunAt;
  }

  /** Whose budget is used up. */
  get spent() {
    return [...this.budgets.values()].find(({ percent }) => percent === 100)?.scope;
  }

  /** Why it ended, as a word of `ENDS`. */
  get reason() {
    const reason = this.snapshot.ended?.reason ?? "normal";
    return reason === "normal" && this.isHungUp ? "hung_up" : reason;
  }
}
