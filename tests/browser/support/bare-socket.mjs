// @ts-check
// A WebSocket server that takes whatever comes, and says nothing.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

/** Of the WebSocket protocol itself, RFC 6455. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Starts it on a free port. @param {import("./stage.mjs").Stage} stage Ends it when the test is over. @returns {Promise<number>} */
export async function bareSocket(stage) {
  const server = createServer();
  server.on("upgrade", (asked, socket) => {
    const accept = createHash("sha1").update(`${asked.headers["sec-websocket-key"]}${GUID}`).digest("base64");
    socket.on("error", () => socket.destroy());
    stage.after(() => socket.destroy());
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.after(() => server.close());
  return /** @type {import("node:net").AddressInfo} */ (server.address()).port;
}
