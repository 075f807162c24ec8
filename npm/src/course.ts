import { unlessAborted } from "./abort.js";
import { loadLater } from "./assets.js";
import { EVENTS, tokenOf } from "./check.js";
import { Emitter } from "./emitter.js";
import { VoxrelayError, callOver, errorFrom, noCall } from "./error.js";
import type { CallEvents, EndedEvent, MicrophoneEvent, SessionEvent, StateEvent, ToolCallEvent, Usage } from "./events.js";
import { type RunningEngine, beginHttp, endEngine, loadParts, loadVoice, startEngine } from "./loader.js";
import { Messages } from "./messages.js";
import type { ConnectOptions, Logger } from "./options.js";
import { CallPage } from "./page.js";
import type { Measured, QualityMeter } from "./quality.js";
import { askWhy, plainOf } from "./requests.js";
import type { Command, FromEngine, Report, UpwardFields, UpwardType } from "./roles.js";
import { settingsOf } from "./settings.js";
import { type CallSnapshot, type Devices, LevelSource, caption, finished, merged, untouched } from "./snapshot.js";
import { Source } from "./source.js";
import { Tools } from "./tools.js";

/** A call that ended by itself is closed after this even if the loudspeaker is not through: it may be held back by the browser. */
const DRAIN_DEADLINE_MS = 30_000;

/** Troubles of the page itself, which say nothing about why there is no connection. */
const OF_THE_PAGE = /^(microphone|audio|buffer|worker)_/;

/** Troubles that a connection does not mend. */
const OF_THE_SOUND = /^(microphone|audio)_/;

/** What is said of a microphone that was taken away. */
const NO_MICROPHONE: MicrophoneEvent = Object.freeze({ label: "", deviceId: undefined, live: false, fallback: false });

/**
 * What becomes of a call, from its beginning to its end: what its engine, its microphone and its loudspeaker tell goes into what there is to
 * show, and to listeners. What an application does with it is `Call`. The build shortens the names that the two share.
 */
export abstract class Course extends Emitter<CallEvents> {
  /** @internal What the call was made with. */
  protected readonly callOptions: ConnectOptions;
  /** @internal Tells of each change of what is shown. */
  protected readonly changes = new Source();
  /** @internal How loud it is. */
  protected readonly loudness = new LevelSource();
  /** The engine was told that somebody looks at the levels. */
  #watched = false;
  /** @internal All that there is to show of the call. */
  protected shown = untouched(this.loudness);
  #meter: Promise<QualityMeter | void> | undefined;
  #reconnects = 0;
  #engine: RunningEngine | undefined;
  /** @internal Microphone and loudspeaker. */
  protected callPage: CallPage | undefined;
  readonly #messages = new Messages();
  /** @internal The tools of the page. */
  protected readonly pageTools = new Tools((callId, output, isError) => this.sendToolResult(callId, output, { isError }));
  /** Why there is no connection yet, as far as the relay or the token function told. */
  #refused: VoxrelayError | undefined;
  /** The token function has said that it will give none, and has given none since. */
  #hasNoToken = false;
  /** Ends what is under way until the call is connected. */
  readonly #stop = new AbortController();
  /** Ends the loading of voice activity. */
  readonly #voice = new AbortController();
  /** @internal The call has ended. */
  protected isOver = false;
  /** The engine was told to connect. */
  #started = false;
  /** Everything is given back. */
  #released = false;
  #draining: ReturnType<typeof setTimeout> | undefined;
  /** @internal An outage that is simulated. */
  protected outage: ReturnType<typeof setTimeout> | undefined;

  /** @internal A call that has not begun. */
  constructor(options: ConnectOptions) {
    super(EVENTS);
    this.callOptions = options;
  }

  /** Hangs up. */
  abstract close(): Promise<void>;

  /** Answers a tool that the agent has called. */
  abstract sendToolResult(callId: string, output: string, options: { readonly isError?: boolean }): Promise<void>;

  /** @internal A microphone that is not there is muted as far as the relay knows: it waits for no more of what was being said. */
  protected tellMuted(): void {
    const { onHold, devices } = this.shown;
    const muted = devices.muted || onHold || this.callPage?.wantsMicrophone === false;
    this.loudness.mute(muted, onHold);
    this.command(["onHold", onHold]);
    this.command(["mute", muted]);
  }

