// @ts-check
// A browser hides why a WebSocket could not be opened. The SDK says it all the same, and does not try for half a minute what cannot work.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/** Whatever is tried in vain is given up after 30 s. */
const AT_ONCE_MS = 15_000;

describe("a call that the relay would never take", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /**
   * Calls `url` and is refused at once.
   * @param {TestPage} page
   * @param {string} url
   * @param {RegExp} words
   */
  async function isRefused(page, url, words) {
    const begin = Date.now();
    await assert.rejects(page.start({ url }), words);
    assert.ok(Date.now() - begin < AT_ONCE_MS, `after ${Date.now() - begin} ms`);
    const noted = await page.noted();
    const errors = noted.filter(({ name }) => name === "error").map(({ event }) => event);
    assert.deepEqual(errors.map(({ retryable }) => retryable), [false], JSON.stringify(errors));
    return noted.filter(({ name }) => name === "ended").map(({ event }) => event.code);
  }

  test("from an origin that is not listed, under the policy that the README has", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const host = `127.0.0.1:${relay.port}`;
    const policy =
      `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' http://${host} ws://${host}`;
    // The same relay under another name: another origin.
    const page = await TestPage.open(browser, `http://localhost:${relay.port}`, { policy });
    /** @type {string[]} */
    const complaints = [];
    page.page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) complaints.push(message.text());
    });
    const ended = await isRefused(page, `ws://${host}/v1/call`, /origin_refused: Pages of this origin may not call this relay/);
    assert.deepEqual(ended, [4403]);
    assert.deepEqual(complaints, []);
    assert.deepEqual(relay.sessions(), []);
  });

  test("from the relay's own origin, where that is not listed", async () => {
    const relay = await Relay.start({ VOXRELAY_ORIGINS: "https://app.example.com" });
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    const url = `ws://127.0.0.1:${relay.port}/v1/call`;
    assert.deepEqual(await isRefused(page, url, /origin_refused: /), [4403]);
  });

  test("at another path of the relay, and at an address that sends elsewhere or is a web page", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const other = createServer(({ url }, response) => {
      const headers = { "access-control-allow-origin": "*", location: "/" };
      response.writeHead(url === "/moved" ? 301 : 200, headers).end("<!doctype html>".repeat(10_000));
    });
    other.on("upgrade", (_, socket) => socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"));
    await new Promise((resolve) => other.listen(0, "127.0.0.1", () => resolve(undefined)));
    stage.after(() => void other.close());
    const { port } = /** @type {import("node:net").AddressInfo} */ (other.address());
    const browser = await launch(stage);
    for (const [url, status] of [
      [`ws://127.0.0.1:${relay.port}/v1/cal`, 404],
      [`ws://127.0.0.1:${port}/moved`, 302],
      [`ws://127.0.0.1:${port}/v1/call`, 200],
    ]) {
      const page = await TestPage.open(browser, `http://localhost:${relay.port}`);
      const words = new RegExp(`no_relay: There is no relay at this address.* status ${status}\\.`);
      assert.deepEqual(await isRefused(page, String(url), words), [4404]);
    }
  });
});
