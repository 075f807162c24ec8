// @ts-check
// In every engine: the microphone is changed while the call goes on; and where one can be pulled out, another stands in for it.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";

/** Engines in which the test can pull a microphone out. */
const PULLED_OUT = ["chromium", "firefox"];

/** Engines whose contexts play elsewhere than on the system's loudspeaker. */
const CHOOSES_LOUDSPEAKERS = ["chromium"];

/** @typedef {Awaited<ReturnType<typeof openPage>>} Opened */

describe("another microphone within a call", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  /** The id that the page knows a microphone by. @param {Opened} opened @param {number} which */
  async function idOf({ tab, engine }, which) {
    const label = engine.microphones[which];
    const id = await tab.evaluate(async (wanted) => {
      const devices = await navigator.mediaDevices.enumerateDevices();
      return devices.find(({ kind, label }) => kind === "audioinput" && label === wanted)?.deviceId;
    }, label);
    assert.ok(id, `there is a microphone ${label}`);
    return id;
  }

  /** Waits until the call says that the chosen microphone is open. @param {Opened} opened @param {number} which @param {number} from */
  function isOpen({ call, engine }, which, from) {
    const label = engine.microphones[which];
    return call.hears(({ name, event }) => name === "microphone" && event.live && event.label === label && !event.fallback, from);
  }

  /** Waits until the microphone is heard at the relay. @param {Opened} opened */
  async function isHeard({ proxy }) {
    const from = Date.now();
    await until("it is heard", () => proxy.audioUp(from).length > 10);
  }

  for (const name of ENGINES) {
    test(`is heard after the one before was taken away, which leaves no live track, in ${name}`, async () => {
      const opened = await openPage(stage, name);
      const { call, tracks, proxy } = opened;
      await call.start();
      await isHeard(opened);
      await call.setMicrophone(false);
      assert.equal(await tracks.live(), 0);
      await sleep(1_000);
      const from = Date.now();
      await sleep(2_000);
      assert.equal(proxy.audioUp(from).length, 0, "nothing is sent");
      await call.setMicrophone();
      await isHeard(opened);
      assert.equal(await tracks.live(), 1);
      await call.close();
    });

    test(`and another loudspeaker, or a refusal that says the browser has none, in ${name}`, async () => {
      const { call, tab } = await openPage(stage, name);
      await call.start();
      const canChoose = await tab.evaluate((method) => method in AudioContext.prototype, "setSinkId");
      assert.equal(canChoose, CHOOSES_LOUDSPEAKERS.includes(name));
      if (canChoose) await call.setSpeaker();
      else await assert.rejects(call.setSpeaker("other"), /plays on the system's loudspeaker only/);
      await call.close();
    });
  }

  for (const name of ENGINES) {
    test(`is taken when it is asked for, and leaves one live track, in ${name}`, async () => {
      const opened = await openPage(stage, name);
      const { call, tracks } = opened;
      await call.start();
      for (const which of [1, 0, 1]) {
        const from = (await call.noted()).length;
        await call.setMicrophone(await idOf(opened, which));
        await isOpen(opened, which, from);
        await isHeard(opened);
        assert.equal(await tracks.live(), 1);
      }
      const from = (await call.noted()).length;
      await call.setMicrophone();
      await isHeard(opened);
      const said = (await call.noted()).slice(from).filter(({ name }) => name === "microphone");
      assert.equal(said.length, 1, JSON.stringify(said));
      // Chromium's default one has a name of its own.
      assert.notEqual(said[0].event.label, opened.engine.microphones[1], "the default one is the first");
      assert.equal(await tracks.live(), 1);
      await call.close();
      assert.equal(await tracks.live(), 0);
      assert.deepEqual((await call.noted()).filter(({ name }) => name === "error" || name === "gap"), []);
    });

    if (PULLED_OUT.includes(name)) {
      test(`that is pulled out is stood in for by the default one, in ${name}`, async () => {
        const opened = await openPage(stage, name, { isPlugged: true });
        const { call, engine } = opened;
        await call.start();
        await call.setMicrophone(await idOf(opened, 1));
        const from = await isOpen(opened, 1, 0);
        engine.unplug?.(1);
        // Chromium's default one has a name of its own.
        const gone = engine.microphones[1];
        await call.hears(({ name, event }) => name === "microphone" && event.live && event.fallback && event.label !== gone, from);
        await isHeard(opened);
        await call.close();
        assert.deepEqual((await call.noted()).filter(({ name }) => name === "gap"), []);
      });
    }
  }
});

describe("a machine without a loudspeaker", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  // Its audio clock is the loudspeaker's.
  for (const name of ENGINES.filter((name) => name === "firefox")) {
    test(`has no microphone that can be heard, and the page is told so, in ${name}`, async () => {
      const { call, proxy } = await openPage(stage, name, { hasSound: false });
      await call.start();
      await call.hears(({ name, event }) => name === "error" && event.code === "audio_unavailable");
      assert.equal(proxy.audioUp().length, 0, `docs/browsers.md says that ${name} hears nothing there`);
      await call.close();
    });
  }
});
