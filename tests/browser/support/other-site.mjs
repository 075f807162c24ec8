// @ts-check
// A page of another site than the relay's.

import { once } from "node:events";
import { createServer } from "node:http";

/**
 * Serves a page until the stage is cleared.
 * @param {import("./stage.mjs").Stage} stage
 * @param {() => { headers: Record<string, string>, body: string }} page What is answered, as soon as it is asked for.
 * @param {string} [host] By what name it is reached.
 * @returns {Promise<string>} Its origin.
 */
export async function otherSite(stage, page, host = "127.0.0.1") {
  const server = createServer((_, answer) => {
    const { headers, body } = page();
    answer.writeHead(200, { "content-type": "text/html", ...headers }).end(body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.after(() => server.close());
  return `http://${host}:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
}
