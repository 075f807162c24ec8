import { unlessAborted } from "./abort.js";
import { loadLater } from "./assets.js";
import {
  EVENTS,
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
  tokenOf,
} from "./check.js";
import type { CloseName } from "./codes.js";
import { Emitter } from "./emitter.js";
import { VoxrelayError, callOver, errorFrom, noCall } from "./error.js";
import type { AgentEvent, CallEvents, CallState, MicrophoneEvent, PageMessage, SessionEvent, StateEvent, ToolCallEvent, ToolCancelEvent, TranscriptEvent, Usage } from "./events.js";
import { inOrder } from "./in-order.js";
import { type RunningEngine, endEngine, loadParts, loadVoice, startEngine } from "./loader.js";
import { Messages } from "./messages.js";
import type { ConnectOptions, Feedback, Logger, MicrophoneConstraints } from "./options.js";
import { CallPage } from "./page.js";
import type { Measured, QualityMeter } from "./quality.js";
import { askWhy, plainOf } from "./requests.js";
import type { Command, Heard, Told } from "./roles.js";
import { settingsOf } from "./settings.js";
import { type CallSnapshot, type Devices, LevelSource, type Levels, caption, merged, untouched } from "./snapshot.js";
import { Source } from "./source.js";
import { type ToolHandler, Tools } from "./tools.js";

/** A call that ended by itself is closed after this even if the loudspeaker is not through: it may be held back by the browser. */
const DRAIN_DEADLINE_MS = 30_000;

/** A browser's timer for longer than this ends at once. */
const OUTAGE_MAX_MS = 2_147_483_647;

/** Troubles of the page itself, which say nothing about why there is no connection. */
const OF_THE_PAGE = /^(microphone|audio|buffer|worker)_/;

/** Troubles that a connection does not mend. */
const OF_THE_SOUND = /^(microphone|audio)_/;

/** What is said of a microphone that was taken away. */
const NO_MICROPHONE: MicrophoneEvent = Object.freeze({ label: "", deviceId: undefined, live: false, fallback: false });

/**
 * A call: made with its options, begun with {@link connect}, and over with {@link close} or by itself. Another call is another object.
 *
 * Making one loads, opens and asks for nothing, and may be done on a server. What there is to show of it is its {@link snapshot}; `subscribe`
 * says when that has changed.
 */
export class Call extends Emitter<CallEvents> {
  readonly #options: ConnectOptions;
  readonly #changes = new Source();
  readonly #levels = new LevelSource();
  /** The engine was told that somebody looks at the levels. */
  #watched = false;
  #snapshot = untouched(this.#levels);
  #meter: Promise<QualityMeter | void> | undefined;
  #reconnects = 0;
  #engine: RunningEngine | undefined;
  #page: CallPage | undefined;
  readonly #messages = new Messages();
  readonly #tools = new Tools((callId, output, isError) => this.sendToolResult(callId, output, { isError }));
  readonly #rating = inOrder();
  /** Why there is no connection yet, as far as the relay or the token function told. */
  #refused: VoxrelayError | undefined;
  #connecting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Ends what is under way until the call is connected. */
  readonly #stop = new AbortController();
  /** The call has ended. */
  #over = false;
  /** The engine was told to connect. */
  #started = false;
  /** Everything is given back. */
  #released = false;
  #draining: ReturnType<typeof setTimeout> | undefined;
  /** An outage that is simulated. */
  #outage: ReturnType<typeof setTimeout> | undefined;

  /**
   * Calls `listener` whenever {@link snapshot} has changed; gives the function that stops it. Made for React's `useSyncExternalStore`: it is
   * always the same function and needs no `this`.
   *
   * Listeners are told in a microtask of their own, once for all the changes of one task: a listener may do with the call whatever it likes, and
   * none is called inside another one's call, or inside a method of the call.
   */
  readonly subscribe = this.#changes.subscribe;

