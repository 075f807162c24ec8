// @ts-check
// In every engine: what did not load is asked for again, also where the browser remembers that an address did not load.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";

/** Less than the 10 s after which the engine gives up a connection of which it hears nothing. */
const TOLD_WITHIN_MS = 8_000;

describe("a file that did not load", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const name of ENGINES) {
    test(`of the element is there at the next attempt, in ${name}`, async () => {
      const { tab, server } = await openPage(stage, name);
      const file = "/sdk/element-call.js";
      server.fail(file);
      /** Makes a call by the page's one element, and hangs up. @returns {Promise<string>} What came of it. */
      const call = () =>
        tab.evaluate(async (sdk) => {
          await import(sdk);
          const there = /** @type {any} */ (document.querySelector("voice-call"));
          const element = there ?? document.body.appendChild(document.createElement("voice-call"));
          element.mode = "text";
          element.token = async () => (await fetch("/dev/token")).text();
          try {
            await element.connect();
            await element.close();
            return "up";
          } catch (thrown) {
            const { code, message } = /** @type {any} */ (thrown);
            return `${code}: ${message}`;
          }
        }, "/sdk/element.js");
      assert.match(await call(), /^engine_unavailable: element-call\.js did not load/);
      assert.equal(await call(), "up");
      assert.equal(server.asked.filter((path) => path === file).length, 2);
    });

    test(`of the engine is there at the next attempt, in ${name}`, async () => {
      const { tab, server } = await openPage(stage, name);
      /** Makes a call of the module, and hangs up. @returns {Promise<string>} What came of it. */
      const call = () =>
        tab.evaluate(async (sdk) => {
          const { VoiceClient } = await import(sdk);
          try {
            const made = await VoiceClient.connect({ url: "/v1/call", token: async () => (await fetch("/dev/token")).text(), microphone: false });
            await made.close();
            return made.engine;
          } catch (thrown) {
            return String(/** @type {any} */ (thrown).code);
          }
        }, "/sdk/index.js");
      for (const file of ["/sdk/worker.js", "/sdk/voxrelay.wasm"]) {
        server.fail(file);
        assert.equal(await call(), "engine_unavailable", file);
      }
      assert.equal(await call(), "worker");
    });

    test(`of the engine is waited for while it moves, and given up when it stands still, in ${name}`, async () => {
      const { tab, server } = await openPage(stage, name);
      const file = "/sdk/voxrelay.wasm";
      /** Makes a call of the module, on whose page time passes six times as fast, and hangs up. @returns {Promise<string>} What came of it. */
      const call = () =>
        tab.evaluate(async (sdk) => {
          const { VoiceClient } = await import(sdk);
          const { timeout } = AbortSignal;
          AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 6);
          try {
            const made = await VoiceClient.connect({ url: "/v1/call", token: async () => (await fetch("/dev/token")).text(), microphone: false });
            await made.close();
            return made.engine;
          } catch (thrown) {
            const { code, message, retryable } = /** @type {any} */ (thrown);
            return `${code}, ${retryable}: ${message}`;
          } finally {
            AbortSignal.timeout = timeout;
          }
        }, "/sdk/index.js");
      server.drip(file, { pieces: 8, everyMs: 0, sent: 4 });
      const begin = Date.now();
      assert.match(await call(), /^engine_unavailable, true: .*Timeout/);
      // It is given up after 5 s, and no longer fetched.
      assert.ok(Date.now() - begin < 15_000);
      await until("the browser fetches it no more", () => server.givenUp.includes(file));
      server.drip(file, { pieces: 8, everyMs: 1_200 });
      const slow = Date.now();
      assert.equal(await call(), "worker");
      assert.ok(Date.now() - slow > 8 * 1_200, "it took longer than it may be silent");
    });

    test(`of the worklet is there at the next call in the same audio context, in ${name}`, async () => {
      const { tab, server } = await openPage(stage, name);
      // By an address of its own, which only the audio context asks for: the page has the glue by then, and the Worker is asked for without it.
      const address = "/sdk/worker.js?worklet";
      let asked = 0;
      server.server.prependListener("request", ({ url }) => {
        if (url === address && ++asked === 1) server.fail("/sdk/worker.js");
      });
      const results = await tab.evaluate(
        async ({ sdk, workletUrl }) => {
          const { VoiceClient } = await import(sdk);
          await VoiceClient.preload();
          const audioContext = new AudioContext();
          const results = [];
          for (let calls = 0; calls < 2; calls++) {
            const options = { url: "/v1/call", audioContext, workletUrl, token: async () => (await fetch("/dev/token")).text() };
            const made = VoiceClient.connect(options).then((/** @type {any} */ call) => call.close());
            results.push(
              await made.then(
                () => "up",
                (/** @type {any} */ { code, message }) => (code === "audio_unavailable" ? code : `${code}: ${message}`),
              ),
            );
          }
          await audioContext.close();
          return results;
        },
        { sdk: "/sdk/index.js", workletUrl: address },
      );
      assert.deepEqual([results, asked], [["audio_unavailable", "up"], 2]);
    });

    test(`of what comes later is there at the next attempt, in ${name}`, async () => {
      const { tab, server } = await openPage(stage, name);
      const file = "/sdk/later.js";
      server.fail(file);
      // The call asks for it, too, to measure the line: whoever is first gets the error.
      const sent = await tab.evaluate(async (sdk) => {
        const { VoiceClient } = await import(sdk);
        const made = await VoiceClient.connect({ url: "/v1/call", token: async () => (await fetch("/dev/token")).text(), microphone: false });
        let attempts = 0;
        let isSent = false;
        while (!isSent && attempts++ < 3) {
          isSent = await made.feedback({ rating: 5 }).then(
            () => true,
            () => false,
          );
        }
        await made.close();
        return isSent;
      }, "/sdk/index.js");
      assert.ok(sent);
      assert.equal(server.asked.filter((path) => path === file).length, 2);
    });

    test(`of a call over HTTP is there at the next attempt, in ${name}`, async () => {
      const { call, server } = await openPage(stage, name);
      const file = "/sdk/http.js";
      server.fail(file);
      const asked = () => server.asked.filter((path) => path === file).length;
      const starting = call.start({ microphone: false, transport: "http" });
      await until("it is asked for", () => asked() === 1);
      await until("the engine is told that none came, and it is asked for again", () => asked() === 2, TOLD_WITHIN_MS);
      await starting;
      await call.hangUp();
    });
  }
});
