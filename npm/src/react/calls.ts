// Calls one after another, for whoever shows them as one: `voxrelay/react`. The package's own module is another file there.
import { Call, type CallEvents, type CallSnapshot, type ConnectOptions, type Logger } from "../index.js";

type Anything = (...args: readonly unknown[]) => unknown;

/** Makes calls with the options of the moment; the newest one is the one that is shown. */
export class Calls {
  #options: ConnectOptions;
  #call!: Call;
  /** The very object that the call was made with. Until it is begun, it takes its options from there. */
  #given!: Record<string, unknown>;
  /** Stops each listener and takes back each tool that the call has by the options, by the option's name and the tool's. */
  #taken!: Map<string, () => void>;
  readonly #listeners = new Set<() => void>();
  #stop: (() => void) | undefined;
  /** The call that was hung up last: it may take a while until its state says so. */
  #hungUp: Call | undefined;
  /** Whoever would hang up is not there any more. */
  isGone = false;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#make();
  }

  /** What a call is made with. A call under way has the newest listeners, tools, `token` and `logger`. */
  set options(options: ConnectOptions) {
    this.#options = options;
    this.#keepUp();
  }

  get call(): Call {
    return this.#call;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    const own = (): void => listener();
    this.#listeners.add(own);
    this.#stop ??= this.#call.subscribe(this.#tell);
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size > 0) return;
      this.#stop?.();
      this.#stop = undefined;
    };
  };

  readonly snapshot = (): CallSnapshot => this.#call.snapshot;

  /**
   * Makes a call, or joins the one that is being made or is up and was not hung up.
   *
   * @throws also `call_over`, once whoever would hang up is gone
   */
  readonly connect = async (): Promise<void> => {
    // Strict mode takes away all that it has mounted and brings it back at once, what is inside before what is around it.
    if (this.isGone) await undefined;
    const { state, muted, volume } = this.#call;
    if (this.isGone) {
      // A call that was closed is not begun any more, and says so.
      void this.#call.close();
    } else if (state === "idle") {
      // What was done with the call before it is made counts in it, so it is not made anew.
      check(this.#options);
      for (const name of Object.keys(this.#given)) delete this.#given[name];
      Object.assign(this.#given, this.#plain());
    } else if (/^clos/.test(state) || this.#hungUp === this.#call) {
      // If what was said to it then could not be meant, it is still up.
      void this.#call.close();
      this.#make();
      this.#stop?.();
      this.#stop &&= this.#call.subscribe(this.#tell);
      // The user is heard no more, and hears no more, than what was shown said.
      this.#call.mute(muted);
      this.#call.setVolume(volume);
      this.#tell();
    }
    await this.#call.connect();
  };

  /** Hangs up, if there is a call. */
  readonly close = async (): Promise<void> => {
    if (this.#call.state !== "idle") await this.#call.close();
  };

  readonly #tell = (): void => this.#listeners.forEach((listener) => listener());

  #make(): void {
    check(this.#options);
    const given = this.#plain();
    this.#call = new Call(given as unknown as ConnectOptions);
    this.#given = given;
    const call = this.#call;
    const close = call.close;
    call.close = (options) => {
      if (call === this.#call) this.#hungUp = call;
      return close.call(call, options);
    };
    this.#taken = new Map();
    this.#keepUp();
  }

  /** The options without listeners and tools, which come and go, and with functions that are the newest ones whenever they are called. */
  #plain(): Record<string, unknown> {
    const log = (level: keyof Logger) => (message: string) => this.#options.logger?.[level]?.(message);
    return {
      ...Object.fromEntries(Object.entries(this.#options).filter(([name]) => !/^(on[A-Z]|tools$)/.test(name))),
      token: () => this.#options.token(),
      logger: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
    };
  }

  /** Has the call listen to what is listened to by now, and run the tools that there are by now. What cannot be meant is refused by the next `connect`. */
  #keepUp(): void {
    const call = this.#call;
    const there = new Set<string>();
    const keep = (key: string, newest: () => unknown, take: (now: Anything) => () => void): void => {
      if (typeof newest() !== "function") return;
      there.add(key);
      if (!this.#taken.has(key)) this.#taken.set(key, take((...args) => (newest() as Anything | undefined)?.(...args)));
    };
    for (const option of Object.keys(this.#options)) {
      if (!/^on[A-Z]/.test(option)) continue;
      const name = option.charAt(2).toLowerCase() + option.slice(3);
      try {
        keep(option, () => (this.#options as unknown as Record<string, unknown>)[option], (now) => call.on(name as keyof CallEvents, now));
      } catch {
        // There is no such event.
      }
    }
    for (const name of Object.keys(this.#options.tools ?? {})) {
      keep(`tool ${name}`, () => this.#options.tools?.[name], (now) => call.registerTool(name, now));
    }
    for (const [key, stop] of this.#taken) {
      if (there.has(key)) continue;
      this.#taken.delete(key);
      stop();
    }
  }
}

/**
 * Making a call does nothing but that.
 *
 * @throws a `TypeError` or `RangeError` for options that cannot be meant
 */
function check(options: ConnectOptions): void {
  new Call(options);
}