  /**
   * @throws a `TypeError` or `RangeError` for options that cannot be meant
   */
  constructor(options: ConnectOptions) {
    super(EVENTS);
    checkOptions(options);
    this.#options = options;
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
    if (this.#over || this.#closing) return Promise.reject(callOver());
    return (this.#connecting ??= this.#connect());
  }

  /** All that there is to show of the call: one frozen object, and the same one until something of it changes. */
  get snapshot(): CallSnapshot {
    return this.#snapshot;
  }

  /** How loud it is: changes 20 times a second while somebody listens or looks here, and has listeners of its own. */
  get levels(): Levels {
    this.#levels.look();
    return this.#levels;
  }

  /** Where the call stands. */
  get state(): CallState {
    return this.#snapshot.state;
  }

  /** The session's id in the relay's records; `undefined` until the relay has answered. */
  get sessionId(): string | undefined {
    return this.#snapshot.session?.sessionId;
  }

  /** The conversation's id in the relay's records: give it to a later call to go on. `undefined` until the relay has answered. */
  get conversationId(): string | undefined {
    return this.#snapshot.session?.conversationId;
  }

  /** What the session has used, as the relay last told. */
  get usage(): Usage {
    return this.#snapshot.usage;
  }

  /** Where the engine runs: `"page"` where no Worker could be started, so that a busy page delays audio; `undefined` until it does. */
  get engine(): "worker" | "page" | undefined {
    return this.#snapshot.engine;
  }

  /** Whether the microphone is muted. */
  get muted(): boolean {
    return this.#snapshot.devices.muted;
  }

  /** Mutes or unmutes the microphone, also before the call is made. While muted nothing is sent, and nothing is billed for listening. */
  mute(muted = true): void {
    checkFlag("muted", muted);
    this.#changeDevices({ muted });
    this.#tellMuted();
  }

  /** Whether the call is on hold. */
  get onHold(): boolean {
    return this.#snapshot.onHold;
  }

  /**
   * Puts the call on hold, or takes it up again, also before it is made: nothing is sent, nothing sounds, nothing is billed, and the relay lets go
   * of its speech recogniser. The agent goes on where it stopped. Who was muted before still is afterwards.
   */
  hold(onHold = true): void {
    checkFlag("onHold", onHold);
    this.#change({ onHold });
    this.#tellMuted();
  }

  /** How loud the agent is heard, from 0 to 1. */
  get volume(): number {
    return this.#snapshot.devices.volume;
  }

  /** Changes how loud the agent is heard, also before the call is made: 0 is silent, 1 as the agent speaks. Levels are those of the agent. */
  setVolume(volume: number): void {
    checkNumber("volume", volume, 0, 1);
    this.#changeDevices({ volume });
    this.#page?.setVolume(volume);
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
    await this.#message("text", { text });
  }

  /** Has the agent speak these words as they are; with `interrupt` it stops what it is saying. */
  async say(text: string, options: { readonly interrupt?: boolean } = {}): Promise<void> {
    checkText("text", text);
    checkFlags(options, "interrupt");
    await this.#message("say", { text, interrupt: options.interrupt === true });
  }

  /** Tells the agent something that it need not answer, such as what the user looks at. */
  async addContext(text: string): Promise<void> {
    checkText("text", text);
    await this.#message("context", { text });
  }

  /** Sets variables of the agent's prompt; others stay as they are. At most 16,000 characters in all. */
  async setVariables(variables: Readonly<Record<string, string>>): Promise<void> {
    checkVariables(variables);
    await this.#message("variables", { variables });
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
    const { handlers } = this.#tools;
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
    await this.#message("tool_result", { call_id: callId, output, is_error: options.isError === true });
  }

  /** Says what the user really said in a turn; a new `transcript` of it follows. */
  async correct(turn: number, text: string): Promise<void> {
    checkTurn(turn);
    checkText("text", text);
    await this.#message("correction", { turn, text });
  }

  /**
   * Tells the agent that the user begins to speak, before it can hear that: it falls silent, and goes on where it was if no words follow. To
   * end what it says without words, use `say` with `interrupt`.
   */
  interrupt(): void {
    this.#send(["bargeIn"]);
  }

  /** A microphone that is not there is muted as far as the relay knows: it waits for no more of what was being said. */
  #tellMuted(): void {
    const { onHold } = this;
    const muted = this.muted || onHold || this.#page?.wantsMicrophone === false;
    this.#levels.mute(muted, onHold);
    this.#send(["onHold", onHold]);
    this.#send(["mute", muted]);
  }

  /**
   * Changes the microphone while the call goes on: to the one with this id, or without one to the system's default one, with the constraints of
   * before; to whatever the option `microphone` may be; or with `false` to none: it is closed, the browser's sign for it goes out, and nothing is
   * billed for listening. Of several that are asked for the last one counts, also while the call connects.
   *
   * @throws {@link VoxrelayError} when it cannot be opened, and the one before stays; a `TypeError` when the call is over or hung up
   */
  async setMicrophone(microphone?: string | MicrophoneConstraints | MediaStream | false): Promise<void> {
    if (typeof microphone !== "string") checkOptional({ microphone });
    const changed = this.#openPage().setMicrophone(microphone);
    // What was said up to here is sent before the microphone is closed.
    if (microphone === false) this.#tellMuted();
    await changed;
    this.#openPage();
    if (microphone !== false) this.#tellMuted();
  }

  /**
   * Changes the loudspeaker while the call goes on; without an id, to the system's. Of several that are asked for the last one counts. One that
   * goes away is stood in for by the system's, and taken again when it is back.
   *
   * @throws {@link VoxrelayError} `audio_unavailable` when it cannot be had, `not_supported` in a browser without `AudioContext.setSinkId`; the
   * one before stays. A `TypeError` when the call is over or hung up
   */
  async setSpeaker(deviceId?: string): Promise<void> {
    if (deviceId !== undefined) checkText("deviceId", deviceId);
    await this.#openPage().setSpeaker(deviceId ?? "");
  }

  /** The page's side of a call that is not over or hung up. */
  #openPage(): CallPage {
    const page = this.#page;
    if (!page?.isOpen) throw noCall();
    return page;
  }

