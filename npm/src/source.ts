import { checkMethod } from "./check.js";

/** Calls each of the listeners; one that throws is reported and does not keep it from the others, and one that was taken out meanwhile is not called. */
export function tellAll<T>(listeners: Pick<ReadonlySet<(value: T) => void>, "has" | "keys">, value: T): void {
  for (const listener of [...listeners.keys()]) {
    if (!listeners.has(listener)) continue;
    try {
      listener(value);
    } catch (thrown) {
      reportError(thrown);
    }
  }
}

/**
 * Something that changes, and those who want to know when.
 *
 * They are told in a microtask of their own: when whatever changed it is through, never inside a call of theirs or of somebody else, and once
 * for all the changes of one task.
 */
export class Source {
  readonly #listeners = new Set<() => void>();
  #isDue = false;

  /** Calls `listener` after each change; gives the function that stops it. It needs no `this`, and is always the same. */
  readonly subscribe = (listener: () => void): (() => void) => {
    checkMethod("listener", listener);
    // One of its own, so that whoever subscribes twice stops each of them.
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  };

  /** @internal Whether anybody is told. */
  get isHeard(): boolean {
    return this.#listeners.size > 0;
  }

  /** @internal It has changed. */
  changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      tellAll(this.#listeners, undefined);
    });
  }
}