  /** @internal The page's side of a call that is not over or hung up. */
  protected openPage(): CallPage {
    const page = this.callPage;
    if (!page?.isOpen) throw page || this.isOver ? callOver() : noCall();
    return page;
  }

  /** @internal Makes the call. */
  protected async begin(): Promise<void> {
    const options = this.callOptions;
    const { signal } = this.#stop;
    try {
      options.signal?.throwIfAborted();
      options.signal?.addEventListener("abort", this.#abort);
      this.#enter({ state: "starting", attempt: 0, retryInMs: 0 });
      await unlessAborted(signal, this.#open());
      signal.throwIfAborted();
    } catch (thrown) {
      if (thrown instanceof VoxrelayError && !signal.aborted) this.show({ error: thrown });
      // A session may have begun that nobody has heard of yet: it is told that it is over. The microphone is released at once.
      if (this.#started && signal.aborted) void this.close();
      else this.#discard();
      throw thrown;
    }
  }

  /** Starts the engine. */
  async #start(): Promise<void> {
    const options = this.callOptions;
    const { signal } = this.#stop;
    const parts = await unlessAborted(signal, loadParts(options));
    const engine = await unlessAborted(signal, startEngine(parts, settingsOf(options), options, signal), endEngine);
    this.#engine = engine;
    engine.port.onmessage = ({ data }: MessageEvent<FromEngine>) => {
      if (typeof data !== "string") return beginHttp(engine, options, data);
      // What is told goes into snapshots and to listeners of all sorts: nobody changes it for the others.
      this.#hear(JSON.parse(data, (_, value) => Object.freeze(value)) as Report);
    };
    engine.onbreak = (cause) => this.#hear({ type: "broke", cause });
    this.show({ engine: engine.place });
    // Voice activity comes while the call connects, or later, or not: the call waits for none of it.
    if (options.voiceActivity) {
      loadVoice(options, this.#voice.signal).then(
        (module) => this.command(["voice", module]),
        (thrown: unknown) => {
          // Nor is what the browser still fetches of it.
          this.#voice.abort();
          if (!this.isOver) this.#log("warn", `no voice activity: ${String(thrown)}`);
        },
      );
    }
    if (this.shown.devices.muted || this.shown.onHold) this.tellMuted();
    if (engine.fallback) this.#fail(engine.fallback);
  }

  /** Engine, microphone, loudspeaker, connection; in that order, so that nobody is billed for a call without a microphone. */
  async #open(): Promise<void> {
    const page = (this.callPage = new CallPage(this.callOptions, this.shown.devices.volume, {
      send: (command) => this.command(command),
      error: (error) => this.#fail(error),
      microphone: (microphone) => {
        const event = microphone ?? NO_MICROPHONE;
        const { label, live } = event;
        this.#log("info", microphone ? `microphone "${label}" is ${live ? "live" : "silent"}` : "the microphone is closed");
        this.showDevices({ microphone });
        if (live || !microphone) this.#mended("microphone_");
        this.emit("microphone", event);
      },
      speaker: (speaker) => {
        this.showDevices({ speaker });
        this.emit("speaker", speaker);
      },
      sounds: () => this.#mended("audio_"),
    }));
    await page.open(this.#start());
    // The engine may have broken meanwhile.
    if (this.isOver) throw this.#refusal("abnormal");
    await new Promise<void>((resolve, reject) => {
      // The first of them settles it; the others, later in the call, do nothing.
      this.on("state", ({ state }) => state === "connected" && resolve());
      this.on("ended", ({ reason }) => reject(this.#refusal(reason)));
      this.#started = true;
      this.command(["start"]);
    });
  }

  /** @internal Ends the call, or what is under way until there is one; resolves once its context is closed. */
  protected async hangUp(): Promise<void> {
    this.#stop.abort(callOver());
    if (this.isOver || !this.#started) this.#discard();
    else {
      await new Promise<void>((resolve) => {
        this.once("ended", () => {
          this.#release();
          resolve();
        });
        this.callPage?.release();
      });
    }
    await this.callPage?.close();
  }

  #refusal(reason: string): VoxrelayError {
    return this.#refused ?? new VoxrelayError("internal", `The relay ended the call: ${reason}.`, false);
  }

  /** @internal Hands the engine a message as it goes over the wire. */
  protected async handOver<Type extends UpwardType>(type: Type, fields: UpwardFields<Type>): Promise<void> {
    if (this.isOver) throw callOver();
    if (!this.#engine) throw noCall();
    return this.#messages.ask((id) => this.command(["message", id, JSON.stringify({ type, ...fields })]));
  }

  /** @internal Tells the engine something. */
  protected command(command: Command): void {
    const ports = command.filter((part) => part instanceof MessagePort);
    this.#engine?.port.postMessage(command, ports);
  }

  /** Tells how well the line does: when that is due, and when there is something to warn of. */
  #measure(measured: Measured, isDue: boolean): void {
    this.#meter ??= loadLater().then(
      ({ QualityMeter }) => new QualityMeter(),
      (thrown: unknown) => {
        this.#log("warn", `no quality: ${String(thrown)}`);
        // It is asked for again after the next heartbeat.
        this.once("rtt", () => (this.#meter = undefined));
      },
    );
    void this.#meter.then((meter) => {
      if (!meter || this.isOver) return;
      const event = meter.measure(measured);
      for (const { name, raised } of event.changed) this.#log("warn", `${name} ${raised ? "raised" : "cleared"}`);
      if (!isDue && !event.changed.length) return;
      this.show({ quality: meter.quality });
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
    this.#released = this.isOver = true;
    this.loudness.mute(true, true);
    clearTimeout(this.#draining);
    clearTimeout(this.outage);
    this.callOptions.signal?.removeEventListener("abort", this.#abort);
    this.#voice.abort();
    void this.callPage?.close();
    this.pageTools.cancel();
    this.#messages.end();
    if (this.#engine) endEngine(this.#engine);
  }

  /** The application's signal hangs up. */
  readonly #abort = (): void => {
    this.#stop.abort(this.callOptions.signal?.reason);
    void this.close();
  };

  async #token(): Promise<void> {
    try {
      this.command(["token", tokenOf(await this.callOptions.token())]);
      this.#hasNoToken = false;
      this.#mended("token_una");
    } catch (thrown) {
      // Without a network something else may have answered in the place of the server.
      const isFinal = (thrown as { retryable?: unknown } | undefined)?.retryable === false && navigator.onLine !== false;
      if (!isFinal) return this.command(["tokenFailed", String(thrown)]);
      // The application says that there will be no token: nobody is to wait for one.
      if (this.isOver) return;
      // A call that is up goes on, and asks again. That is told once, and once more where it is why a lost connection does not come back.
      if (!this.#hasNoToken || this.shown.state === "reconnecting") {
        this.#fail(new VoxrelayError("token_unavailable", `The \`token\` function gave up: ${String(thrown)}`, false, { cause: thrown }));
      }
      this.#hasNoToken = true;
      this.command(["noToken"]);
    }
  }

  /** What the engine says. */
  #hear(report: Report): void {
    const { type, ...told } = report;
    // What is told to listeners: mostly as it stands.
    let event: object = told;
    switch (report.type) {
      case "token":
        return void this.#token();
      case "why":
        return void askWhy(plainOf(this.callOptions)).then((answer) => this.command(["why", ...answer]));
      case "drained":
        return this.#release();
      case "level": {
        event = this.loudness.measured(report);
        if (report.inputPeak) this.#mended("microphone_silent");
        const watched = this.loudness.isWatched() || this.hasListener("level");
        if (watched !== this.#watched) this.command(["watchLevels", (this.#watched = watched)]);
        break;
      }
      case "state":
        return this.#enter({ ...(told as StateEvent), state: report.state === "idle" ? "starting" : report.state });
      case "transport": {
        const { transport } = report;
        if (transport === this.shown.transport) return;
        this.#log("info", `over ${transport}`);
        this.show({ transport });
        break;
      }
      case "session": {
        const session = (event = Object.freeze({ ...(told as SessionEvent), agent: report.agent ?? undefined }));
        this.#log("info", `session ${session.sessionId}, epoch ${session.epoch}`);
        // Whoever has the call knows nothing of unfinished turns, and tells them anew.
        this.show({ session, captions: finished(this.shown.captions) });
        break;
      }
      case "agent":
        this.show({ agent: report.state });
        break;
      case "transcript":
        this.show({ captions: caption(this.shown.captions, this.shown.session?.sessionId ?? "", report) });
        break;
      case "usage": {
        const usage = (event = Object.freeze({ ...(told as Omit<Usage, "cost">), cost: report.costNanoUsd / 1e9 }));
        this.show({ usage });
        break;
      }
      case "toolCall":
        // One that comes again is answered with what came of it: nobody is to run it twice.
        if (!this.pageTools.knows(report.callId)) this.emit("toolCall", told as ToolCallEvent);
        return void this.pageTools.call(told as ToolCallEvent, this.hasListener("toolCall"));
      case "toolCancel":
        this.pageTools.cancel(report.callId);
        break;
      case "rtt":
        event = { ms: report.us / 1_000 };
        this.#measure({ roundTripMs: Math.round(report.us / 1_000) }, false);
        break;
      case "quality":
        return this.#measure(told as Measured, true);
      case "gap":
        event = { ...told, ms: report.samples / 16 };
        break;
      case "error":
        return this.#fail(errorFrom(report.error));
      case "taken":
        return this.#messages.answer(report.id);
      case "refused":
        return this.#messages.answer(report.id, errorFrom(report.error));
      case "ended": {
        this.#log("info", `ended: ${report.reason}`);
        this.isOver = true;
        this.pageTools.cancel();
        // The microphone at once; the agent's last words are still to be heard.
        this.callPage?.release();
        this.loudness.mute(true);
        this.#draining = setTimeout(() => this.#release(), DRAIN_DEADLINE_MS);
        const ended = (event = Object.freeze({ ...(told as Omit<EndedEvent, "usage">), usage: this.shown.usage }));
        this.show({ ended });
        break;
      }
      case "broke":
        if (this.isOver) return this.#release();
        this.#fail(new VoxrelayError("internal", `The engine broke: ${report.cause}`, true));
        this.#enter({ state: "closed", attempt: 0, retryInMs: 0 });
        this.#hear({ type: "ended", reason: "abnormal", code: 1006 });
        return this.#release();
    }
    this.emit(report.type, event as never);
  }

  #fail(error: VoxrelayError): void {
    const { code, retryable } = error;
    // Why there is no microphone says more than that it gives nothing.
    if (code === "microphone_silent" && this.shown.error?.code.startsWith("microphone_")) return;
    this.#log(retryable ? "warn" : "error", code);
    // Chromium on Linux does not tell of a microphone that only the sound server knew, and plays silence in its place.
    if (code === "microphone_silent") this.callPage?.devicesChanged();
    // That the relay was tried in vain says less than what it answered.
    if (!OF_THE_PAGE.test(code) && !(this.#refused && code === "gave_up")) this.#refused = error;
    this.show({ error });
    this.emit("error", error);
  }

  /** Trouble of this kind is over. */
  #mended(kind: string): void {
    if (this.shown.error?.code.startsWith(kind)) this.show({ error: undefined });
  }

  #enter(event: StateEvent): void {
    const { state, attempt, retryInMs } = event;
    if (state === "closed" && this.shown.state === state) return;
    this.#log("info", attempt ? `${state}: attempt ${attempt} in ${retryInMs} ms` : state);
    const { error } = this.shown;
    if (state === "connected" && this.shown.state === "reconnecting") this.#measure({ reconnects: ++this.#reconnects }, false);
    const isMended = state === "connected" && error && !OF_THE_SOUND.test(error.code);
    this.show({ ...event, ...(isMended && { error: undefined }) });
    if (state === "closed") {
      // Neither is there any more.
      this.showDevices({ microphone: undefined });
      this.show({ agent: undefined });
    }
    this.emit("state", event);
  }

  /** @internal What there is to show is other than before. */
  protected show(changed: Partial<CallSnapshot>): void {
    const before = this.shown;
    this.shown = merged(before, changed);
    if (this.shown !== before) this.changes.changed();
  }

  /** @internal The devices are other than before. */
  protected showDevices(changed: Partial<Devices>): void {
    this.show({ devices: merged(this.shown.devices, changed) });
  }

  #log(level: keyof Logger, message: string): void {
    try {
      this.callOptions.logger?.[level]?.(`voxrelay: ${message}`);
    } catch (thrown) {
      reportError(thrown);
    }
  }
}
