import { inOrder } from "./in-order.js";

/**
 * Keeps the screen on: a phone that goes to sleep takes the microphone with it. A browser that cannot, or may not with this battery or in this
 * frame, is left alone.
 */
export class Awake {
  #isWanted = false;
  #lock: WakeLockSentinel | undefined;
  /** Changes are made one after the other, so that nothing is held that nobody wants any more. */
  readonly #next = inOrder();

  /** Asks for it, also when the browser has taken it back, as it does from a page that is hidden; or gives it back. */
  want(isWanted: boolean): void {
    this.#isWanted = isWanted;
    this.#next(async () => {
      const lock = this.#lock;
      if (!this.#isWanted) {
        this.#lock = undefined;
        await lock?.release();
      } else if (lock?.released !== false) this.#lock = await navigator.wakeLock?.request("screen");
    }).catch(() => undefined);
  }
}
