import { loadLater } from "./assets.js";
import {
  checkFeedback,
  checkFlag,
  checkFlags,
  checkMethod,
  checkNumber,
  checkOptional,
  checkOptions,
  checkText,
  checkTurn,
  checkVariables,
  eventOf,
  isText,
  tokenOf,
} from "./check.js";
import { Course } from "./course.js";
import { VoxrelayError, callOver, noCall } from "./error.js";
import type { CallEvents, CallState, Usage } from "./events.js";
import { inOrder } from "./in-order.js";
import type { ConnectOptions, Feedback, MicrophoneConstraints } from "./options.js";
import type { CallSnapshot, Levels } from "./snapshot.js";
import type { ToolHandler } from "./tools.js";

/** A browser's timer for longer than this ends at once. */
const OUTAGE_MAX_MS = 2_147_483_647;

/**
 * A call: made with its options, begun with {@link connect}, and over with {@link close} or by itself. Another call is another object.
 *
 * Making one loads, opens and asks for nothing, and may be done on a server. What there is to show of it is its {@link snapshot}; `subscribe`
 * says when that has changed.
 */
export class Call extends Course {
  /** What the user thinks of the call is sent one after the other. */
  readonly #rating = inOrder();
  #connecting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Calls `listener` whenever {@link snapshot} has changed; gives the function that stops it. Made for React's `useSyncExternalStore`: it is
   * always the same function and needs no `this`.
   *
   * Listeners are told in a microtask of their own, once for all the changes of one task: a listener may do with the call whatever it likes, and
   * none is called inside another one's call, or inside a method of the call.
   */
  readonly subscribe = this.changes.subscribe;

  /**
   * @throws a `TypeError` or `RangeError` for options that cannot be meant
   */
  constructor(options: ConnectOptions) {
    super(options);
    checkOptions(options);
    for (const [name, listener] of Object.entries(options)) {
      if (/^on/.test(name) && listener) this.on(eventOf(name) as keyof CallEvents, listener as () => void);
    }
    for (const [name, handler] of Object.entries(options.tools ?? {})) this.registerTool(name, handler);
  }

