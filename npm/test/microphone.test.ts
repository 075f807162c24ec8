// What a call asks of its microphones.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import type { MicrophoneEvent } from "../src/events.js";
import { OPTIONS, browser, until } from "./support/browser.js";

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

/** Whether each thing that was sent about muting said so. */
const mutes = (): unknown[] => browser.workers.at(-1)!.engine.sent.filter(([name]) => name === "mute").map(([, muted]) => muted);
const open = (): string[] => browser.tracks.filter(({ readyState }) => readyState === "live").map(({ id }) => id);

test("a microphone is taken away, muted before it is closed, and opened again", async () => {
  const said: MicrophoneEvent[] = [];
  const call = new Call({ ...OPTIONS, onMicrophone: (event) => void said.push(event) });
  await call.connect();
  await call.setMicrophone(false);
  assert.deepEqual([open(), call.snapshot.devices.microphone, call.muted], [[], undefined, false]);
  await until(() => mutes().length === 1, "the relay is told");
  assert.deepEqual(mutes(), [true]);
  await call.setMicrophone();
  await until(() => mutes().length === 2, "the relay is told");
  assert.deepEqual([open(), mutes(), browser.asked.length], [["default"], [true, false], 2]);
  const live = { label: "Microphone default", deviceId: "default", live: true, fallback: false };
  assert.deepEqual(said, [live, { label: "", deviceId: undefined, live: false, fallback: false }, live]);
  await call.close();
});

test("who is muted stays muted without a microphone and with the next one, and without one nobody is unmuted", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  call.mute();
  await call.setMicrophone(false);
  call.mute(false);
  call.mute();
  await call.setMicrophone();
  await until(() => mutes().length === 5, "all of it is sent");
  assert.deepEqual([mutes(), call.muted], [[true, true, true, true, true], true]);
  await call.close();
});

test("a microphone that is taken away stays away, whatever comes, goes, breaks or was asked for before", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  const slow = call.setMicrophone("other");
  await call.setMicrophone(false);
  await slow;
  browser.tracks[0]!.end();
  browser.devices.dispatchEvent(new Event("devicechange"));
  browser.window.dispatchEvent(new Event("pagehide"));
  browser.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.deepEqual([open(), browser.asked.length, mutes().at(-1)], [[], 2, true]);
  await call.close();
});
