// @ts-check
// A line to the relay that carries so many bytes a second in each direction, or carries them late.

import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Bytes are let through in so many portions a second. */
const PORTIONS = 20;

export class SlowLine {
  port = 0;
  /** @type {Set<import("node:net").Socket>} */
  #sockets = new Set();

  /**
   * @param {number} target Port of the relay.
   * @param {number} perSecond Bytes in each direction.
   * @param {number} delayMs How much later they get there; may be changed.
   */
  constructor(target, perSecond, delayMs) {
    this.portion = Math.ceil(perSecond / PORTIONS);
    this.delayMs = delayMs;
    this.server = createServer((browser) => {
      const relay = connect(target, "127.0.0.1");
      for (const [from, to] of [[browser, relay], [relay, browser]]) {
        this.#sockets.add(from);
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.pause();
        void this.#carry(from, to);
      }
    });
  }

  /** @param {number} target Port of the relay on this machine. @param {number} perSecond @param {number} [delayMs] */
  static async start(target, perSecond, delayMs = 0) {
    const line = new SlowLine(target, perSecond, delayMs);
    line.server.listen(0, "127.0.0.1");
    await once(line.server, "listening");
    line.port = /** @type {import("node:net").AddressInfo} */ (line.server.address()).port;
    return line;
  }

  stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** @param {import("node:net").Socket} from @param {import("node:net").Socket} to */
  async #carry(from, to) {
    let sent = Promise.resolve();
    while (!from.destroyed && !to.destroyed) {
      const bytes = from.read(Math.min(this.portion, from.readableLength || this.portion)) ?? from.read();
      // In order, also when the delay is less than it was.
      if (bytes) sent = Promise.all([sent, sleep(this.delayMs)]).then(() => void to.write(bytes));
      await sleep(1_000 / PORTIONS);
    }
  }
}
