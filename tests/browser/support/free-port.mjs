// @ts-check
// A port for a server that has to be told one.

import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * A port that nobody listens on, nor gets who asks for any port at all: systems give those from 32,768 on.
 * @returns {Promise<number>}
 */
export async function freePort() {
  const port = randomInt(10_000, 30_000);
  const server = createServer().listen(port, "127.0.0.1");
  const free = await once(server, "listening").then(
    () => true,
    () => false,
  );
  if (!free) return freePort();
  server.close();
  await once(server, "close");
  return port;
}
