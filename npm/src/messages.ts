import { callOver } from "./error.js";
import type { VoxrelayError } from "./error.js";

/** What the promise of a message waits for. */
interface Asked {
  resolve(): void;
  reject(error: VoxrelayError): void;
}

/** Messages that the engine has not answered yet, by their numbers. */
export class Messages {
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  /** Hands one over, by `send`; resolves when it is kept. */
  ask(send: (id: number) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#asked.set(++this.#last, { resolve, reject });
      send(this.#last);
    });
  }

  /** The engine has kept one, or tells why not. */
  answer(id: number, error?: VoxrelayError): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (error) asked?.reject(error);
    else asked?.resolve();
  }

  /** Nobody answers any more. */
  end(): void {
    for (const { reject } of this.#asked.values()) reject(callOver());
    this.#asked.clear();
  }
}