  /**
   * Makes the call: loads the engine, asks for the microphone, connects.
   *
   * Call it from a click, so that the browser lets the page make sound. Resolves when the relay has answered and audio flows. The connection is
   * tried for 30 s; later, a lost one is got back by itself. Asked again, it gives the same promise.
   *
   * @throws {@link VoxrelayError} when the microphone is refused, nothing can be played, or the relay refuses the call, and `call_over` for a
   * call that is over or is hung up meanwhile; the signal's reason when it comes before the call is up
   */
  connect(): Promise<void> {
    if (this.isOver || this.#closing) return Promise.reject(callOver());
    return (this.#connecting ??= this.begin());
  }

  /** All that there is to show of the call: one frozen object, and the same one until something of it changes. */
  get snapshot(): CallSnapshot {
    return this.shown;
  }

  /** How loud it is: changes 20 times a second while somebody listens or looks here, and has listeners of its own. */
  get levels(): Levels {
    this.loudness.look();
    return this.loudness;
  }

  /** Where the call stands. */
  get state(): CallState {
    return this.shown.state;
  }

  /** The session's id in the relay's records; `undefined` until the relay has answered. */
  get sessionId(): string | undefined {
    return this.shown.session?.sessionId;
  }

  /** The conversation's id in the relay's records: give it to a later call to go on. `undefined` until the relay has answered. */
  get conversationId(): string | undefined {
    return this.shown.session?.conversationId;
  }

  /** What the session has used, as the relay last told. */
  get usage(): Usage {
    return this.shown.usage;
  }

  /** Where the engine runs: `"page"` where no Worker could be started, so that a busy page delays audio; `undefined` until it does. */
  get engine(): "worker" | "page" | undefined {
    return this.shown.engine;
  }

  /** Whether the microphone is muted. */
  get muted(): boolean {
    return this.shown.devices.muted;
  }

  /** Mutes or unmutes the microphone, also before the call is made. While muted nothing is sent, and nothing is billed for listening. */
  mute(muted = true): void {
    checkFlag("muted", muted);
    this.showDevices({ muted });
    this.tellMuted();
  }

  /** Whether the call is on hold. */
  get onHold(): boolean {
    return this.shown.onHold;
  }

  /**
   * Puts the call on hold, or takes it up again, also before it is made: nothing is sent, nothing sounds, nothing is billed, and the relay lets go
   * of its speech recogniser. The agent goes on where it stopped. Who was muted before still is afterwards.
   */
  hold(onHold = true): void {
    checkFlag("onHold", onHold);
    this.show({ onHold });
    this.tellMuted();
  }

  /** How loud the agent is heard, from 0 to 1. */
  get volume(): number {
    return this.shown.devices.volume;
  }

  /** Changes how loud the agent is heard, also before the call is made: 0 is silent, 1 as the agent speaks. Levels are those of the agent. */
  setVolume(volume: number): void {
    checkNumber("volume", volume, 0, 1);
    this.showDevices({ volume });
    this.callPage?.setVolume(volume);
  }

  /**
   * Says in writing what could be said aloud, among what is said aloud. Like audio it is delivered once and in its place, through every
   * reconnect.
   *
   * This and the five below resolve when the message is kept; should the relay turn out not to take it, `undelivered` follows.
   *
   * @throws {@link VoxrelayError} `text_too_long` (over 4,000 characters), `messages_full`, `not_supported` (see `features` of `session`) or
   * `call_over`; a `TypeError` for what is no text, or before there is a call
   */
  async sendText(text: string): Promise<void> {
    checkText("text", text);
    await this.handOver("text", { text });
  }

  /** Has the agent speak these words as they are; with `interrupt` it stops what it is saying. */
  async say(text: string, options: { readonly interrupt?: boolean } = {}): Promise<void> {
    checkText("text", text);
    checkFlags(options, "interrupt");
    await this.handOver("say", { text, interrupt: options.interrupt === true });
  }

  /** Tells the agent something that it need not answer, such as what the user looks at. */
  async addContext(text: string): Promise<void> {
    checkText("text", text);
    await this.handOver("context", { text });
  }

  /** Sets variables of the agent's prompt; others stay as they are. At most 16,000 characters in all. */
  async setVariables(variables: Readonly<Record<string, string>>): Promise<void> {
    checkVariables(variables);
    await this.handOver("variables", { variables });
  }

  /**
   * Has the agent's calls of the tool `name` run by `handler`, once each for the life of the page, and sends what comes of them. Returns the
   * function that takes it back. A tool that the agent may call from its first words on is given before {@link connect}, or as the option `tools`.
   *
   * @throws a `TypeError` for what is no name or no function
   */
  registerTool(name: string, handler: ToolHandler): () => void {
    checkText("name", name);
    checkMethod("handler", handler);
    const { handlers } = this.pageTools;
    handlers.set(name, handler);
    return () => {
      if (handlers.get(name) === handler) handlers.delete(name);
    };
  }

  /** Answers a `toolCall` of a tool that is not registered: what the tool gave, or what went wrong. At most 16,000 characters. */
  async sendToolResult(callId: string, output: string, options: { readonly isError?: boolean } = {}): Promise<void> {
    checkText("callId", callId);
    checkText("output", output);
    checkFlags(options, "isError");
    const isError = options.isError === true;
    await this.handOver("tool_result", { call_id: callId, output, is_error: isError });
    this.pageTools.answered(callId, output, isError);
  }

  /** Says what the user really said in a turn; a new `transcript` of it follows. */
  async correct(turn: number, text: string): Promise<void> {
    checkTurn(turn);
    checkText("text", text);
    await this.handOver("correction", { turn, text });
  }

  /**
   * Tells the agent that the user begins to speak, before it can hear that: it falls silent, and goes on where it was if no words follow. To
   * end what it says without words, use `say` with `interrupt`.
   */
  interrupt(): void {
    this.command(["bargeIn"]);
  }

  /**
   * Changes the microphone while the call goes on: to the one with this id, or without one to the system's default one, with the constraints of
   * before; to whatever the option `microphone` may be; or with `false` to none: it is closed, the browser's sign for it goes out, and nothing is
   * billed for listening. Of several that are asked for the last one counts, also while the call connects.
   *
   * @throws {@link VoxrelayError} when it cannot be opened, and the one before stays; `call_over` when the call is over or hung up, and
   * a `TypeError` before there is one
   */
  async setMicrophone(microphone?: string | MicrophoneConstraints | MediaStream | false): Promise<void> {
    if (!isText(microphone)) checkOptional({ microphone });
    const page = this.openPage();
    const changed = page.setMicrophone(microphone);
    // What was said up to here is sent before the microphone is closed.
    if (microphone === false) this.tellMuted();
    try {
      await changed;
    } finally {
      // After a refusal there may be none, as before: the relay may have been told of the one that was asked for.
      if (microphone !== false && page.isOpen) this.tellMuted();
    }
    this.openPage();
  }

  /**
   * Changes the loudspeaker while the call goes on; without an id, to the system's. Of several that are asked for the last one counts. One that
   * goes away is stood in for by the system's, and taken again when it is back.
   *
   * @throws {@link VoxrelayError} `audio_unavailable` when it cannot be had, `not_supported` in a browser without `AudioContext.setSinkId`; the
   * one before stays; `call_over` when the call is over or hung up. A `TypeError` before there is one
   */
  async setSpeaker(deviceId = ""): Promise<void> {
    checkText("deviceId", deviceId);
    await this.openPage().setSpeaker(deviceId);
  }

  /**
   * Says what the user thinks of the call, while it goes on or after it has ended. It takes the place of what was said before: what is left out
   * is taken back. `rating` is 1 (bad) to 5 (good), a thumb down 1 and a thumb up 5; `comment` may have 2,000 characters. It needs a token, as
   * a call does.
   *
   * @throws {@link VoxrelayError} when the relay does not answer (`link_lost`) or refuses it; what the `token` function throws, and a `TimeoutError` after
   * 10 s without a token; a `TypeError` or
   * `RangeError` for what is no feedback, a `TypeError` before there is a session
   */
  async feedback(feedback: Feedback): Promise<void> {
    checkFeedback(feedback);
    const { sessionId } = this;
    if (!sessionId) throw noCall();
    // What is said later arrives later.
    await this.#rating(() => loadLater().then(({ sendFeedback }) => sendFeedback(this.callOptions, sessionId, feedback, tokenOf, VoxrelayError)));
  }

  /**
   * Hangs up: the microphone is released at once, what was said is still sent, then everything else is released. Resolves when the call is over:
   * over a slow line 30 s after some of it last got through, and after 300 s in all. A call that is not connected yet is given up at once, and
   * one that is over falls silent. In each case the call's own audio context is closed when it resolves, or has been waited for for 4 s.
   *
   * With `finish: false` what was not sent yet is given up, and told by `gap` and `undelivered`: the call is over as soon as the relay has said so,
   * after 10 s at the latest, and at once where there is no connection. It also shortens a `close()` that waits.
   *
   * @throws a `TypeError` for what is no such option
   */
  async close(options: { readonly finish?: boolean } = {}): Promise<void> {
    checkFlags(options, "finish");
    const finish = options.finish !== false;
    const isNews = !this.#closing || !finish;
    this.#closing ??= this.hangUp();
    if (isNews) this.command(["close", finish]);
    await this.#closing;
  }

  /**
   * Cuts the connection and keeps it down for so many milliseconds, as a dead network would: for demonstrations and tests. Of several the last
   * one counts.
   *
   * @returns the function that ends it earlier
   */
  simulateOutage(ms: number): () => void {
    checkNumber("ms", ms, 0, OUTAGE_MAX_MS);
    const end = (): void => {
      clearTimeout(this.outage);
      if (!this.isOver) this.command(["hold", false]);
    };
    clearTimeout(this.outage);
    this.outage = setTimeout(end, ms);
    this.command(["hold", true]);
    return end;
  }
}
