// Loudspeakers that are chosen, that go and come back, and browsers that cannot choose.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import type { SpeakerEvent } from "../src/events.js";
import type { ConnectOptions } from "../src/options.js";
import { OPTIONS, browser, until } from "./support/browser.js";

const SYSTEM = { deviceId: undefined, fallback: false };
const IN_PLACE = { deviceId: undefined, fallback: true };
const HEADSET = { deviceId: "headset", fallback: false };

const made: Call[] = [];
beforeEach(() => {
  browser.reset();
  browser.speakers = ["default", "desk", "headset"];
});
afterEach(() => Promise.all(made.splice(0).map((call) => call.close())));

/** A call that is up, and what it says of its loudspeaker. */
async function connected(options: Partial<ConnectOptions> = {}): Promise<{ call: Call; said: SpeakerEvent[] }> {
  const said: SpeakerEvent[] = [];
  const call = new Call({ ...OPTIONS, ...options, onSpeaker: (event) => void said.push(event) });
  made.push(call);
  await call.connect();
  return { call, said };
}

/** From here on there are these. */
function plug(speakers: string[]): void {
  browser.speakers = speakers;
  browser.devices.dispatchEvent(new Event("devicechange"));
}

/** What the call's one context plays on: a rebuilt one would have taken the chosen loudspeaker by being made. */
function playsOn(): string | undefined {
  assert.equal(browser.contexts.length, 1);
  return browser.contexts[0]?.sinkId;
}

/** What the call's one context was asked to play on. */
function asked(): string[] {
  assert.equal(browser.contexts.length, 1);
  return browser.contexts[0]!.sinksAsked;
}

/** A call of this page plays on a loudspeaker that was chosen, and is over: no context is left. */
async function playedOn(speaker: string): Promise<void> {
  const { call, said } = await connected({ speaker });
  await until(() => said.length === 1, "it is played on");
  await call.close();
  browser.contexts.splice(0);
}

// The first of all: what was chosen once is remembered for the life of the page.
test("a call of which no loudspeaker was chosen leaves it to the system and says nothing of it", async () => {
  const { call, said } = await connected();
  await call.setMicrophone("other");
  await call.setSpeaker();
  assert.deepEqual([asked(), said], [[""], [SYSTEM]]);
  browser.contexts.splice(0);
  const { call: later, said: saidLater } = await connected();
  await later.setMicrophone("other");
  assert.deepEqual([asked(), saidLater, later.snapshot.devices.speaker], [[], [], undefined]);
});

test("a call of which none was chosen names the system's where another one was played on before, and says nothing of it", async () => {
  await playedOn("desk");
  const { call, said } = await connected();
  await until(() => playsOn() === "default", "the system's is named");
  await call.setMicrophone("other");
  assert.deepEqual([asked(), said, call.snapshot.devices.speaker], [["default"], [], undefined]);
});

test("a call that chooses again plays on that one at once, and names the system's while it is away", async () => {
  await playedOn("desk");
  const { said } = await connected({ speaker: "headset" });
  await until(() => said.length === 1, "it is played on");
  assert.deepEqual(asked(), ["headset"]);
  plug(["default", "desk"]);
  await until(() => playsOn() === "default", "the system's is named");
  browser.contexts.splice(0);
  await connected({ speaker: "headset" });
  await until(() => playsOn() === "default", "the system's is named where the chosen one is not there at first");
  assert.deepEqual(asked(), ["headset", "default"]);
});

test("a context of the page's own is left where the page has put it, and names the system's where it has not", async () => {
  const own = new AudioContext() as unknown as (typeof browser.contexts)[number];
  own.sinkId = "desk";
  const { call } = await connected({ audioContext: own as unknown as AudioContext });
  await call.setMicrophone("other");
  assert.deepEqual(asked(), []);
  await call.close();
  own.sinkId = "";
  await connected({ audioContext: own as unknown as AudioContext });
  await until(() => playsOn() === "default", "the system's is named");
});

test("a browser that does not know the system's by name plays on, and nobody is told of an error", async () => {
  browser.speakers = ["desk", "headset"];
  const { call, said } = await connected({ speaker: "desk" });
  await until(() => said.length === 1, "it is played on");
  await call.setSpeaker();
  assert.deepEqual([asked(), playsOn(), said[1]], [["desk", "", "default"], "", SYSTEM]);
  browser.contexts.splice(0);
  const { call: later, said: saidLater } = await connected();
  await until(() => asked().length > 0, "the system's is asked for by name");
  await later.setMicrophone("other");
  for (const { state, error } of [call.snapshot, later.snapshot]) assert.deepEqual([state, error], ["connected", undefined]);
  assert.deepEqual([playsOn(), saidLater, browser.reported], ["", [], []]);
});

