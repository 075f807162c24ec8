import { errorOf } from "./error.js";
import type { VoxrelayError } from "./error.js";
import type { MicrophoneEvent } from "./events.js";
import { loadWorklet } from "./loader.js";
import type { ConnectOptions } from "./options.js";
import type { Command, Host } from "./roles.js";
import type { Page } from "./wasm/voxrelay_wasm.js";

/** Chromium's name for whichever microphone the system prefers; other browsers do not tell. */
const DEFAULT_ID = "default";

/** What the page's side of a call tells. */
export interface PageListener {
  send(command: Command): void;
  error(error: VoxrelayError): void;
  microphone(event: MicrophoneEvent): void;
}

/** Microphone and loudspeaker of a call: waits for the browser's promises on behalf of the wasm `Page`. */
export class CallPage {
  readonly #options: ConnectOptions;
  readonly #listener: PageListener;
  readonly #page: Page;
  #asked: MediaTrackConstraints;
  /** Counts openings of the microphone: only the latest one keeps what it opened. */
  #attempt = 0;
  /** The default microphone when it was last looked at. */
  #default: string | undefined;
  #released = false;
  #closed = false;

  /** Instantiates the page role of `module`. */
  static async make(module: WebAssembly.Module, options: ConnectOptions, listener: PageListener): Promise<CallPage> {
    // Evaluated here and not at the top, since the glue needs TextDecoder and the script-tag build also runs as a worklet.
    const wasm = await import("./wasm/voxrelay_wasm.js");
    wasm.initSync({ module });
    return new CallPage(wasm.Page, options, listener);
  }

  private constructor(page: typeof Page, options: ConnectOptions, listener: PageListener) {
    this.#options = options;
    this.#listener = listener;
    this.#asked = options.microphone instanceof MediaStream ? {} : options.microphone || {};
    const given = options.microphone instanceof MediaStream;
    this.#page = new page(this.#host, given, options.audioContext !== undefined, options.output);
  }

  /** Opens the microphone, then the loudspeaker. */
  async open(): Promise<void> {
    // The microphone first: browsers let a page that captures make sound without another gesture.
    const stream = await this.#request(this.#asked);
    if (this.#closed) return this.#discard(stream);
    try {
      await this.#play();
      if (stream) this.#capture(stream);
    } catch (thrown) {
      this.#discard(stream);
      throw thrown;
    }
    if (!this.#closed) this.#page.watch();
  }

  /** Changes to another microphone; if it cannot be opened, the one before stays. */
  async setMicrophone(deviceId: string | undefined): Promise<void> {
    const asked = { ...this.#asked };
    delete asked.deviceId;
    if (deviceId) asked.deviceId = { exact: deviceId };
    const { microphone } = this.#options;
    if (microphone === false || microphone instanceof MediaStream) {
      throw new TypeError("this call was made with `microphone: false` or a stream of the page: the SDK opens none");
    }
    // Said at once, so that whatever opens the microphone again meanwhile opens the one that was asked for last.
    const before = this.#asked;
    this.#asked = asked;
    try {
      await this.#openMicrophone(asked);
    } catch (thrown) {
      if (this.#asked === asked) this.#asked = before;
      throw thrown;
    }
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

  async #openMicrophone(asked: MediaTrackConstraints): Promise<void> {
    const attempt = ++this.#attempt;
    const stream = await this.#request(asked);
    if (!stream) return;
    if (attempt !== this.#attempt) return this.#discard(stream);
    this.#capture(stream);
  }

  /** Asks for the microphone; nothing if the application wants none. */
  async #request(asked: MediaTrackConstraints): Promise<MediaStream | undefined> {
    const { microphone } = this.#options;
    if (microphone === false) return undefined;
    if (microphone instanceof MediaStream) return microphone;
    try {
      const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...asked };
      return await navigator.mediaDevices.getUserMedia({ audio });
    } catch (thrown) {
      // Only secure pages have `mediaDevices`.
      throw this.#failure("microphone", isSecureContext ? thrown : "SecurityError: the page is not on HTTPS or localhost");
    }
  }

  #capture(stream: MediaStream): void {
    if (this.#released) return this.#discard(stream);
    try {
      this.#page.capture(stream);
    } catch (thrown) {
      this.#discard(stream);
      throw this.#failure("audio", thrown);
    }
    void this.#defaultMicrophone().then((id) => (this.#default = id));
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
    const failure = part === "audio" ? this.#page.audioFailure : this.#page.microphoneFailure;
    return failure.call(this.#page, String(thrown)) as VoxrelayError;
  }

  async #defaultMicrophone(): Promise<string | undefined> {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.find(({ kind, deviceId }) => kind === "audioinput" && deviceId === DEFAULT_ID)?.groupId;
  }

  /** Opens the default microphone again if it is another one now. */
  async #followDefault(): Promise<void> {
    const before = this.#default;
    this.#default = await this.#defaultMicrophone();
    if (before && this.#default && before !== this.#default && !this.#asked.deviceId) {
      await this.#openMicrophone(this.#asked);
    }
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
    reopenMicrophone: () => this.#run(() => this.#openMicrophone(this.#asked)),
    reopenAudio: () =>
      this.#run(async () => {
        await this.#play();
        await this.#openMicrophone(this.#asked);
      }),
    devicesChanged: () => this.#run(() => this.#followDefault()),
    tap: (port, rate) => this.#listener.send(["tap", port, rate]),
    speaker: (port, rate) => this.#listener.send(["speaker", port, rate]),
    signal: (name) => this.#listener.send([name]),
    hold: (held) => this.#listener.send(["hold", held]),
    microphone: (label, live) => this.#listener.microphone({ label, live }),
    ignore: (promise) => void promise.catch(() => undefined),
    error: (failure) => this.#listener.error(failure),
    failure: errorOf,
  };
}
