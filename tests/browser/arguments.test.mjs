// @ts-check
// Options that only a browser can make, and that cannot be meant: refused by name before the microphone is asked for.

import assert from "node:assert/strict";
import { afterEach, after, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

describe("options that cannot be meant", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("are a TypeError that names the option, and nothing is opened for them", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const { page } = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
    const { refused, asked, taken } = await page.evaluate(async () => {
      const { VoiceClient } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));
      const open = new AudioContext();
      const closed = new AudioContext();
      await closed.close();
      const destination = open.createMediaStreamDestination();
      const [track] = destination.stream.getAudioTracks();
      const ended = open.createMediaStreamDestination().stream;
      for (const each of ended.getTracks()) each.stop();
      const video = /** @type {any} */ (document.createElement("canvas")).captureStream();
      const frame = document.body.appendChild(document.createElement("iframe"));
      const foreign = /** @type {any} */ (frame.contentWindow);
      let asked = 0;
      navigator.mediaDevices.getUserMedia = () => {
        asked += 1;
        return Promise.reject(new DOMException("no", "NotAllowedError"));
      };
      /** @param {object} options */
      const connect = async (options) => {
        const call = { url: "/v1/call", token: () => "t", ...options };
        return VoiceClient.connect(/** @type {any} */ (call)).then(() => "connected", String);
      };
      /** @type {[string, object][]} */
      const wrong = [
        ["microphone", { microphone: new MediaStream() }],
        ["microphone", { microphone: ended }],
        ["microphone", { microphone: video }],
        ["microphone", { microphone: track }],
        ["microphone", { microphone: open }],
        ["microphone", { microphone: new foreign.MediaStream() }],
        ["audioContext", { audioContext: closed }],
        ["audioContext", { audioContext: new OfflineAudioContext(1, 1, 48_000) }],
        ["audioContext", { audioContext: destination }],
        ["output", { output: open.createGain() }],
        ["output", { audioContext: open, output: new AudioContext().createGain() }],
        ["output", { audioContext: open, output: open.createOscillator() }],
        ["output", { audioContext: open, output: open.createGain().gain }],
        ["output", { audioContext: open, output: open }],
        ["signal", { signal: new AbortController() }],
        ["signal", { signal: new EventTarget() }],
        ["url", { url: location }],
        ["url", { url: "#here" }],
      ];
      /** @type {[string, string][]} */
      const refused = [];
      for (const [name, options] of wrong) refused.push([name, await connect(options)]);
      const before = asked;
      /** @type {string[]} */
      const taken = [];
      for (const options of [
        { audioContext: open, output: open.createGain() },
        { audioContext: open, output: open.destination },
        { signal: new AbortController().signal },
        { url: new foreign.URL("/v1/call", location.href) },
        { microphone: { deviceId: "default" } },
      ]) {
        taken.push(await connect(options));
      }
      return { refused, asked: [before, asked], taken };
    });
    for (const [name, said] of refused) assert.ok(said.startsWith(`TypeError: \`${name}\` is `) && said.includes(", not "), said);
    assert.deepEqual(asked, [0, 5], "those that can be meant go on to the microphone");
    for (const said of taken) assert.match(said, /^VoxrelayError: /);
  });
});
