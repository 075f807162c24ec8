import { checkListener } from "./check.js";
import { tellAll } from "./source.js";

/** Typed listeners. `Events` maps the name of each event to what its listeners get. */
export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();
  readonly #names: Record<keyof Events, unknown>;

  /** @internal `names` has the name of each event as a key. */
  constructor(names: Record<keyof Events, unknown>) {
    this.#names = names;
  }

  /** Calls `listener` at each `name`; returns the function that stops it. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    checkListener(this.#names, name, listener);
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener);
    return () => this.off(name, listener);
  }

  /** Calls `listener` at the next `name` only; returns the function that stops it. */
  once<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    checkListener(this.#names, name, listener);
    const stop = this.on(name, (event) => {
      stop();
      listener(event);
    });
    return stop;
  }

  /** Stops calling `listener` at `name`. */
  off<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void {
    checkListener(this.#names, name, listener);
    this.#listeners.get(name)?.delete(listener);
  }

  /** @internal Whether anybody listens to `name`. */
  protected hasListener(name: keyof Events): boolean {
    return !!this.#listeners.get(name)?.size;
  }

  /** @internal Tells everybody; a listener that throws is reported and does not keep it from the others. */
  protected emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    tellAll((this.#listeners.get(name) ?? new Set()) as Set<(event: Events[Name]) => void>, event);
  }
}