  /**
   * Says what the user thinks of the call, while it goes on or after it has ended. It takes the place of what was said before: what is left out
   * is taken back. `rating` is 1 (bad) to 5 (good), a thumb down 1 and a thumb up 5; `comment` may have 2,000 characters. It needs a token, as
   * a call does.
   *
   * @throws {@link VoxrelayError} when the relay does not answer (`link_lost`) or refuses it; what the `token` function throws; a `TypeError` or
   * `RangeError` for what is no feedback, a `TypeError` before there is a session
   */
  async feedback(feedback: Feedback): Promise<void> {
    checkFeedback(feedback);
    const { sessionId } = this;
    if (!sessionId) throw noCall();
    // What is said later arrives later.
    await this.#rating(async () => {
      const { sendFeedback } = await loadLater();
      await sendFeedback(this.#options, sessionId, tokenOf(await this.#options.token()), feedback);
    });
  }

  /**
   * Hangs up: the microphone is released at once, what was said is still sent, then everything else is released. Resolves when the call is over:
   * over a slow line 30 s after some of it last got through, and after 300 s in all. A call that is not connected yet is given up at once, and
   * one that is over falls silent.
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
    this.#closing ??= this.#hangUp();
    if (isNews) this.#send(["close", finish]);
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
      clearTimeout(this.#outage);
      if (!this.#over) this.#send(["hold", false]);
    };
    clearTimeout(this.#outage);
    this.#outage = setTimeout(end, ms);
    this.#send(["hold", true]);
    return end;
  }

  async #connect(): Promise<void> {
    const options = this.#options;
    const { signal } = this.#stop;
    try {
      options.signal?.throwIfAborted();
      options.signal?.addEventListener("abort", this.#abort);
      this.#enter({ state: "starting", attempt: 0, retryInMs: 0 });
      const parts = await unlessAborted(signal, loadParts(options));
      const engine = await unlessAborted(signal, startEngine(parts, settingsOf(options), options, signal), endEngine);
      this.#engine = engine;
      engine.port.onmessage = ({ data }: MessageEvent<string>) => {
        // What is told goes into snapshots and to listeners of all sorts: nobody changes it for the others.
        this.#hear(JSON.parse(data, (_, value) => Object.freeze(value)) as Heard);
      };
      engine.onbreak = (cause) => this.#hear({ type: "broke", cause });
      this.#change({ engine: engine.place });
      if (options.voiceActivity) this.#listen();
      if (this.muted || this.onHold) this.#tellMuted();
      if (engine.fallback) this.#fail(engine.fallback);
      await unlessAborted(signal, this.#open());
      signal.throwIfAborted();
    } catch (thrown) {
      if (thrown instanceof VoxrelayError && !signal.aborted) this.#change({ error: thrown });
      // A session may have begun that nobody has heard of yet: it is told that it is over. The microphone is released at once.
      if (this.#started && signal.aborted) void this.close();
      else this.#discard();
      throw thrown;
    }
  }

  /** Voice activity comes while the call connects, or later, or not: the call waits for none of it. */
  #listen(): void {
    loadVoice(this.#options).then(
      (module) => this.#send(["voice", module]),
      (thrown: unknown) => this.#log("warn", `no voice activity: ${String(thrown)}`),
    );
  }

  /** Microphone, loudspeaker, connection; in that order, so that nobody is billed for a call without a microphone. */
  async #open(): Promise<void> {
    const page = (this.#page = new CallPage(this.#options, this.volume, {
      send: (command) => this.#send(command),
      error: (error) => this.#fail(error),
      microphone: (microphone) => {
        const event = microphone ?? NO_MICROPHONE;
        const { label, live } = event;
        this.#log("info", microphone ? `microphone "${label}" is ${live ? "live" : "silent"}` : "the microphone is closed");
        this.#changeDevices({ microphone });
        if (live || !microphone) this.#mended("microphone_");
        this.emit("microphone", event);
      },
      speaker: (speaker) => {
        this.#changeDevices({ speaker });
        this.emit("speaker", speaker);
      },
      sounds: () => this.#mended("audio_"),
    }));
    await page.open();
    // The engine may have broken meanwhile.
    if (this.#over) throw this.#refusal("abnormal");
    await this.#connected();
  }

  #connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      // The first of them settles it; the others, later in the call, do nothing.
      this.on("state", ({ state }) => state === "connected" && resolve());
      this.on("ended", ({ reason }) => reject(this.#refusal(reason)));
      this.#started = true;
      this.#send(["start"]);
    });
  }

  #hangUp(): Promise<void> {
    this.#stop.abort(callOver());
    if (this.#over || !this.#started) {
      this.#discard();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.once("ended", () => {
        this.#release();
        resolve();
      });
      this.#page?.release();
    });
  }

  #refusal(reason: string): VoxrelayError {
    return this.#refused ?? new VoxrelayError("internal", `The relay ended the call: ${reason}.`, false);
  }

  /** Hands the engine a message as it goes over the wire. */
  #message(type: PageMessage["type"], fields: object): Promise<void> {
    if (this.#over) return Promise.reject(callOver());
    if (!this.#engine) return Promise.reject(noCall());
    return this.#messages.ask((id) => this.#send(["message", id, JSON.stringify({ type, ...fields })]));
  }

  #send(command: Command): void {
    const ports = command.filter((part) => part instanceof MessagePort);
    this.#engine?.port.postMessage(command, ports);
  }

  /** Tells how well the line does: when that is due, and when there is something to warn of. */
  #measure(measured: Measured, isDue: boolean): void {
    this.#meter ??= loadLater().then(
      ({ QualityMeter }) => new QualityMeter(),
      (thrown: unknown) => this.#log("warn", `no quality: ${String(thrown)}`),
    );
    void this.#meter.then((meter) => {
      if (!meter || this.#over) return;
      const event = meter.measure(measured);
      for (const { name, raised } of event.changed) this.#log("warn", `${name} ${raised ? "raised" : "cleared"}`);
      if (!isDue && !event.changed.length) return;
      this.#change({ quality: meter.quality });
      this.emit("quality", event);
    });
  }

  /** There is no call any more, or never was one. */
  #discard(): void {
    this.#release();
    this.#enter({ state: "closed", attempt: 0, retryInMs: 0 });
  }

  #release(): void {
    if (this.#released) return;
    this.#released = this.#over = true;
    this.#levels.mute(true, true);
    clearTimeout(this.#draining);
    clearTimeout(this.#outage);
    this.#options.signal?.removeEventListener("abort", this.#abort);
    this.#page?.close();
    if (this.#engine) endEngine(this.#engine);
    this.#tools.cancel();
    this.#messages.end();
  }

  /** The application's signal hangs up. */
  readonly #abort = (): void => {
    this.#stop.abort(this.#options.signal?.reason);
    void this.close();
  };

  async #token(): Promise<void> {
    try {
      this.#send(["token", tokenOf(await this.#options.token())]);
    } catch (thrown) {
      if ((thrown as { retryable?: unknown } | undefined)?.retryable === false) this.#giveUp(thrown);
      else this.#send(["tokenFailed", String(thrown)]);
    }
  }

  /** The application says that there will be no token: nobody is to wait for one. */
  #giveUp(cause: unknown): void {
    if (this.#over) return;
    this.#fail(new VoxrelayError("token_unavailable", `The \`token\` function gave up: ${String(cause)}`, false, { cause }));
    if (this.state === "connected") return void this.close();
    this.#end("unauthorized", 4401);
  }

  /** What the engine says. */
  #hear(report: Heard): void {
    const { type, ...event } = report;
    switch (report.type) {
      case "token":
        return void this.#token();
      case "why":
        return void askWhy(plainOf(this.#options)).then((answer) => this.#send(["why", ...answer]));
      case "drained":
        return this.#release();
      case "level": {
        const level = this.#levels.measured(report);
        if (report.inputPeak) this.#mended("microphone_silent");
        const watched = this.#levels.isWatched() || this.hasListener("level");
        if (watched !== this.#watched) this.#send(["watchLevels", (this.#watched = watched)]);
        return this.emit("level", level);
      }
      case "state": {
        const { state, attempt, retryInMs } = report;
        return this.#enter({ state: state === "idle" ? "starting" : state, attempt, retryInMs });
      }
      case "transport": {
        const { transport } = report;
        if (transport === this.#snapshot.transport) return;
        this.#log("info", `over ${transport}`);
        this.#change({ transport });
        return this.emit("transport", { transport });
      }
      case "session": {
        const session = Object.freeze({ ...(event as SessionEvent), agent: report.agent ?? undefined });
        this.#log("info", `session ${session.sessionId}, epoch ${session.epoch}`);
        this.#change({ session });
        return this.emit("session", session);
      }
      case "agent":
        this.#change({ agent: report.state });
        return this.emit("agent", event as AgentEvent);
      case "transcript":
        this.#change({ captions: caption(this.#snapshot.captions, this.sessionId ?? "", report) });
        return this.emit("transcript", event as TranscriptEvent);
      case "usage": {
        const usage = Object.freeze({ ...(event as Omit<Usage, "cost">), cost: report.costNanoUsd / 1e9 });
        this.#change({ usage });
        return this.emit("usage", usage);
      }
      case "toolCall":
        this.emit("toolCall", event as ToolCallEvent);
        return void this.#tools.call(event as ToolCallEvent, this.hasListener("toolCall"));
      case "toolCancel":
        this.#tools.cancel(report.callId);
        return this.emit("toolCancel", event as ToolCancelEvent);
      case "rtt":
        this.emit("rtt", { ms: report.us / 1_000 });
        return this.#measure({ roundTripMs: Math.round(report.us / 1_000) }, false);
      case "quality":
        return this.#measure(event as Measured, true);
      case "gap":
        return this.emit("gap", { ...(event as Told<"gap">), ms: report.samples / 16 });
      case "error":
        return this.#fail(errorFrom(report.error));
      case "taken":
        return this.#messages.answer(report.id);
      case "refused":
        return this.#messages.answer(report.id, errorFrom(report.error));
      case "ended": {
        const { reason, code } = report;
        this.#log("info", `ended: ${reason}`);
        this.#over = true;
        this.#tools.cancel();
        // The microphone at once; the agent's last words are still to be heard.
        this.#page?.release();
        this.#levels.mute(true);
        this.#draining = setTimeout(() => this.#release(), DRAIN_DEADLINE_MS);
        const ended = Object.freeze({ reason, code, usage: this.usage });
        this.#change({ ended });
        return this.emit("ended", ended);
      }
      case "broke":
        if (this.#over) return this.#release();
        this.#fail(new VoxrelayError("internal", `The engine broke: ${report.cause}`, true));
        return this.#end("abnormal", 1006);
      default:
        // These are events as they stand.
        this.emit(report.type, event as never);
    }
  }

  /** Ends without the engine. */
  #end(reason: CloseName, code: number): void {
    this.#hear({ type: "state", state: "closed", attempt: 0, retryInMs: 0 });
    this.#hear({ type: "ended", reason, code });
    this.#release();
  }

  #fail(error: VoxrelayError): void {
    const { code, retryable } = error;
    // Why there is no microphone says more than that it gives nothing.
    if (code === "microphone_silent" && this.#snapshot.error?.code.startsWith("microphone_")) return;
    this.#log(retryable ? "warn" : "error", code);
    // Chromium on Linux does not tell of a microphone that only the sound server knew, and plays silence in its place.
    if (code === "microphone_silent") this.#page?.devicesChanged();
    // That the relay was tried in vain says less than what it answered.
    if (!OF_THE_PAGE.test(code) && !(this.#refused && code === "gave_up")) this.#refused = error;
    this.#change({ error });
    this.emit("error", error);
  }

  /** Trouble of this kind is over. */
  #mended(kind: string): void {
    if (this.#snapshot.error?.code.startsWith(kind)) this.#change({ error: undefined });
  }

  #enter(event: StateEvent): void {
    const { state, attempt, retryInMs } = event;
    if (state === "closed" && this.state === state) return;
    this.#log("info", attempt ? `${state}: attempt ${attempt} in ${retryInMs} ms` : state);
    const { error } = this.#snapshot;
    if (state === "connected" && this.state === "reconnecting") this.#measure({ reconnects: ++this.#reconnects }, false);
    const isMended = state === "connected" && error && !OF_THE_SOUND.test(error.code);
    this.#change({ state, attempt, retryInMs, ...(isMended && { error: undefined }) });
    if (state === "closed") {
      // Neither is there any more.
      this.#changeDevices({ microphone: undefined });
      this.#change({ agent: undefined });
    }
    this.emit("state", event);
  }

  /** What there is to show is other than before. */
  #change(changed: Partial<CallSnapshot>): void {
    const before = this.#snapshot;
    this.#snapshot = merged(before, changed);
    if (this.#snapshot !== before) this.#changes.changed();
  }

  #changeDevices(changed: Partial<Devices>): void {
    this.#change({ devices: merged(this.#snapshot.devices, changed) });
  }

  #log(level: keyof Logger, message: string): void {
    try {
      this.#options.logger?.[level]?.(`voxrelay: ${message}`);
    } catch (thrown) {
      reportError(thrown);
    }
  }
}

