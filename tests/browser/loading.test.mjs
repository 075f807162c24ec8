// @ts-check
// The module by itself, as a page with an import map has it: it fetches the two files beside it, and one that did not come is asked for again.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { launch } from "./support/chromium.mjs";
import { openPage } from "./support/engines.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/** The files that `cargo xtask size` counts, by the way of loading. @type {Map<string, string[]>} */
const COUNTED = new Map();
for (const [, way, names] of readFileSync(new URL("../../xtask/src/size.rs", import.meta.url), "utf8").matchAll(/^ {4}\("([^"]+)", &\[([^\]]+)\]\),$/gm)) {
  COUNTED.set(way, [...names.matchAll(/"([^"]+)"/g)].map(([, name]) => name));
}

describe("the module and the files beside it", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("what is fetched before the first word can be said is what the size is counted of, by either way of loading", async () => {
    assert.deepEqual([...COUNTED.keys()], ["script tag", "ES modules"]);
    for (const [way, names] of COUNTED) {
      const { tab, server } = await openPage(stage, "chromium");
      const isModule = way === "ES modules";
      // The page itself has the script tag.
      const before = isModule ? server.asked.length : 0;
      // Microphone, loudspeaker and engine are there when the token is asked for, which does not come: nothing that is fetched later is.
      await tab.evaluate(async (sdk) => {
        const { VoiceClient } = sdk ? await import(sdk) : Reflect.get(globalThis, "Voxrelay");
        await new Promise((asked, failed) => {
          const token = () => new Promise(() => asked(undefined));
          VoiceClient.connect({ url: "/v1/call", token }).catch(failed);
        });
      }, isModule ? "/sdk/index.js" : "");
      const fetched = server.asked.slice(before).filter((path) => path.startsWith("/sdk/"));
      assert.deepEqual([...new Set(fetched)].sort(), names.map((name) => `/sdk/${name}`).sort(), way);
    }
  });

  test("a worker.js that does not come, or is of another version, is told in words, and the next call has it", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const { page } = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
    const token = relay.token("alice");
    /** Makes a call and hangs up. @returns {Promise<string>} Where its engine ran, or what went wrong. */
    const call = () =>
      page.evaluate(async (secret) => {
        const address = "/sdk/index.js";
        const { VoiceClient } = await import(address);
        try {
          const made = await VoiceClient.connect({ url: "/v1/call", token: () => secret, microphone: false });
          await made.close();
          return made.engine;
        } catch (thrown) {
          const { code, message } = /** @type {any} */ (thrown);
          return `${code}: ${message}`;
        }
      }, token);
    /** @type {((route: import("playwright-core").Route) => Promise<void>)[]} */
    const answers = [
      (route) => route.abort(),
      (route) => route.fulfill({ contentType: "text/javascript", body: `globalThis[Symbol.for("voxrelay 0.0.0")] = {};` }),
    ];
    await page.route("**/sdk/worker.js", (route) => (answers.shift() ?? ((same) => same.continue()))(route));
    assert.match(await call(), /^engine_unavailable: .+worker\.js/);
    assert.match(await call(), /^engine_unavailable: .+worker\.js is of another version/);
    assert.equal(await call(), "worker");
  });

  test("a worklet that did not load is there at the next call in the same audio context, and one that is loaded twice plays all the same", async () => {
    const { tab, server } = await openPage(stage, "chromium");
    // What the page has already is asked for once more by the audio context.
    let isFailing = true;
    server.server.prependListener("request", (asked) => {
      if (isFailing && asked.headers["sec-fetch-dest"] === "audioworklet") server.fail("/sdk/worker.js");
      if (asked.headers["sec-fetch-dest"] === "audioworklet") isFailing = false;
    });
    const results = await tab.evaluate(async (sdk) => {
      const { VoiceClient } = await import(sdk);
      const audioContext = new AudioContext();
      const call = () =>
        VoiceClient.connect({ url: "/v1/call", audioContext, workletUrl: "/sdk/worker.js", token: async () => (await fetch("/dev/token")).text() }).then(
          (/** @type {any} */ made) => made.close().then(() => "up"),
          (/** @type {any} */ { code, retryable }) => `${code}, ${retryable}`,
        );
      await VoiceClient.preload({ workletUrl: "/sdk/worker.js" });
      const results = [];
      for (let calls = 0; calls < 2; calls++) results.push(await call());
      await audioContext.audioWorklet.addModule("/sdk/worker.js#again");
      results.push(await call());
      return results;
    }, "/sdk/index.js");
    assert.deepEqual(results, ["audio_unavailable, true", "up", "up"]);
    assert.ok(!isFailing);
  });

  test("an engine's file that comes slowly is waited for, and the engine runs in a Worker all the same", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const page = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
    await page.page.route("**/voxrelay.wasm", async (route) => {
      // Longer than a Worker is waited for that does not start.
      await sleep(7_000);
      await route.continue();
    });
    assert.equal((await page.start()).engine, "worker");
    await page.close();
    assert.deepEqual((await page.noted()).filter(({ name }) => name === "error"), []);
  });
});
