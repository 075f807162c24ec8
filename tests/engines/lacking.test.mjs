// @ts-check
// In every engine, what a browser, a machine or a line lacks, taken from the page by the test: the call says so by its code, and is made once it is there.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { PageServer } from "../browser/support/page-server.mjs";
import { warned } from "../browser/support/quality.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { TestCall } from "../browser/support/test-call.mjs";

/** What becomes of a spoken call that is made now, in words. @param {import("../browser/support/engines.mjs").Tab} tab @returns {Promise<string>} */
const outcome = (tab) => tab.evaluate(() => /** @type {any} */ (globalThis).harness.start({}).then(() => "connected", String), undefined);

/** Waits until more of the user is metered. @param {TestCall} call */
async function isHeard(call) {
  const { length } = await call.noted();
  await call.hears(({ name, event }) => name === "usage" && event.audioMs > 0, length);
}

describe("what is lacking", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const name of ENGINES) {
    test(`WebAssembly: no engine starts, which is said, and nobody is billed, in ${name}`, async () => {
      const { tab, relay } = await openPage(stage, name);
      await tab.evaluate(() => void Reflect.deleteProperty(globalThis, "WebAssembly"), undefined);
      assert.match(await outcome(tab), /engine_unavailable: .*WebAssembly/);
      assert.deepEqual(relay.sessions(), []);
    });

    test(`AudioWorklet: a call in writing says so and is answered, and a spoken one is refused, in ${name}`, async () => {
      const { call, tab, relay, tracks } = await openPage(stage, name);
      await tab.evaluate(() => {
        Reflect.deleteProperty(globalThis, "AudioWorkletNode");
        Reflect.deleteProperty(BaseAudioContext.prototype, "audioWorklet");
      }, undefined);
      await call.start({ microphone: false });
      await call.hears(({ name, event }) => name === "error" && event.code === "audio_unavailable");
      assert.equal(await call.say("sendText", "Is there a table at eight?"), "taken");
      await call.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
      await call.close();
      assert.match(await outcome(tab), /audio_unavailable/);
      assert.equal(await tracks.live(), 0);
      assert.equal(relay.sessions().length, 1, "nobody is billed for a call that cannot be spoken");
    });

    test(`a microphone that is free: it is told as busy, nobody is billed, and the next call has it, in ${name}`, async () => {
      const { call, tab, relay } = await openPage(stage, name);
      await tab.evaluate(() => {
        const { mediaDevices } = navigator;
        const ask = mediaDevices.getUserMedia.bind(mediaDevices);
        mediaDevices.getUserMedia = async () => {
          mediaDevices.getUserMedia = ask;
          throw new DOMException("another program has it", "NotReadableError");
        };
      }, undefined);
      assert.match(await outcome(tab), /microphone_busy/);
      assert.deepEqual(relay.sessions(), []);
      await call.start();
      await isHeard(call);
      await call.close();
    });

    test(`a line that takes anything: words that wait are warned of, and no more when they have got through, in ${name}`, async () => {
      const { call, proxy } = await openPage(stage, name);
      await call.start();
      await isHeard(call);
      proxy.freeze();
      await warned(call, "uplink-backlog", true, 20_000);
      proxy.thaw();
      await warned(call, "uplink-backlog", false, 40_000);
      assert.deepEqual((await call.noted()).filter(({ name }) => name === "gap"), []);
      await call.close();
    });

    test(`other origins: a page that is isolated from them calls with its engine in a Worker, in ${name}`, async (t) => {
      const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
      const { call, tab } = await openPage(stage, name, { headers });
      t.diagnostic(`${name} says crossOriginIsolated: ${await tab.evaluate(() => crossOriginIsolated, undefined)}`);
      assert.equal((await call.start()).engine, "worker");
      await isHeard(call);
      await call.close();
    });
  }

  // WebKit's driver runs scripts in one tab at a time.
  for (const name of ENGINES.filter((engine) => engine !== "webkit")) {
    test(`the page to oneself: of calls in two tabs one is hung up, and the other one goes on, in ${name}`, async () => {
      const { call: first, engine, proxy, relay } = await openPage(stage, name);
      const tab = await engine.open(proxy.url + PageServer.path);
      await tab.click();
      const second = new TestCall(tab);
      const sessions = [await first.start(), await second.start()].map(({ sessionId }) => sessionId);
      await first.close();
      await isHeard(second);
      await relay.endedSession();
      const states = new Map(relay.sessions().map(({ id, state }) => [id, state]));
      assert.deepEqual(sessions.map((id) => states.get(id)), ["ended", "live"]);
      await second.close();
    });
  }
});
