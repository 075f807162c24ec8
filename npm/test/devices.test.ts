import assert from "node:assert/strict";
import { test } from "node:test";

import { listDevices } from "../src/index.js";

/** A browser that has these devices, or that tells a page of none, and whose contexts play on a loudspeaker that is chosen. */
function browserWith(mediaDevices: unknown, canChoose: boolean): void {
  class Context {}
  if (canChoose) Object.assign(Context.prototype, { setSinkId: () => undefined });
  for (const [name, value] of Object.entries({ navigator: { mediaDevices }, AudioContext: Context })) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}

const device = (kind: string, deviceId: string): unknown => ({ kind, deviceId, label: `A ${kind}`, groupId: "g" });
const known = [device("audioinput", "default"), device("audioinput", "m"), device("videoinput", "v"), device("audiooutput", "s")];

test("microphones and loudspeakers are listed by id and label, and nothing else", async () => {
  browserWith({ enumerateDevices: async () => known }, true);
  const microphones = ["default", "m"].map((deviceId) => ({ deviceId, label: "A audioinput" }));
  assert.deepEqual(await listDevices(), { microphones, speakers: [{ deviceId: "s", label: "A audiooutput" }] });
});

test("where no loudspeaker can be chosen none is offered", async () => {
  browserWith({ enumerateDevices: async () => known }, false);
  assert.deepEqual((await listDevices()).speakers, []);
});

test("a page that may not know the devices, or that has none, is offered nothing", async () => {
  for (const devices of [{ enumerateDevices: async () => [device("audioinput", ""), device("audiooutput", "")] }, undefined]) {
    browserWith(devices, true);
    assert.deepEqual(await listDevices(), { microphones: [], speakers: [] });
  }
  Reflect.deleteProperty(globalThis, "AudioContext");
  assert.deepEqual((await listDevices()).speakers, [], "nor is one whose browser has no sound at all");
});
