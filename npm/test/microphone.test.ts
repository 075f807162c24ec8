// What a call asks of its microphones.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import { OPTIONS, browser } from "./support/browser.js";

beforeEach(() => browser.reset());

const DEFAULTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

test("without a word of the application echo, noise and gain are the browser's care, and the voice is not isolated", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  assert.deepEqual(browser.asked, [DEFAULTS]);
  await call.close();
});

test("echo cancellation, noise suppression, gain and voice isolation are asked for as given, also of a later microphone", async () => {
  for (const name of ["echoCancellation", "noiseSuppression", "autoGainControl", "voiceIsolation"] as const) {
    for (const value of [true, false]) {
      browser.reset();
      const call = new Call({ ...OPTIONS, microphone: { [name]: value } });
      await call.connect();
      await call.setMicrophone("other");
      const wanted = { ...DEFAULTS, [name]: value };
      assert.deepEqual(browser.asked, [wanted, { ...wanted, deviceId: { exact: "other" } }]);
      await call.close();
    }
  }
});
