import { errorOf } from "./error.js";
import type { VoxrelayError } from "./error.js";
import type { MicrophoneEvent } from "./events.js";
import { type Parts, loadWorklet } from "./loader.js";
import type { ConnectOptions } from "./options.js";
import type { Command, Host } from "./roles.js";
import type { Page } from "./wasm/voxrelay_wasm.js";

/** Chromium's name for whichever microphone the system prefers; other browsers do not tell. */
const DEFAULT_ID = "default";

/** A processor that has not ended by then is in a context that the browser holds back: it is not waited for. */
const RETIRE_MS = 2_000;
/** A processor says that it ends from within its last run; the browser knows of it a moment later. */
const LAST_RUN_MS = 50;

/** A microphone that the application asked for. */
interface Choice {
  /** A stream of the application's own, or `false` for none. */
  readonly own?: MediaStream | false | undefined;
  readonly constraints: MediaTrackConstraints;
  /** The choice before, which holds again if this one fails; none once this one is open. */
  before?: Choice | undefined;
  failed?: boolean;
}

/** What the page's side of a call tells. */
export interface PageListener {
  send(command: Command): void;
  error(error: VoxrelayError): void;
  microphone(event: MicrophoneEvent): void;
}

/** Whether the browser gave another microphone than the one that was asked for: a wish (`ideal`, or a bare id) does not fail. */
function standsIn(stream: MediaStream, { deviceId }: MediaTrackConstraints): boolean {
  const given = stream.getAudioTracks()[0]?.getSettings().deviceId;
  return Boolean(deviceId && given && !JSON.stringify(deviceId).includes(JSON.stringify(given)));
}

/** Microphone and loudspeaker of a call: waits for the browser's promises on behalf of the wasm `Page`. */
export class CallPage {
  readonly #options: ConnectOptions;
  readonly #listener: PageListener;
  readonly #page: Page;
  /** What was asked for last. */
  #choice: Choice;
  /** Counts attempts to open a microphone. */
  #attempt = 0;
  /** The attempt whose microphone is open: what an earlier one brings is late. */
  #opened = 0;
  /** The default microphone is open in place of the chosen one. */
  #fallback = false;
  /** The default microphone when it was last looked at. */
  #default: string | undefined;
  #released = false;
  #closed = false;

  /** Instantiates the page role of `module`. */
  static make([module, glue]: Parts, options: ConnectOptions, listener: PageListener): CallPage {
    glue.initSync({ module });
    return new CallPage(glue.Page, options, listener);
  }

  private constructor(page: typeof Page, options: ConnectOptions, listener: PageListener) {
    this.#options = options;
    this.#listener = listener;
    const { microphone } = options;
    const isOwn = microphone === false || microphone instanceof MediaStream;
    this.#choice = isOwn ? { own: microphone, constraints: {} } : { constraints: microphone ?? {} };
    this.#page = new page(this.#host, options.audioContext !== undefined, options.output);
  }

