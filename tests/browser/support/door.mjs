// @ts-check
// The way to a provider: open, closed, or open with nobody behind it.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Door {
  port = 0;
  /** Whether whoever comes in is carried to the provider. */
  #leads = true;
  /** @type {Set<import("node:net").Socket>} */
  #sockets = new Set();

  /** @param {string} host Where the provider is, as `address:port`. */
  constructor(host) {
    const [address, port] = host.split(":");
    this.target = { host: address, port: Number(port) };
    this.server = createServer((socket) => this.#accept(socket));
  }

  /** @param {string} host Where the provider is, as `address:port`. */
  static async start(host) {
    const door = new Door(host);
    await door.#listen();
    return door;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Nobody is there: connections are refused, and those that were made break. */
  async close() {
    const closed = once(this.server, "close");
    this.server.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  /** Half open: connections are taken, and nothing ever comes of them. */
  async mute() {
    this.#leads = false;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** As it should be. What waited in vain breaks. */
  async open() {
    this.#leads = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    if (!this.server.listening) await this.#listen();
  }

  stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #listen() {
    this.server.listen(this.port, "127.0.0.1");
    await once(this.server, "listening");
    this.port = /** @type {import("node:net").AddressInfo} */ (this.server.address()).port;
  }

  /** @param {import("node:net").Socket} socket */
  #accept(socket) {
    const ends = this.#leads ? [socket, connect(this.target)] : [socket];
    for (const [i, end] of ends.entries()) {
      this.#sockets.add(end);
      end.on("error", () => end.destroy());
      end.on("close", () => {
        this.#sockets.delete(end);
        ends[1 - i]?.destroy();
      });
    }
    if (ends.length === 2) socket.setNoDelay().pipe(ends[1].setNoDelay()).pipe(socket);
    else socket.resume();
  }
}
