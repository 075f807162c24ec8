// @ts-check
// An engine that breaks says in words what broke it.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

describe("an engine that breaks", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("tells the page what panicked, and where, by its port and by whoever called it", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const { page } = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    const [report, answer] = await page.evaluate(async () => {
      const module = await WebAssembly.compileStreaming(fetch("/sdk/voxrelay.wasm"));
      const { port1, port2 } = new MessageChannel();
      const worker = new Worker("/sdk/voxrelay.js");
      const report = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
      const answer = new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
      // Settings of no version that there is.
      worker.postMessage({ voxrelay: "engine", module, settings: { url: 7 }, port: port2 }, [port2]);
      return Promise.all([report, answer]);
    });
    const words = /panicked at sdk-wasm\/src\/engine\/mod\.rs:\d+:\d+:\s.*the TypeScript around the engine is of its version/;
    assert.match(String(answer), words);
    const { type, cause } = JSON.parse(String(report));
    assert.equal(type, "broke");
    assert.match(cause, words);
  });
});
