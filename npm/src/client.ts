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
import { Emitter } from "./emitter.js";
import type { CloseName } from "./codes.js";
import { VoxrelayError, errorFrom, errorOf } from "./error.js";
import type { CallEvents, CallState, PageMessage, SessionEvent, StateEvent, ToolCallEvent, Usage } from "./events.js";
import { type RunningEngine, loadParts, startEngine } from "./loader.js";
import type { AssetOptions, ConnectOptions, EventOptions, Feedback } from "./options.js";
import { CallPage } from "./page.js";
import type { Command, Report, Settings } from "./roles.js";
import { type ToolHandler, Tools } from "./tools.js";

/** What the relay's record says about us; the version is put in by the build. */
declare const VERSION: string;

/** A call that ended by itself is closed after this even if the loudspeaker is not through: it may be held back by the browser. */
const DRAIN_DEADLINE_MS = 30_000;

/** A plain request to the relay is given up after this. */
const ASKING_DEADLINE_MS = 5_000;

/** A browser's timer for longer than this ends at once. */
const OUTAGE_MAX_MS = 2_147_483_647;

/** Characters of its answer that are looked at. */
const ANSWER_MAX = 4_096;

/** Troubles of the page itself, which say nothing about why there is no connection. */
const OF_THE_PAGE = /^(microphone|audio|buffer|worker)_/;

/** What the promise of a message waits for. */
interface Asked {
  resolve(): void;
  reject(error: VoxrelayError): void;
}

/** A call. Made by {@link VoiceClient.connect}. */
export class VoiceClient extends Emitter<CallEvents> {
  readonly #options: ConnectOptions;
  readonly #engine: RunningEngine;
  #page: CallPage | undefined;
  #state: StateEvent = { state: "starting", attempt: 0, retryInMs: 0 };
  #session: SessionEvent | undefined;
  #usage: Usage = { audioMs: 0, tokens: 0, characters: 0, cost: 0, costNanoUsd: 0, leftNanoUsd: 0 };
  #muted = false;
  /** Messages that the engine has not answered yet. */
  readonly #asked = new Map<number, Asked>();
  #messages = 0;
  readonly #tools = new Tools((callId, output, isError) => this.sendToolResult(callId, output, { isError }));
  /** Why there is no connection yet, as far as the relay or the token function told. */
  #refused: VoxrelayError | undefined;
  /** The call has ended. */
  #over = false;
  /** The engine was told to connect. */
  #started = false;
  /** Everything is given back. */
  #released = false;
  #draining: ReturnType<typeof setTimeout> | undefined;

  /**
   * Makes a call: loads the engine, asks for the microphone, connects.
   *
   * Call it from a click, so that the browser lets the page make sound. Resolves when the relay has answered and audio flows. The
   * connection is tried for 30 s; later, a lost one is got back by itself.
   *
   * @throws {@link VoxrelayError} when the microphone is refused, nothing can be played, or the relay refuses the call; a `TypeError` or
   * `RangeError` for options that cannot be meant; the signal's reason when it comes before the call is up
   */
  static async connect(options: ConnectOptions): Promise<VoiceClient> {
    checkOptions(options);
    const { signal } = options;
    signal?.throwIfAborted();
    options.onState?.({ state: "starting", attempt: 0, retryInMs: 0 });
    const parts = await unlessAborted(signal, loadParts(options));
    const engine = await unlessAborted(signal, startEngine(parts, settingsOf(options), options), endEngine);
    const call = new VoiceClient(options, engine);
    await call.#open();
    return call;
  }

  /** Fetches and compiles the engine ahead of the first call, so that a click is answered at once. */
  static async preload(options: AssetOptions = {}): Promise<void> {
    checkOptional(options);
    await loadParts(options);
  }

  private constructor(options: ConnectOptions, engine: RunningEngine) {
    super(EVENTS);
    this.#options = options;
    this.#engine = engine;
    for (const [name, listener] of listenersOf(options)) this.on(name, listener as (event: unknown) => void);
    for (const [name, handler] of Object.entries(options.tools ?? {})) this.registerTool(name, handler);
    engine.port.onmessage = ({ data }: MessageEvent<string>) => this.#hear(JSON.parse(data) as Report);
    engine.onbreak = (cause) => this.#hear({ type: "broke", cause });
  }

