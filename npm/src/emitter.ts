import { checkListener } from "./check.js";
import { tellAll } from "./source.js";

/** Typed listeners. `Events` maps the name of each event to what its listeners get. */
export class Emitter<Events> {
  /** For each event what is called, and the listener for whom: whoever listens twice is called twice, and stops each by itself. */
  readonly #listeners = new Map<keyof Events, Map<(event: never) => void, unknown>>();
  readonly #names: readonly (keyof Events)[];

  /** @internal `names` are those of the events. */
  constructor(names: readonly (keyof Events)[]) {
    this.#names = names;
  }

  /** Calls `listener` at each `name`; returns the function that stops it. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    return this.#add(name, listener);
  }

  /** Calls `listener` at the next `name` only; returns the function that stops it. */
  once<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    return this.#add(name, listener, true);
  }

  /** Stops calling `listener` at `name`, whichever way and however often it was given. */
  off<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void {
    const listeners = this.#of(name, listener);
    for (const [own, given] of listeners) if (given === listener) listeners.delete(own);
  }

  /** @internal Whether anybody listens to `name`. */
  protected hasListener(name: keyof Events): boolean {
    return !!this.#listeners.get(name)?.size;
  }

  /** @internal Tells everybody; a listener that throws is reported and does not keep it from the others. */
  protected emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    tellAll((this.#listeners.get(name) ?? new Map()) as Map<(event: Events[Name]) => void, unknown>, event);
  }

  #add<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void, isOnce = false): () => void {
    const listeners = this.#of(name, listener);
    const stop = (): void => void listeners.delete(own);
    const own = (event: Events[Name]): void => {
      if (isOnce) stop();
      listener(event);
    };
    listeners.set(own, listener);
    return stop;
  }

  /** Those who listen to `name`, of a listener that is one. */
  #of(name: keyof Events, listener: unknown): Map<(event: never) => void, unknown> {
    checkListener(this.#names, name, listener);
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Map()));
    return listeners;
  }
}
