// @ts-check
// Deepgram's official client at the fakes.

import { DeepgramClient } from "@deepgram/sdk";

const WAIT_MS = 60_000;

/** @param {import("./fakes.mjs").Fakes} fakes @param {string} [apiKey] */
export function client(fakes, apiKey = fakes.key) {
  const ws = `ws://${fakes.host}`;
  return new DeepgramClient({
    apiKey,
    environment: { base: fakes.url, production: ws, agent: ws, agentRest: fakes.url },
  });
}

/** A connection of the client, with everything that came over it. */
export class Connection {
  /** @type {any[]} Messages, and sound as `ArrayBuffer` or `Blob`. */
  came = [];
  /** @type {{ code: number, reason: string } | undefined} */
  closed;
  /** @type {Error[]} */
  errors = [];

  /** @param {any} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on("message", (/** @type {any} */ message) => this.came.push(message));
    socket.on("close", (/** @type {any} */ event) => (this.closed ??= { code: event.code, reason: String(event.reason ?? "") }));
    socket.on("error", (/** @type {Error} */ error) => this.errors.push(error));
  }

  /** @param {any} socket Not connected yet. */
  static async open(socket) {
    const connection = new Connection(socket);
    socket.connect();
    await socket.waitForOpen();
    return connection;
  }

  /** The messages of a type. @param {string} type @returns {any[]} */
  of(type) {
    return this.came.filter((message) => message?.type === type);
  }

  /** The first message for which it holds. @param {(message: any) => boolean} holds @returns {Promise<any>} */
  async until(holds) {
    return this.#poll("a message", () => this.came.find(holds));
  }

  /** @returns {Promise<{ code: number, reason: string }>} */
  async end() {
    return this.#poll("the close", () => this.closed);
  }

  /** @template T @param {string} what @param {() => T | undefined} look @returns {Promise<T>} */
  async #poll(what, look) {
    const end = Date.now() + WAIT_MS;
    while (Date.now() < end) {
      const found = look();
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`${what} does not come; there were ${JSON.stringify(this.came)} ${this.errors}`);
  }
}