  /** Where the call stands. */
  get state(): CallState {
    return this.#state.state;
  }

  /** The session's id in the relay's records; `undefined` until the relay has answered. */
  get sessionId(): string | undefined {
    return this.#session?.sessionId;
  }

  /** The conversation's id in the relay's records: give it to a later call to go on. `undefined` until the relay has answered. */
  get conversationId(): string | undefined {
    return this.#session?.conversationId;
  }

  /** What the session has used, as the relay last told. */
  get usage(): Usage {
    return this.#usage;
  }

  /** Where the engine runs: `"page"` where no Worker could be started, so that a busy page delays audio. */
  get engine(): "worker" | "page" {
    return this.#engine.place;
  }

  /** Whether the microphone is muted. */
  get muted(): boolean {
    return this.#muted;
  }

  /** Mutes or unmutes the microphone. While muted nothing is sent, and nothing is billed for listening. */
  mute(muted = true): void {
    checkFlag("muted", muted);
    this.#muted = muted;
    this.#send(["mute", muted]);
  }

  /**
   * Says in writing what could be said aloud, among what is said aloud. Like audio it is delivered once and in its place, through every
   * reconnect.
   *
   * This and the five below resolve when the message is kept; should the relay turn out not to take it, `undelivered` follows.
   *
   * @throws {@link VoxrelayError} `text_too_long` (over 4,000 characters), `messages_full`, `not_supported` (see `features` of `session`) or
   * `call_over`; a `TypeError` for what is no text
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
   * function that takes it back. A tool that the agent may call from its first words on is better given as `tools` of {@link connect}.
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

  /**
   * Changes the microphone while the call goes on, also from `microphone: false` or a stream of the application's; without an id, to the
   * system's default one. Of several that are asked for the last one counts.
   *
   * @throws {@link VoxrelayError} when it cannot be opened, and the one before stays; a `TypeError` when the call is over or hung up
   */
  async setMicrophone(deviceId?: string): Promise<void> {
    if (deviceId !== undefined) checkText("deviceId", deviceId);
    const page = this.#page;
    const check = (): void => {
      if (!page?.isOpen) throw new TypeError("there is no call yet");
    };
    check();
    await page?.setMicrophone(deviceId);
    check();
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
    if (!sessionId) throw new TypeError("there is no call yet");
    const { rating, comment } = feedback;
    const token = tokenOf(await this.#options.token());
    let failure: VoxrelayError;
    try {
      const response = await fetch(new URL(`sessions/${sessionId}/feedback`, plainOf(this.#options)), {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ rating, comment }),
        credentials: "omit",
        signal: AbortSignal.timeout(ASKING_DEADLINE_MS),
      });
      if (response.ok) return;
      const { code, detail, retryable } = await response.json();
      failure = errorOf(code, detail, retryable);
    } catch (thrown) {
      failure = errorOf("link_lost", `No answer: ${String(thrown)}`, true);
    }
    throw failure;
  }

  /**
   * Hangs up: the microphone is released at once, what was said is still sent, then everything else is released. Resolves when the call is over:
   * over a slow line 30 s after some of it last got through, and after 300 s in all.
   */
  close(): Promise<void> {
    if (this.#over) return Promise.resolve();
    return new Promise((resolve) => {
      this.once("ended", () => {
        this.#release();
        resolve();
      });
      this.#page?.release();
      this.#send(["close"]);
    });
  }

  /**
   * Cuts the connection and keeps it down for so many milliseconds, as a dead network would: for demonstrations and tests.
   *
   * @returns the function that ends it earlier
   */
  simulateOutage(ms: number): () => void {
    checkNumber("ms", ms, 0, OUTAGE_MAX_MS);
    const end = (): void => {
      clearTimeout(timer);
      if (!this.#over) this.#send(["hold", false]);
    };
    const timer = setTimeout(end, ms);
    this.#send(["hold", true]);
    return end;
  }

  async #open(): Promise<void> {
    const { signal } = this.#options;
    const { fallback } = this.#engine;
    if (fallback) this.#fail(fallback);
    try {
      await unlessAborted(signal, this.#start());
      signal?.throwIfAborted();
    } catch (thrown) {
      // A session may have begun that nobody has heard of yet: it is told that it is over. The microphone is released at once.
      if (this.#started && signal?.aborted) void this.close();
      else this.#release();
      throw thrown;
    }
    if (!this.#over) signal?.addEventListener("abort", this.#abort);
  }

  /** Microphone, loudspeaker, connection; in that order, so that nobody is billed for a call without a microphone. */
  async #start(): Promise<void> {
    const page = (this.#page = new CallPage(this.#options, {
      send: (command) => this.#send(command),
      error: (error) => this.#fail(error),
      microphone: (event) => this.emit("microphone", event),
    }));
    await page.open();
    if (!this.#released) await this.#connected();
  }

  #connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = this.on("state", ({ state }) => {
        if (state === "connected") {
          stop();
          stopEnded();
          resolve();
        }
      });
      const stopEnded = this.once("ended", ({ reason }) => {
        stop();
        reject(this.#refusal(reason));
      });
      this.#started = true;
      this.#send(["start"]);
    });
  }

