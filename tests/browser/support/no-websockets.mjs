// @ts-check
// A network that lets plain requests through and no WebSocket, as many in companies and hotels do.

import { once } from "node:events";
import { createHash } from "node:crypto";
import { createServer, request } from "node:http";

export class NoWebSockets {
  port = 0;
  /** WebSockets that were asked for. */
  refused = 0;
  /** Requests that went through, as `GET /v1/call`, the ids of wires left out. @type {string[]} */
  passed = [];
  /** Where requests that bring messages go from now on, if that is another relay: its port. @type {number | undefined} */
  astray;
  /** @type {Set<import("node:net").Socket>} */
  #sockets = new Set();

  /** @param {number} relay Port of the relay on this machine. @param {"refuses" | "hangs" | "swallows"} how What becomes of a WebSocket: `swallows` opens it, and nothing goes through. */
  constructor(relay, how) {
    this.relay = relay;
    this.server = createServer((asked, answer) => this.#pass(asked, answer));
    this.server.on("upgrade", ({ headers }, socket) => {
      this.refused += 1;
      if (how === "swallows") {
        const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
        const head = `upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\nsec-websocket-protocol: voxrelay.v1`;
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${head}\r\n\r\n`);
        socket.resume();
      }
      if (how === "refuses") socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    this.server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay();
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  /** @param {number} relay @param {"refuses" | "hangs" | "swallows"} [how] */
  static async start(relay, how = "refuses") {
    const network = new NoWebSockets(relay, how);
    network.server.listen(0, "127.0.0.1");
    await once(network.server, "listening");
    network.port = /** @type {import("node:net").AddressInfo} */ (network.server.address()).port;
    return network;
  }

  /** Where the browser finds the relay. */
  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Cuts every connection: what was on its way is lost. */
  drop() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** @param {import("node:http").IncomingMessage} asked @param {import("node:http").ServerResponse} answer */
  #pass(asked, answer) {
    const { method, url = "", headers } = asked;
    this.passed.push(`${method} ${url.replace(/http\/.*/, "http/…")}`);
    const port = (method === "POST" && this.astray) || this.relay;
    const passed = request({ host: "127.0.0.1", port, path: url, method, headers });
    passed.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      answer.flushHeaders();
      response.pipe(answer);
      response.on("error", () => answer.destroy());
    });
    passed.on("error", () => answer.destroy());
    // Whoever asked is gone, and the relay is to know.
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }
}
