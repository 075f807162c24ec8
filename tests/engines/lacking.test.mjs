// @ts-check
// In every engine, what a browser, a machine or a line lacks, taken from the page by the test: the call says so by its code, and is made once it is there.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { PageServer } from "../browser/support/page-server.mjs";
import { warned } from "../browser/support/quality.mjs";
import { until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { TestCall } from "../browser/support/test-call.mjs";

/** What becomes of a spoken call that is made now, in words. @param {import("../browser/support/engines.mjs").Tab} tab @returns {Promise<string>} */
const outcome = (tab) => tab.evaluate(() => /** @type {any} */ (globalThis).harness.start({}).then(() => "connected", String), undefined);

/** What a browser throws when it gives no microphone, by why, and what the call makes of it. */
const REFUSALS = /** @type {const} */ ([
  ["a microphone that is free", "NotReadableError", "microphone_busy"],
  ["a user who allows the microphone", "NotAllowedError", "microphone_denied"],
]);

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

    for (const [what, thrown, code] of REFUSALS) {
      test(`${what}: it is told as ${code}, nobody is billed, and the next call has it, in ${name}`, async () => {
        const { call, tab, relay } = await openPage(stage, name);
        await tab.evaluate((/** @type {string} */ kind) => {
          const { mediaDevices } = navigator;
          const ask = mediaDevices.getUserMedia.bind(mediaDevices);
          mediaDevices.getUserMedia = async () => {
            mediaDevices.getUserMedia = ask;
            throw new DOMException("it cannot be had", kind);
          };
        }, thrown);
        assert.match(await outcome(tab), new RegExp(code));
        assert.deepEqual(relay.sessions(), []);
        await call.start();
        await isHeard(call);
        await call.close();
      });
    }

    test(`a microphone that the user takes back within the call: it is told once as refused, the call goes on, and it is heard once it is allowed again, in ${name}`, async () => {
      const { call, tab, relay, proxy, tracks } = await openPage(stage, name);
      // As browsers do: the track ends, and whoever asks again is refused.
      await tab.evaluate(() => {
        const { mediaDevices } = navigator;
        const ask = mediaDevices.getUserMedia.bind(mediaDevices);
        /** @type {MediaStreamTrack[]} */
        const given = [];
        mediaDevices.getUserMedia = async (constraints) => {
          const stream = await ask(constraints);
          given.push(...stream.getTracks());
          return stream;
        };
        const allowed = mediaDevices.getUserMedia;
        const allow = (/** @type {boolean} */ isAllowed) => {
          mediaDevices.getUserMedia = isAllowed ? allowed : () => Promise.reject(new DOMException("it is not allowed", "NotAllowedError"));
          for (const track of isAllowed ? [] : given) {
            track.stop();
            track.dispatchEvent(new Event("ended"));
          }
        };
        Object.assign(globalThis, { allow });
      }, undefined);
      const allow = (/** @type {boolean} */ isAllowed) => tab.evaluate((value) => void (/** @type {any} */ (globalThis).allow(value)), isAllowed);
      await call.start();
      await isHeard(call);
      const { length } = await call.noted();
      await allow(false);
      await call.hears(({ name, event }) => name === "microphone" && !event.live, length);
      await call.hears(({ name, event }) => name === "error" && event.code === "microphone_denied", length);
      // A microphone that gives nothing is told of after 3 s, if nothing is known of it.
      await sleep(5_000);
      const errors = (await call.noted()).slice(length).filter(({ name }) => name === "error");
      assert.deepEqual(errors.map(({ event }) => event.code), ["microphone_denied"]);
      assert.equal(relay.sessions()[0]?.state, "live");
      await allow(true);
      await call.setMicrophone();
      assert.equal(await tracks.live(), 1);
      const from = Date.now();
      await until("it is heard", () => proxy.audioUp(from).length > 10);
      await call.close();
    });

    test(`any sound in the microphone: it is told as silent, and no more once there is some, in ${name}`, async () => {
      const { call, tab } = await openPage(stage, name);
      // The microphone is open, and zeros come in the place of what it gives.
      await tab.evaluate(() => {
        AudioContext.prototype.createMediaStreamSource = function () {
          const heard = new GainNode(this);
          const nothing = new ConstantSourceNode(this, { offset: 0 });
          nothing.connect(heard);
          nothing.start();
          Object.assign(globalThis, {
            sound: () => {
              const tone = new OscillatorNode(this);
              tone.connect(new GainNode(this, { gain: 0.1 })).connect(heard);
              tone.start();
            },
          });
          return /** @type {any} */ (heard);
        };
      }, undefined);
      await call.start();
      await call.hears(({ name, event }) => name === "error" && event.code === "microphone_silent");
      assert.equal(await call.trouble(), "microphone_silent");
      await tab.evaluate(() => void (/** @type {any} */ (globalThis).sound()), undefined);
      await until("it is heard", async () => (await call.trouble()) === undefined);
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
