// @ts-check
// The network between browser and relay: carries bytes, and on command falls silent, or cuts. Notes every WebSocket frame.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * A WebSocket frame that went by.
 * @typedef {object} Frame
 * @property {number} time `Date.now()` when its last byte was here.
 * @property {"up" | "down"} direction From the browser, or to it.
 * @property {number} opcode 1 text, 2 binary, 8 close.
 * @property {number} length Bytes of payload.
 * @property {number} connection Counts the connections of this proxy.
 * @property {number} position Of an audio frame: the place of its first sample.
 * @property {string | undefined} type Of a control message: what it is.
 */

/** Where the header of an audio frame says its position: docs/protocol.md. */
const POSITION = 8;
/** Which of a frame is looked at: the header of audio, and the type of a control message, which comes first in it. */
const LOOKED_AT_BYTES = 40;
const TYPE = /^\{"type":"(\w+)"/;

/** @typedef {{ browser: import("node:net").Socket, relay: import("node:net").Socket, connection: number }} Pair */

export class Proxy {
  /** @type {Frame[]} */
  frames = [];
  connections = 0;
  #frozen = false;
  /** @type {Set<Pair>} */
  #pairs = new Set();

  /** @param {number} target Port of the relay. @param {string} host */
  constructor(target, host) {
    this.target = target;
    this.host = host;
    this.port = 0;
    this.server = createServer((browser) => this.#accept(browser));
  }

  /** @param {number} target Port of the relay on this machine. @param {string} [host] Where it listens. */
  static async start(target, host = "127.0.0.1") {
    const proxy = new Proxy(target, host);
    proxy.server.listen(0, host);
    await once(proxy.server, "listening");
    const address = proxy.server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy has no port");
    proxy.port = address.port;
    return proxy;
  }

  /** Where the browser finds the relay. */
  get url() {
    return `http://${this.host}:${this.port}`;
  }

  /** Half-open silence: nothing goes through either way, no socket is told. What is sent waits in the system's buffers. */
  freeze() {
    this.#frozen = true;
    for (const { browser, relay } of this.#pairs) for (const socket of [browser, relay]) socket.pause();
  }

  /** The network is back. What waited arrives, as TCP's repetitions would bring it. */
  thaw() {
    this.#frozen = false;
    for (const { browser, relay } of this.#pairs) for (const socket of [browser, relay]) socket.resume();
  }

  /** The WebSockets that are open stay so, and nothing of them goes through any more; what else there is does. So does a network after a sleep. */
  forget() {
    const sockets = new Set(this.frames.map(({ connection }) => connection));
    for (const { browser, relay, connection } of this.#pairs) if (sockets.has(connection)) for (const socket of [browser, relay]) socket.pause();
  }

  /** Cuts every connection without a word of WebSocket: what was on its way is lost. */
  drop() {
    for (const { browser, relay } of this.#pairs) for (const socket of [browser, relay]) socket.resetAndDestroy();
  }

  /** Audio frames from the browser that were here in `[from, to]`, times of `Date.now()`. @param {number} from @param {number} to */
  audioUp(from = 0, to = Infinity) {
    return this.frames.filter(
      (frame) => frame.direction === "up" && frame.opcode === 2 && frame.time >= from && frame.time <= to,
    );
  }

  async stop() {
    this.server.close();
    for (const { browser, relay } of this.#pairs) for (const socket of [browser, relay]) socket.destroy();
  }

  /** @param {import("node:net").Socket} browser */
  #accept(browser) {
    const connection = this.connections++;
    const relay = connect(this.target, "127.0.0.1");
    const pair = { browser, relay, connection };
    this.#pairs.add(pair);
    for (const [from, to, direction] of /** @type {const} */ ([[browser, relay, "up"], [relay, browser, "down"]])) {
      from.setNoDelay();
      const reader = frameReader((opcode, length, position, type) =>
        this.frames.push({ time: Date.now(), direction, opcode, length, connection, position, type }),
      );
      from.on("data", (bytes) => {
        reader(bytes);
        to.write(bytes);
      });
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#pairs.delete(pair);
        to.destroySoon();
      });
      if (this.#frozen) from.pause();
    }
  }
}

/**
 * Reads the frames of one direction of a connection, if it becomes a WebSocket.
 * @param {(opcode: number, length: number, position: number, type: string | undefined) => void} onFrame
 */
function frameReader(onFrame) {
  let waiting = Buffer.alloc(0);
  let isUpgrade = false;
  let isWebSocket = false;
  /** @param {Buffer} bytes */
  return (bytes) => {
    waiting = Buffer.concat([waiting, bytes]);
    if (!isWebSocket) {
      const end = waiting.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = waiting.toString("latin1", 0, end);
      isUpgrade = /^upgrade: websocket/im.test(head) && !/^HTTP\/1\.1 (?!101)/.test(head);
      waiting = isUpgrade ? waiting.subarray(end + 4) : Buffer.alloc(0);
      isWebSocket = isUpgrade;
      if (!isWebSocket) return;
    }
    for (;;) {
      if (waiting.length < 2) return;
      const masked = (waiting[1] & 0x80) !== 0;
      let length = waiting[1] & 0x7f;
      let head = 2;
      if (length === 126) {
        if (waiting.length < 4) return;
        length = waiting.readUInt16BE(2);
        head = 4;
      } else if (length === 127) {
        if (waiting.length < 10) return;
        length = Number(waiting.readBigUInt64BE(2));
        head = 10;
      }
      if (masked) head += 4;
      if (waiting.length < head + length) return;
      const begin = Buffer.from(waiting.subarray(head, head + Math.min(length, LOOKED_AT_BYTES)));
      if (masked) for (const [i, byte] of begin.entries()) begin[i] = byte ^ waiting[head - 4 + (i % 4)];
      const opcode = waiting[0] & 0x0f;
      const type = opcode === 1 ? TYPE.exec(begin.toString("latin1"))?.[1] : undefined;
      onFrame(opcode, length, begin.length < POSITION + 4 ? 0 : begin.readUInt32LE(POSITION), type);
      waiting = waiting.subarray(head + length);
    }
  };
}
