// @ts-check
// Serves the test page and hands everything else on to the relay, so that any browser finds both under one origin.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { extname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const TYPES = /** @type {Record<string, string>} */ ({ ".html": "text/html", ".js": "text/javascript", ".wav": "audio/wav" });

export class PageServer {
  port = 0;
  /** @type {Set<import("node:net").Socket>} */
  #sockets = new Set();
  /** Files beside the page, by name. @type {Map<string, string>} */
  #files = new Map();
  /** Paths whose next answer is an error. @type {Set<string>} */
  #failing = new Set();
  /** Paths whose next answer comes in so many pieces, one after so many milliseconds, and stands still after as many as are sent. @type {Map<string, { pieces: number, everyMs: number, sent: number }>} */
  #slow = new Map();
  /** The content security policy of the page, if it has one. @type {string | undefined} */
  policy;
  /** Other headers of the page and what lies beside it. @type {Record<string, string>} */
  headers = {};
  /** What was asked for, beside the page. @type {string[]} */
  asked = [];
  /** Answers that the browser did not wait for. @type {string[]} */
  givenUp = [];

  /** @param {number} relay Port of the relay on this machine. */
  constructor(relay) {
    this.relay = relay;
    this.server = createServer((asked, answer) => void this.#serve(asked, answer));
    this.server.on("upgrade", (asked, socket, head) => this.#upgrade(asked, /** @type {any} */ (socket), head));
    this.server.on("connection", (socket) => this.#keep(socket));
  }

  /** @param {number} relay Port of the relay. @param {string} [host] Where it listens. */
  static async start(relay, host = "127.0.0.1") {
    const server = new PageServer(relay);
    server.server.listen(0, host);
    await once(server.server, "listening");
    server.port = /** @type {import("node:net").AddressInfo} */ (server.server.address()).port;
    return server;
  }

  /** Where the page lies, below the origin by which the browser reaches this server. */
  static get path() {
    return "/test/";
  }

  /** Serves a file beside the page. @param {string} name @param {string} path */
  add(name, path) {
    this.#files.set(name, path);
  }

  /** Answers the next request for this path with an error. @param {string} path */
  fail(path) {
    this.#failing.add(path);
  }

  /**
   * Sends the next answer for this path in pieces; with `sent`, it stands still after so many of them.
   * @param {string} path
   * @param {{ pieces: number, everyMs: number, sent?: number }} how
   */
  drip(path, { pieces, everyMs, sent = pieces }) {
    this.#slow.set(path, { pieces, everyMs, sent });
  }

  stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** @param {import("node:http").IncomingMessage} asked @param {import("node:http").ServerResponse} answer */
  async #serve(asked, answer) {
    const { pathname } = new URL(asked.url ?? "/", "http://page");
    if (!pathname.startsWith(PageServer.path)) {
      this.asked.push(pathname);
      if (this.#failing.delete(pathname)) return answer.writeHead(503).end();
      return this.#pass(asked, answer);
    }
    const name = pathname.slice(PageServer.path.length) || "index.html";
    try {
      const body = await readFile(this.#files.get(name) ?? new URL(`./page/${name}`, import.meta.url));
      answer.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream", "cache-control": "no-store", ...this.headers, ...(this.policy ? { "content-security-policy": this.policy } : {}) });
      answer.end(body);
    } catch {
      answer.writeHead(404).end();
    }
  }

  /** The relay is asked as one of its own machine. @param {import("node:http").IncomingMessage} asked @param {import("node:http").ServerResponse} answer */
  #pass(asked, answer) {
    const headers = { ...asked.headers, host: `127.0.0.1:${this.relay}` };
    const passed = request({ host: "127.0.0.1", port: this.relay, path: asked.url, method: asked.method, headers });
    const path = asked.url ?? "";
    answer.on("close", () => {
      if (answer.writableEnded) return;
      this.givenUp.push(path);
      // A stream that the browser has lost is one that the relay has lost, too.
      passed.destroy();
    });
    passed.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.on("error", () => answer.destroy());
      const slow = this.#slow.get(path);
      this.#slow.delete(path);
      if (slow) void drip(response, answer, slow);
      else response.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  }

  /** @param {import("node:http").IncomingMessage} asked @param {import("node:net").Socket} page @param {Buffer} head */
  #upgrade(asked, page, head) {
    const relay = connect(this.relay, "127.0.0.1");
    this.#keep(relay);
    const lines = asked.rawHeaders.reduce((text, part, i) => text + part + (i % 2 ? "\r\n" : ": "), "");
    relay.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${lines}\r\n`);
    relay.write(head);
    for (const [from, to] of [[page, relay], [relay, page]]) {
      from.setNoDelay();
      from.on("error", () => to.destroy());
      // Whoever is cut off says nothing more, so the other is cut off, too.
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
  }

  /** @param {import("node:net").Socket} socket */
  #keep(socket) {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

/**
 * Sends an answer in pieces.
 * @param {import("node:http").IncomingMessage} response
 * @param {import("node:http").ServerResponse} answer
 * @param {{ pieces: number, everyMs: number, sent: number }} how
 */
async function drip(response, answer, { pieces, everyMs, sent }) {
  const body = Buffer.concat(await response.toArray());
  const size = Math.ceil(body.length / pieces);
  for (let piece = 0; piece < sent && !answer.destroyed; piece++) {
    answer.write(body.subarray(piece * size, (piece + 1) * size));
    await sleep(everyMs);
  }
  if (sent === pieces) answer.end();
}