test("a loudspeaker is chosen before the call or in it, and given back to the system", async () => {
  const { call, said } = await connected({ speaker: "desk" });
  await until(() => said.length === 1, "the one of the options is played on");
  assert.equal(playsOn(), "desk");
  await call.setSpeaker("headset");
  assert.equal(playsOn(), "headset");
  assert.deepEqual(call.snapshot.devices.speaker, HEADSET);
  await call.setSpeaker();
  assert.equal(playsOn(), "default");
  assert.deepEqual(said, [{ ...HEADSET, deviceId: "desk" }, HEADSET, SYSTEM]);
});

test("a chosen loudspeaker that goes away is stood in for by the system's, which is said, and taken again when it is back", async () => {
  const { call, said } = await connected();
  await call.setSpeaker("headset");
  plug(["default", "desk"]);
  await until(() => said.length === 2, "another one stands in");
  assert.equal(playsOn(), "default");
  assert.deepEqual(call.snapshot.devices.speaker, IN_PLACE);
  plug(["default", "desk", "headset"]);
  await until(() => said.length === 3, "it is taken again");
  assert.equal(playsOn(), "headset");
  assert.deepEqual(said, [HEADSET, IN_PLACE, HEADSET]);
});

test("a loudspeaker of the options that is not there is taken as soon as it is", async () => {
  browser.speakers = ["default", "desk"];
  const { said } = await connected({ speaker: "headset" });
  await until(() => said.length === 1, "another one stands in");
  plug(["default", "desk", "headset"]);
  await until(() => said.length === 2, "it is taken");
  assert.equal(playsOn(), "headset");
  assert.deepEqual(said, [IN_PLACE, HEADSET]);
});

test("a page that is not told the ids of its devices keeps the loudspeaker that it has", async () => {
  const { call, said } = await connected({ microphone: false });
  await call.setSpeaker("headset");
  plug([""]);
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(playsOn(), "headset");
  assert.deepEqual(said, [HEADSET]);
});

test("a loudspeaker that cannot be had is refused, and the one before stays, also for the devices that change later", async () => {
  const { call, said } = await connected();
  await call.setSpeaker("headset");
  await assert.rejects(call.setSpeaker("gone"), { code: "audio_unavailable" });
  assert.equal(playsOn(), "headset");
  plug(["default", "desk"]);
  await until(() => said.length === 2, "another one stands in");
  assert.equal(playsOn(), "default");
  assert.deepEqual(said, [HEADSET, IN_PLACE]);
});

test("of several that are asked for at once the last one counts", async () => {
  const { call } = await connected();
  await Promise.all([call.setSpeaker("desk"), call.setSpeaker(), call.setSpeaker("headset")]);
  assert.equal(playsOn(), "headset");
});

test("a browser that cannot choose says so by the system's in place of the chosen one, and by a refusal", async () => {
  browser.canChooseSpeaker = false;
  const { call, said } = await connected({ speaker: "headset" });
  await until(() => said.length === 1, "the system's stands in");
  await assert.rejects(call.setSpeaker("desk"), { code: "not_supported" });
  assert.deepEqual([said, call.state, call.snapshot.error], [[IN_PLACE], "connected", undefined]);
  const { call: later, said: saidLater } = await connected();
  assert.deepEqual([saidLater, later.state, later.snapshot.error], [[], "connected", undefined]);
});

test("a loudspeaker that is had when the call is over is told of no more", async () => {
  const { call, said } = await connected();
  let goOn = (): void => undefined;
  const asked = new Promise<void>((resolve) => (goOn = resolve));
  browser.contexts[0]!.setSinkId = () => asked;
  const chosen = call.setSpeaker("desk");
  browser.engine.ends("budget", 4402);
  await until(() => call.snapshot.ended !== undefined, "it is over");
  goOn();
  await chosen;
  assert.deepEqual([said, call.snapshot.devices.speaker], [[], undefined]);
});

test("before the call and after it there is no loudspeaker to change", async () => {
  const call = new Call(OPTIONS);
  await assert.rejects(call.setSpeaker("desk"), TypeError);
  await call.connect();
  await call.close();
  await assert.rejects(call.setSpeaker("desk"), { code: "call_over" });
  await assert.rejects(call.setMicrophone("desk"), { code: "call_over" });
  const unheard = new Call(OPTIONS);
  void unheard.connect().catch(() => undefined);
  await unheard.close();
  await assert.rejects(unheard.setMicrophone("desk"), { code: "call_over" });
});

test("the volume holds before the call and in it", async () => {
  const call = new Call(OPTIONS);
  call.setVolume(0.25);
  await call.connect();
  const [context] = browser.contexts;
  assert.deepEqual([context!.gain.value, context!.gain.targets], [0.25, []]);
  const before = call.snapshot.devices;
  call.setVolume(0);
  assert.deepEqual([context!.gain.targets, call.volume, call.snapshot.devices], [[0], 0, { ...before, volume: 0 }]);
  const { devices } = call.snapshot;
  call.setVolume(0);
  assert.equal(call.snapshot.devices, devices, "nothing has changed");
  for (const volume of [-0.1, 1.1, Number.NaN]) assert.throws(() => call.setVolume(volume), RangeError);
  await call.close();
  call.setVolume(1);
});