  /** Opens the microphone, then the loudspeaker. */
  async open(): Promise<void> {
    // The microphone first: browsers let a page that captures make sound without another gesture.
    const stream = await this.#request(this.#choice);
    if (this.#closed) return this.#discard(stream);
    try {
      await this.#play();
      if (stream) {
        this.#fallback = standsIn(stream, this.#choice.constraints);
        this.#capture(stream);
      }
    } catch (thrown) {
      this.#discard(stream);
      throw thrown;
    }
    if (!this.#closed) this.#page.watch();
  }

  /** Changes to another microphone; if it cannot be opened, the one before stays. */
  async setMicrophone(deviceId: string | undefined): Promise<void> {
    const { deviceId: _, ...rest } = this.#choice.constraints;
    const constraints = deviceId ? { ...rest, deviceId: { exact: deviceId } } : rest;
    // Said at once, so that whatever opens the microphone again meanwhile opens the one that was asked for last.
    const choice: Choice = (this.#choice = { constraints, before: this.#choice });
    try {
      await this.#openMicrophone(choice);
      choice.before = undefined;
    } catch (thrown) {
      choice.failed = true;
      while (this.#choice.failed && this.#choice.before) this.#choice = this.#choice.before;
      throw thrown;
    }
  }

  /** Microphones may have come or gone: not every browser tells of every one. */
  devicesChanged(): void {
    this.#run(() => this.#devicesChanged());
  }

  /** Whether the call has its microphone: not any more once it is hung up. */
  get isOpen(): boolean {
    return !this.#released;
  }

  /** Releases the microphone: the call is ending, but the agent may still be heard. */
  release(): void {
    this.#released = true;
    if (!this.#closed) this.#page.release();
  }

  /** Releases everything. */
  close(): void {
    this.release();
    if (!this.#closed) this.#page.free();
    this.#closed = true;
  }

  /** Opens a microphone in place of the one that is open, unless a later attempt was faster. */
  async #openMicrophone(choice: Choice, fallback = false): Promise<void> {
    const attempt = ++this.#attempt;
    const stream = await this.#request(choice, fallback);
    if (!stream) return;
    if (attempt < this.#opened) return this.#discard(stream);
    this.#opened = attempt;
    this.#fallback = fallback || standsIn(stream, choice.constraints);
    this.#capture(stream);
  }

  /** Opens the chosen microphone again or, while it cannot be opened, the default one. */
  async #reopenMicrophone(): Promise<void> {
    const choice = this.#choice;
    try {
      await this.#openMicrophone(choice);
    } catch (thrown) {
      const isDenied = (thrown as VoxrelayError).code === "microphone_denied";
      if (isDenied || !choice.constraints.deviceId || choice !== this.#choice) throw thrown;
      await this.#openMicrophone(choice, true);
    }
  }

  /** Asks for the microphone, or for the default one in its place; nothing if the application wants none. */
  async #request({ own, constraints }: Choice, fallback = false): Promise<MediaStream | undefined> {
    if (own !== undefined) return own || undefined;
    try {
      const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...constraints };
      if (fallback) delete audio.deviceId;
      return await navigator.mediaDevices.getUserMedia({ audio });
    } catch (thrown) {
      // Only secure pages have `mediaDevices`.
      throw this.#failure("microphone", isSecureContext ? thrown : "SecurityError: the page is not on HTTPS or localhost");
    }
  }

  #capture(stream: MediaStream): void {
    if (this.#released) return this.#discard(stream);
    try {
      this.#page.capture(stream, stream === this.#options.microphone);
    } catch (thrown) {
      this.#discard(stream);
      throw this.#failure("audio", thrown);
    }
    void this.#inputs().catch(() => undefined);
  }

  async #play(): Promise<void> {
    const own = this.#options.audioContext;
    let context: AudioContext | undefined;
    try {
      // The device's own rate: Firefox does not connect nodes of different rates, and the engine resamples better.
      context = own ?? new AudioContext();
      await loadWorklet(context, this.#options);
      if (!this.#closed) return this.#page.play(context);
    } catch (thrown) {
      if (context !== own) void context?.close();
      throw this.#failure("audio", thrown);
    }
    if (context !== own) void context.close();
  }

  #discard(stream: MediaStream | undefined): void {
    if (stream !== this.#options.microphone) stream?.getTracks().forEach((track) => track.stop());
  }

  #failure(part: "microphone" | "audio", thrown: unknown): VoxrelayError {
    // What the wasm would say belongs to a call that is over.
    if (this.#closed) return thrown as VoxrelayError;
    const failure = part === "audio" ? this.#page.audioFailure : this.#page.microphoneFailure;
    return failure.call(this.#page, String(thrown)) as VoxrelayError;
  }

  /** The ids of the microphones that there are; looks at which one is the default, too. */
  async #inputs(): Promise<string[]> {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const inputs = devices.filter(({ kind }) => kind === "audioinput");
    this.#default = inputs.find(({ deviceId }) => deviceId === DEFAULT_ID)?.groupId;
    return inputs.map(({ deviceId }) => deviceId);
  }

  /**
   * Looks for the chosen microphone: takes it if it is back, and the default one if it is gone. Follows the default one where that is open and
   * is another one by now.
   */
  async #devicesChanged(): Promise<void> {
    const before = this.#default;
    const inputs = await this.#inputs();
    const { own, constraints } = this.#choice;
    const asked = JSON.stringify(constraints.deviceId);
    const hasMoved = before && this.#default && before !== this.#default && (this.#fallback || !asked);
    const isBackOrGone = asked && this.#fallback === inputs.some((id) => asked.includes(JSON.stringify(id)));
    if (own === undefined && (isBackOrGone || hasMoved)) await this.#reopenMicrophone();
  }

  /** Something that nobody waits for; what goes wrong is told as an event. */
  #run(work: () => Promise<void>): void {
    if (this.#released) return;
    work().catch((thrown: unknown) => {
      if (!this.#released) this.#listener.error(thrown as VoxrelayError);
    });
  }

  /** What the wasm asks for. */
  readonly #host: Host = {
    window: globalThis.window,
    document: globalThis.document,
    devices: globalThis.navigator?.mediaDevices,
    retire: (node, context) => {
      const { port } = node;
      const end = (): void => {
        node.disconnect();
        port.close();
        void context?.close();
      };
      // A context that is closed before its processors have ended stays in Chromium's memory for the life of the page.
      const deadline = setTimeout(end, RETIRE_MS);
      port.onmessage = () => {
        clearTimeout(deadline);
        setTimeout(end, LAST_RUN_MS);
      };
      port.postMessage(null);
    },
    reopenMicrophone: () => this.#run(() => this.#reopenMicrophone()),
    reopenAudio: () =>
      this.#run(async () => {
        await this.#play();
        await this.#reopenMicrophone();
      }),
    devicesChanged: () => this.devicesChanged(),
    tap: (port, rate) => this.#listener.send(["tap", port, rate]),
    speaker: (port, rate) => this.#listener.send(["speaker", port, rate]),
    signal: (name) => this.#listener.send([name]),
    hold: (held) => this.#listener.send(["hold", held]),
    microphone: (label, live) => this.#listener.microphone({ label, live, fallback: this.#fallback }),
    ignore: (promise) => void promise.catch(() => undefined),
    error: (failure) => this.#listener.error(failure),
    failure: errorOf,
  };
}
