// Calls one after another, for whoever shows them as one: `voxrelay/react`. The package's own module is another file there.
import { Call, type CallSnapshot, type ConnectOptions } from "../index.js";

type Anything = (...args: readonly unknown[]) => unknown;

/** Makes calls with the options of the moment; the newest one is the one that is shown. */
export class Calls {
  /** What a call is made with. Its functions are asked for when they are called, so that a call under way has the newest ones, too. */
  options: ConnectOptions;
  #call: Call;
  readonly #listeners = new Set<() => void>();
  #stop: (() => void) | undefined;

  constructor(options: ConnectOptions) {
    this.options = options;
    this.#call = this.#make();
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

  /** Makes a call, or joins the one that is being made or is up. */
  readonly connect = (): Promise<void> => {
    if (/^(idle|closing|closed)$/.test(this.#call.state)) {
      this.#stop?.();
      this.#call = this.#make();
      this.#stop &&= this.#call.subscribe(this.#tell);
      this.#tell();
    }
    return this.#call.connect();
  };

  /** Hangs up, if there is a call. */
  readonly close = async (): Promise<void> => {
    if (this.#call.state !== "idle") await this.#call.close();
  };

  readonly #tell = (): void => this.#listeners.forEach((listener) => listener());

  #make(): Call {
    const newest = (of: () => object | undefined, now: object): object =>
      Object.fromEntries(
        Object.entries(now).map(([name, value]: [string, unknown]) => {
          if (typeof value !== "function") return [name, value];
          return [name, (...args: unknown[]) => ((of() as Record<string, Anything | undefined>)[name] ?? (value as Anything))(...args)];
        }),
      );
    const { tools } = this.options;
    const options = newest(() => this.options, this.options) as ConnectOptions;
    return new Call(tools ? { ...options, tools: newest(() => this.options.tools ?? {}, tools) as NonNullable<typeof tools> } : options);
  }
}
