// @ts-check
// In every engine: the browser is asked for the microphone as the application asks for it.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { Stage } from "../browser/support/stage.mjs";

describe("echo cancellation, noise suppression and gain control", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const name of ENGINES) {
    test(`are asked for as the application asks, and the call is heard, in ${name}`, async (t) => {
      const { call, tab } = await openPage(stage, name);
      await tab.evaluate(() => {
        const { mediaDevices } = navigator;
        const open = mediaDevices.getUserMedia.bind(mediaDevices);
        mediaDevices.getUserMedia = async (constraints) => {
          const stream = await open(constraints);
          Object.assign(globalThis, { opened: JSON.stringify([constraints?.audio, stream.getAudioTracks()[0].getSettings()]) });
          return stream;
        };
      }, undefined);
      for (const isOn of [true, false]) {
        const wanted = { echoCancellation: isOn, noiseSuppression: isOn, autoGainControl: isOn, voiceIsolation: isOn };
        const { length } = await call.noted();
        await call.start({ microphone: wanted });
        const [asked, settings] = JSON.parse(await tab.evaluate(() => /** @type {any} */ (globalThis).opened, undefined));
        assert.deepEqual(asked, wanted);
        // What a microphone of the tests makes of it is the engine's own matter.
        t.diagnostic(`${name}: ${JSON.stringify(settings)}`);
        await call.hears(({ name, event }) => name === "usage" && event.audioMs > 0, length);
        await call.close();
      }
    });
  }
});