  #refusal(reason: string): VoxrelayError {
    return this.#refused ?? new VoxrelayError("internal", `The relay ended the call: ${reason}.`, false);
  }

  /** Hands the engine a message as it goes over the wire. */
  #message(type: PageMessage["type"], fields: object): Promise<void> {
    if (this.#over) return Promise.reject(callOver());
    return new Promise((resolve, reject) => {
      this.#asked.set(++this.#messages, { resolve, reject });
      this.#send(["message", this.#messages, JSON.stringify({ type, ...fields })]);
    });
  }

  #send(command: Command): void {
    const ports = command.filter((part) => part instanceof MessagePort);
    this.#engine.port.postMessage(command, ports);
  }

  #release(): void {
    if (this.#released) return;
    this.#released = this.#over = true;
    clearTimeout(this.#draining);
    this.#options.signal?.removeEventListener("abort", this.#abort);
    this.#page?.close();
    endEngine(this.#engine);
    this.#tools.cancel();
    for (const asked of this.#asked.values()) asked.reject(callOver());
    this.#asked.clear();
  }

  /** The application's signal hangs up. */
  readonly #abort = (): void => void this.close();

  async #token(): Promise<void> {
    try {
      this.#send(["token", tokenOf(await this.#options.token())]);
    } catch (thrown) {
      if ((thrown as { retryable?: unknown } | undefined)?.retryable === false) this.#giveUp(thrown);
      else this.#send(["tokenFailed", String(thrown)]);
    }
  }

  /** A browser keeps to itself why no socket could be opened, so a plain request asks. */
  async #why(): Promise<void> {
    let status = 0;
    let body = "";
    try {
      const response = await fetch(plainOf(this.#options), {
        credentials: "omit",
        cache: "no-store",
        redirect: "manual",
        signal: AbortSignal.timeout(ASKING_DEADLINE_MS),
      });
      const reader = response.body?.getReader();
      for (let part; body.length < ANSWER_MAX && (part = (await reader?.read())?.value); ) {
        body += new TextDecoder().decode(part);
      }
      body = body.slice(0, ANSWER_MAX);
      void reader?.cancel();
      // The status of a redirection that is not followed is hidden.
      status = response.status || 302;
    } catch {
      // Whatever keeps the socket closed keeps this from being answered, too.
    }
    this.#send(["why", status, body]);
  }

  /** The application says that there will be no token: nobody is to wait for one. */
  #giveUp(thrown: unknown): void {
    if (this.#over) return;
    this.#fail(new VoxrelayError("token_unavailable", `The \`token\` function gave up: ${String(thrown)}`, false));
    if (this.#state.state === "connected") return void this.close();
    this.#end("unauthorized", 4401);
  }

  /** What the engine says. */
  #hear(report: Report): void {
    const { type, ...event } = report;
    switch (report.type) {
      case "token":
        return void this.#token();
      case "why":
        return void this.#why();
      case "drained":
        return this.#release();
      case "level": {
        const [inputRms, inputPeak] = [decibels(report.inputRms), decibels(report.inputPeak)];
        const [outputRms, outputPeak] = [decibels(report.outputRms), decibels(report.outputPeak)];
        return this.emit("level", { inputRms, inputPeak, outputRms, outputPeak });
      }
      case "state": {
        const { state, attempt, retryInMs } = report;
        this.#state = { state: state === "idle" ? "starting" : state, attempt, retryInMs };
        return this.emit("state", this.#state);
      }
      case "session":
        this.#session = { ...(event as SessionEvent), agent: report.agent ?? undefined };
        return this.emit("session", this.#session);
      case "usage":
        this.#usage = { ...(event as Omit<Usage, "cost">), cost: report.costNanoUsd / 1e9 };
        return this.emit("usage", this.#usage);
      case "toolCall":
        this.emit("toolCall", event as ToolCallEvent);
        return void this.#tools.call(event as ToolCallEvent, this.hasListener("toolCall"));
      case "toolCancel":
        this.#tools.cancel(report.callId);
        return this.emit("toolCancel", { callId: report.callId });
      case "rtt":
        return this.emit("rtt", { ms: report.us / 1_000 });
      case "gap":
        return this.emit("gap", { position: report.position, samples: report.samples, ms: report.samples / 16 });
      case "error":
        return this.#fail(errorFrom(report.error));
      case "taken":
        return this.#answered(report.id)?.resolve();
      case "refused":
        return this.#answered(report.id)?.reject(errorFrom(report.error));
      case "ended": {
        const { reason, code } = report;
        this.#over = true;
        this.#options.signal?.removeEventListener("abort", this.#abort);
        this.#tools.cancel();
        // The microphone at once; the agent's last words are still to be heard.
        this.#page?.release();
        this.#draining = setTimeout(() => this.#release(), DRAIN_DEADLINE_MS);
        return this.emit("ended", { reason, code, usage: this.#usage });
      }
      case "broke":
        if (this.#over) return this.#release();
        this.emit("error", new VoxrelayError("internal", `The engine broke: ${report.cause}`, true));
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

  #answered(id: number): Asked | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked;
  }

  #fail(error: VoxrelayError): void {
    // That the relay was tried in vain says less than what it answered.
    if (!OF_THE_PAGE.test(error.code) && !(this.#refused && error.code === "gave_up")) this.#refused = error;
    this.emit("error", error);
  }
}

function callOver(): VoxrelayError {
  return errorOf("call_over", "The call is over or hung up: nothing more can be said in it.", false);
}

function endEngine(engine: RunningEngine): void {
  engine.port.close();
  engine.stop();
}

/** What the promise gives, unless the signal comes first: then `late` has it when it comes. No listener stays on the signal. */
export function unlessAborted<T>(
  signal: AbortSignal | undefined,
  promise: Promise<T>,
  late: (value: T) => void = () => undefined,
): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason);
      promise.then(late, () => undefined);
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function socketOf({ url }: ConnectOptions): string {
  return new URL(url, location.href).href.replace(/^http/, "ws");
}

/** Where plain requests go. */
function plainOf(options: ConnectOptions): string {
  return socketOf(options).replace("ws", "http");
}

function settingsOf(options: ConnectOptions): Settings {
  const { chunkMs = 100, bufferSeconds = 30, giveUpAfterMs = 600_000, conversation, agent } = options;
  const whole = Math.round;
  return {
    url: socketOf(options),
    client: `voxrelay-js/${VERSION}`,
    chunkMs: whole(chunkMs),
    bufferMs: whole(bufferSeconds * 1_000),
    giveUpAfterMs: whole(giveUpAfterMs),
    seed: whole(Math.random() * Number.MAX_SAFE_INTEGER),
    ...(conversation && { conversation }),
    ...(agent && { agent }),
  };
}

type AnyListener = (event: never) => void;

/** `onState` listens to `state`, and so on. */
function listenersOf(options: EventOptions): [keyof CallEvents, AnyListener][] {
  return Object.entries(options)
    .filter(([name, value]) => /^on[A-Z]/.test(name) && typeof value === "function")
    .map(([name, value]) => [eventOf(name) as keyof CallEvents, value as AnyListener]);
}

/** Of millionths of full scale. */
function decibels(level: number): number {
  return level > 10 ? 20 * Math.log10(level / 1e6) : -100;
}
