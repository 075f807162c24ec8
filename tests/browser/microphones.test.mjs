// @ts-check
// Microphones that come, go and change within a call: whoever speaks is heard, and knows through what.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestCall } from "./support/test-call.mjs";
import { TestPage } from "./support/test-page.mjs";
import { isHeard, isStoodInFor, saysMicrophone, twoMicrophones } from "./support/two-microphones.mjs";

describe("microphones that come and go", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("a chosen microphone that goes away is stood in for by the default one, which is said, and taken again when it is back", async () => {
    for (const deviceId of [undefined, "headset"]) {
      await isStoodInFor(stage, deviceId);
      await stage.clear();
    }
  });

  test("a chosen microphone whose track goes on in silence when it is gone is stood in for, and one that is still there stays", async () => {
    const { page, microphones } = await twoMicrophones(stage);
    await page.start();
    await page.setMicrophone("headset");
    let said = await saysMicrophone(page, "headset", { live: true, fallback: false });
    await microphones.vanish(["headset"]);
    await sleep(1_000);
    assert.deepEqual(await microphones.live(), ["headset"]);
    assert.equal((await microphones.asked()).length, 2, "nothing was asked for again");
    await microphones.vanish(["desk"]);
    said = await saysMicrophone(page, "desk", { live: true, fallback: true }, said);
    assert.deepEqual(await microphones.live(), ["desk"]);
    await microphones.vanish(["desk", "headset"]);
    await saysMicrophone(page, "headset", { live: true, fallback: false }, said);
    assert.deepEqual((await page.noted()).filter(({ name }) => name === "error"), []);
    await page.close();
  });

  test("with no microphone at all an error says so, and the chosen one is taken when it is back", async () => {
    const { page, microphones } = await twoMicrophones(stage);
    await page.start();
    await page.setMicrophone("headset");
    await microphones.plug([]);
    await page.hears(({ name, event }) => name === "error" && event.code === "microphone_missing");
    await microphones.plug(["headset"]);
    await until("the chosen one is open", async () => String(await microphones.live()) === "headset");
    await isHeard(page);
    await page.close();
  });

  test("one that another program has is told as busy, at the beginning of a call and within it, and no more once it is heard", async () => {
    const { page, microphones, relay } = await twoMicrophones(stage);
    await microphones.occupy(["desk", "headset"]);
    await assert.rejects(page.start(), /microphone_busy: .*NotReadableError/);
    assert.deepEqual(relay.sessions(), [], "nobody is billed");
    await microphones.occupy(["headset"]);
    await page.start();
    await isHeard(page);
    assert.equal(await page.say("setMicrophone", "headset"), "microphone_busy");
    assert.deepEqual(await microphones.live(), ["desk"], "the one before stays");
    assert.equal(await page.trouble(), undefined, "whoever asked for it was told");

    const { length } = await page.noted();
    await microphones.occupy(["desk", "headset"]);
    await microphones.hiccup();
    const told = await page.hears(({ name, event }) => name === "error" && event.code === "microphone_busy" && event.retryable, length);
    assert.equal(await page.trouble(), "microphone_busy");
    await microphones.occupy([]);
    await microphones.plug(["desk", "headset"]);
    await saysMicrophone(page, "desk", { live: true, fallback: false }, told);
    await until("nothing is wrong any more", async () => (await page.trouble()) === undefined);
    await isHeard(page);
    await page.close();
  });

  test("one that is only wished for is taken as soon as it is there", async () => {
    const { page, microphones } = await twoMicrophones(stage);
    await microphones.plug(["desk"]);
    await page.start({ microphone: { deviceId: "headset" } });
    const said = await saysMicrophone(page, "desk", { live: true, fallback: true });
    await microphones.plug(["desk", "headset"]);
    await saysMicrophone(page, "headset", { live: true, fallback: false }, said);
    assert.deepEqual(await microphones.live(), ["headset"]);
    await page.close();
  });

  test("one that opens when the call is hung up is refused and let go", async () => {
    const { page, microphones } = await twoMicrophones(stage);
    await page.start();
    await microphones.hold("headset");
    const late = assert.rejects(page.setMicrophone("headset"), /The call is over/);
    await until("it was asked for", async () => (await microphones.asked()).includes("headset"));
    await page.close();
    await microphones.release();
    await late;
    assert.deepEqual(await microphones.live(), []);
  });

  test("of two that are asked for, the last one counts, whichever opens first and whatever happens then", async () => {
    const { page, microphones } = await twoMicrophones(stage);
    await page.start();
    await microphones.hold("headset");
    const slow = page.setMicrophone("headset");
    await until("it was asked for", async () => (await microphones.asked()).includes("headset"));
    await page.setMicrophone("desk");
    await microphones.release();
    await slow;
    assert.deepEqual(await microphones.live(), ["desk"]);
    assert.deepEqual(await microphones.hiccup(), ["desk"]);
    await until("it is open again", async () => String(await microphones.live()) === "desk");
    await page.close();
  });

  test("one that cannot be opened leaves the one before, also if another one failed meanwhile", async () => {
    const { page, microphones } = await twoMicrophones(stage);
    await page.start();
    await page.setMicrophone("headset");
    await microphones.hold("gone");
    const refused = [page.setMicrophone("gone"), page.setMicrophone("gone")].map((changed) => assert.rejects(changed));
    await microphones.release();
    await Promise.all(refused);
    assert.deepEqual(await microphones.live(), ["headset"]);
    assert.deepEqual(await microphones.hiccup(), ["headset"]);
    await page.close();
  });

  test("one that is taken away is closed, which is no silence of a microphone, and the next one is heard", async () => {
    const { page, microphones } = await twoMicrophones(stage);
    await page.start();
    await isHeard(page);
    await page.setMicrophone(false);
    assert.deepEqual(await microphones.live(), []);
    const said = await page.hears(({ name, event }) => name === "microphone" && event.label === "" && !event.live);
    // Longer than the engine waits before it calls a microphone silent.
    await sleep(6_000);
    const still = (await page.noted()).slice(said);
    assert.deepEqual(still.filter(({ name }) => name === "error" || name === "gap"), []);
    const heard = still.filter(({ name }) => name === "usage").map(({ event }) => event.audioMs);
    assert.ok(new Set(heard.slice(1)).size <= 1, `nothing is heard any more: ${heard}`);
    await page.setMicrophone("headset");
    assert.deepEqual(await microphones.live(), ["headset"]);
    await isHeard(page);
    await page.close();
  });

  test("one that the context does not take, being of another rate, is heard through a context that is made anew, and so is one that stands in for it", async () => {
    const { page, microphones } = await twoMicrophones(stage);
    // As older versions of Firefox do it: contexts that were made before the rate changed take no microphone any more.
    await page.page.evaluate(() => {
      /** @type {AudioContext[]} */
      const contexts = [];
      let old = 0;
      globalThis.AudioContext = class extends AudioContext {
        constructor() {
          super();
          contexts.push(this);
        }

        /** @param {MediaStream} stream */
        createMediaStreamSource(stream) {
          if (contexts.indexOf(this) >= old) return super.createMediaStreamSource(stream);
          throw new DOMException("Connecting AudioNodes from AudioContexts with different sample-rate is currently not supported.", "NotSupportedError");
        }
      };
      Object.assign(globalThis, { rates: { change: () => void (old = contexts.length), states: () => contexts.map(({ state }) => state) } });
    });
    const tell = (/** @type {string} */ method) => page.page.evaluate((name) => /** @type {any} */ (globalThis).rates[name](), method);
    await page.start();
    await isHeard(page);
    await tell("change");
    await page.setMicrophone("headset");
    const said = await saysMicrophone(page, "headset", { live: true, fallback: false });
    assert.deepEqual(await microphones.live(), ["headset"]);
    await isHeard(page);
    await tell("change");
    await microphones.plug(["desk"]);
    await saysMicrophone(page, "desk", { live: true, fallback: true }, said);
    assert.deepEqual(await microphones.live(), ["desk"]);
    await isHeard(page);
    await until("the contexts before are closed", async () => String(await tell("states")) === "closed,closed,running");
    assert.deepEqual((await page.noted()).filter(({ name }) => name === "error"), []);
    await page.close();
    assert.deepEqual(await tell("states"), ["closed", "closed", "closed"]);
  });

  test("while one is open the screen stays on", async () => {
    const { page } = await twoMicrophones(stage);
    // The locks are the browser's own; the test keeps them in sight.
    await page.page.evaluate(() => {
      const { wakeLock } = navigator;
      const request = wakeLock.request.bind(wakeLock);
      /** @type {WakeLockSentinel[]} */
      const locks = [];
      wakeLock.request = async (type) => {
        const lock = await request(type);
        locks.push(lock);
        return lock;
      };
      Object.assign(globalThis, { locks });
    });
    const held = () => page.page.evaluate(() => /** @type {any} */ (globalThis).locks.filter((/** @type {WakeLockSentinel} */ { released }) => !released).length);
    await page.start();
    await until("it is asked for", async () => (await held()) === 1);
    await page.setMicrophone(false);
    await until("without a microphone it is given back", async () => (await held()) === 0);
    await page.setMicrophone("headset");
    await until("it is asked for again", async () => (await held()) === 1);
    await page.close();
    await until("it is given back", async () => (await held()) === 0);
  });

  test("a call without a microphone, or with a stream of the page, changes to the one that is asked for", async () => {
    for (const own of [false, true]) {
      const { page, microphones } = await twoMicrophones(stage);
      await page.page.evaluate(async (isOwn) => {
        const stream = isOwn && (await navigator.mediaDevices.getUserMedia({ audio: true }));
        await /** @type {any} */ (globalThis).harness.start({ microphone: stream });
      }, own);
      assert.deepEqual(await microphones.live(), own ? ["desk"] : []);
      await page.setMicrophone("headset");
      // The page's own stream is the page's to stop.
      assert.deepEqual(await microphones.live(), own ? ["desk", "headset"] : ["headset"]);
      await isHeard(page);
      const late = await page.page.evaluate(() => {
        const { close, microphone } = /** @type {any} */ (globalThis).harness;
        const closed = close();
        return Promise.all([closed, microphone("desk").catch(String)]);
      });
      assert.match(late[1], /The call is over/, "a call that is hung up opens nothing");
      assert.deepEqual(await microphones.live(), own ? ["desk"] : []);
      await stage.clear();
    }
  });

  test("echo cancellation, noise suppression, gain control and voice isolation reach the browser as given, and its track has what of them it can do", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const origin = `http://127.0.0.1:${relay.port}`;
    // Without the test page's own wish for an unchanged signal, which would speak over the options.
    const context = await (await launch(stage)).newContext();
    await context.grantPermissions(["local-network-access", "screen-wake-lock"], { origin });
    const page = await context.newPage();
    await page.route(`${origin}/test/**`, (route) => TestPage.serve(route));
    await page.goto(`${origin}/test/`);
    await page.evaluate(() => {
      const { mediaDevices } = navigator;
      const open = mediaDevices.getUserMedia.bind(mediaDevices);
      mediaDevices.getUserMedia = async (constraints) => {
        const stream = await open(constraints);
        Object.assign(globalThis, { opened: [constraints?.audio, stream.getAudioTracks()[0].getSettings()] });
        return stream;
      };
    });
    const call = new TestCall(page);
    for (const isOn of [true, false]) {
      const processed = { echoCancellation: isOn, noiseSuppression: isOn, autoGainControl: isOn };
      const wanted = { ...processed, voiceIsolation: isOn };
      await call.start({ microphone: wanted });
      const [asked, settings] = await page.evaluate(() => /** @type {any} */ (globalThis).opened);
      assert.deepEqual(asked, wanted);
      // No fake microphone isolates a voice.
      for (const name of Object.keys(processed)) assert.equal(Boolean(settings[name]), isOn, `${name}: ${settings[name]}`);
      await call.close();
    }
  });
});
