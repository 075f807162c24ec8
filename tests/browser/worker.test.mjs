// @ts-check
// Where no Worker starts, the call is made all the same, and whoever made it is told what that costs and why.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { leavesOnly } from "./support/leftovers.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

describe("a page on which no Worker starts", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** @param {{ policy?: string }} [options] */
  async function open(options) {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    return TestPage.open(browser, `http://127.0.0.1:${relay.port}`, options);
  }

  /** The errors that a call told. @param {TestPage} page */
  async function errors(page) {
    return (await page.noted()).filter(({ name }) => name === "error").map(({ event }) => event);
  }

  /** Makes a call that works on the page, and gives why. @param {TestPage} page @param {object} [options] @returns {Promise<string>} */
  async function reason(page, options) {
    assert.equal((await page.start(options)).engine, "page");
    await page.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
    const [error, ...others] = await errors(page);
    assert.equal(error?.code, "worker_unavailable");
    assert.equal(error.retryable, false);
    assert.deepEqual(others, []);
    await page.close();
    return error.message;
  }

  test("a file that is missing, or of another origin, or something else, is told with its reason, and leaves nothing", async () => {
    for (const [workerUrl, cause] of /** @type {const} */ ([
      ["/missing.js", /its file did not load/],
      ["https://elsewhere.example/worker.js", /SecurityError/],
      ["/other.js", /nobody here/],
    ])) {
      const page = await open();
      await page.page.route("**/other.js", (route) =>
        route.fulfill({ contentType: "text/javascript", body: `onmessage = () => postMessage("nobody here");` }),
      );
      assert.match(await reason(page, { workerUrl }), cause);
      if (workerUrl === "/other.js") await leavesOnly(page.page, {});
      await stage.clear();
    }
  });

  test("a policy that forbids Workers is told once, with the reason of each way", async () => {
    const page = await open({ policy: "worker-src 'none'" });
    assert.match(await reason(page), /\(.+, then .+\)/);
  });

  test("a file that does not come is waited for once, whatever other ways there are", async () => {
    const page = await open();
    /** @type {string[]} */
    const asked = [];
    await page.page.route("**/sdk/voxrelay.js", (route) => void asked.push(route.request().url()));
    const message = await reason(page);
    assert.match(message, /in time/);
    assert.doesNotMatch(message, /, then /);
    assert.equal(asked.length, 1);
  });

  test("nobody is told where a Worker runs, or where none is wanted", async () => {
    const page = await open();
    for (const worker of /** @type {const} */ (["auto", "never"])) {
      assert.equal((await page.start({ worker })).engine, worker === "auto" ? "worker" : "page");
      await page.close();
    }
    assert.deepEqual(await errors(page), []);
  });
});
