import { callOver } from "./error.js";
import type { VoxrelayError } from "./error.js";

/** Messages that the engine has not answered yet, by their numbers. */
export class Messages {
  /** What becomes of the promise of each. */
  readonly #asked = new Map<number, (refused?: VoxrelayError) => void>();
  #last = 0;

  /** Hands one over, by `send`; resolves when it is kept. */
  ask(send: (id: number) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#asked.set(++this.#last, (refused) => (refused ? reject(refused) : resolve()));
      send(this.#last);
    });
  }

  /** The engine has kept one, or tells why not. */
  answer(id: number, refused?: VoxrelayError): void {
    this.#asked.get(id)?.(refused);
    this.#asked.delete(id);
  }

  /** Nobody answers any more. */
  end(): void {
    for (const id of this.#asked.keys()) this.answer(id, callOver());
  }
}
