import { unlessAborted } from "../abort.js";
import { Call, type ConnectOptions, type EndedEvent, VoxrelayError } from "../index.js";
import { isStream } from "../microphone.js";

/** Refusals that mean that there is no free place. */
const FULL = /^(session_(limit|rate)|account_session_limit|address_(rate|connections)|relay_full)$/;

/** Where a relay does not say when to come back. */
const WAIT_MS = 5_000;

/** Those who wait come back spread over so much, not all at once. */
const SPREAD_MS = 1_000;

/** How to make a call. */
export interface Plan {
  readonly options: ConnectOptions;
  /** The user is asked before the microphone opens. */
  readonly asksFirst: boolean;
}

/** What is told of an attempt. */
export interface CallerListener {
  /** There is something else to show. */
  changed(): void;
  /** A call was made, to be followed from its first event on. `isHidden` says of an event whether it is of a try that nobody is to hear of. */
  made(call: Call, isHidden: (name: string) => boolean): void;
  agreed(): void;
  waiting(retryInMs: number): void;
}

/**
 * From the press of the button to the call: asks for consent, makes the call and, where there is no free place, waits and tries again, with
 * the microphone closed: who listens opens it when the call is up.
 */
export class Caller {
  readonly #listener: CallerListener;
  /** Ends what is under way; nothing if there is neither an attempt nor a call. */
  #stop: AbortController | undefined;
  #up: Promise<void> | undefined;
  #answer: ((isAgreed: boolean) => void) | undefined;
  #hasAgreed = false;

  /** `starting` is before there is a call; `call` stands for whatever the call's own state is. */
  phase: "idle" | "starting" | "waiting" | "call" | "over" = "idle";
  /** The newest call. */
  call: Call | undefined;
  /** When the next try is due, by `Date.now()`. */
  due = 0;
  /** Why the call ended. */
  ended: EndedEvent["reason"] | undefined;
  /** What kept a call from being made. */
  failure: unknown;

  constructor(listener: CallerListener) {
    this.#listener = listener;
  }

  /** Whether the user is being asked for consent. */
  get isAsking(): boolean {
    return this.#answer !== undefined;
  }

  /** Whether something is under way or up, that the next press ends. */
  get isBusy(): boolean {
    return this.#stop !== undefined;
  }

  /** Makes a call as `prepare` plans it, unless one is under way or up: then that one is meant. */
  connect(prepare: () => Promise<Plan>): Promise<void> {
    if (this.#up) return this.#up;
    const stop = (this.#stop = new AbortController());
    this.ended = this.failure = undefined;
    const up = this.#run(prepare, stop.signal).catch((thrown: unknown) => {
      this.#over(stop, thrown);
      throw thrown;
    });
    return (this.#up = up);
  }

  /**
   * Asks whether the microphone may open, unless the user has agreed before.
   *
   * @throws {@link VoxrelayError} `call_over` when the user declines, or hangs up
   */
  async consent(): Promise<void> {
    if (this.#hasAgreed) return;
    const isAgreed = await new Promise<boolean>((resolve) => {
      this.#answer = resolve;
      this.#listener.changed();
    });
    if (!isAgreed) throw over();
    this.#hasAgreed = true;
    this.#listener.agreed();
  }

  /** What the user answers. */
  answer(isAgreed: boolean): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(isAgreed);
    this.#listener.changed();
  }

  /** Hangs up, stops waiting, or declines. */
  async close(options?: { readonly finish?: boolean }): Promise<void> {
    const { call, phase } = this;
    const stop = this.#stop;
    this.#stop = this.#up = undefined;
    stop?.abort(over());
    this.answer(false);
    // The call's own states say what becomes of it.
    if (phase !== "call" || call?.state === "idle") this.#enter(call ? "over" : "idle");
    await call?.close(options);
  }

  async #run(prepare: () => Promise<Plan>, signal: AbortSignal): Promise<void> {
    this.#enter("starting");
    const { options, asksFirst } = await unlessAborted(signal, prepare());
    if (asksFirst) await this.consent();
    signal.throwIfAborted();
    // A stream of the page's own is open in any case.
    const { microphone } = options;
    const opens = microphone !== false && !isStream(microphone);
    let full = await this.#try(options, signal, false);
    while (full) {
      const retryInMs = Math.round((full.retryAfterMs ?? WAIT_MS) + Math.random() * SPREAD_MS);
      this.due = Date.now() + retryInMs;
      this.#enter("waiting");
      this.#listener.waiting(retryInMs);
      await pause(retryInMs, signal);
      full = await this.#try(opens ? { ...options, microphone: false } : options, signal, true);
    }
  }

  /** Makes a call. @returns why there is no free place, if there is none */
  async #try(options: ConnectOptions, signal: AbortSignal, isAgain: boolean): Promise<VoxrelayError | undefined> {
    let full: VoxrelayError | undefined;
    const call = new Call(options);
    const hangUp = (): void => void call.close();
    signal.addEventListener("abort", hangUp);
    call.on("error", (error) => {
      if (call.sessionId || !FULL.test(error.code)) return;
      full = error;
      hangUp();
    });
    call.on("ended", ({ reason }) => {
      signal.removeEventListener("abort", hangUp);
      // While the next attempt is under way the call is the newest one, and yet the attempt before's.
      if (call === this.call && call.sessionId && this.phase === "call") this.#ended(reason);
    });
    this.call = call;
    this.#listener.made(call, (name) => !!full || (isAgain && name === "state" && !call.sessionId));
    if (!isAgain) this.#enter("call");
    try {
      await call.connect();
      this.#enter("call");
    } catch (thrown) {
      signal.throwIfAborted();
      if (!full) throw thrown;
    }
    return full;
  }

  #ended(reason: EndedEvent["reason"]): void {
    this.ended = reason;
    this.#stop = this.#up = undefined;
    // Whoever was asked whether a microphone may open, need not answer any more.
    this.answer(false);
    this.#enter("over");
  }

  /** An attempt failed, unless it was given up and another one runs. */
  #over(stop: AbortController, thrown: unknown): void {
    if (this.#stop !== stop) return;
    this.#stop = this.#up = undefined;
    const isDeclined = thrown instanceof VoxrelayError && thrown.code === "call_over";
    if (!isDeclined) this.failure = thrown;
    this.#enter(isDeclined && !this.call ? "idle" : "over");
  }

  #enter(phase: Caller["phase"]): void {
    this.phase = phase;
    this.#listener.changed();
  }
}

function over(): VoxrelayError {
  return new VoxrelayError("call_over", "The call was given up before it was up.", false);
}

/** Waits so long, unless `signal` ends it. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}
