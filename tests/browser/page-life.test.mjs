// @ts-check
// What calls leave behind on a page: nothing, however they end.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { leavesOnly } from "./support/leftovers.mjs";
import { Proxy } from "./support/proxy.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";
import { watchTracks } from "./support/tracks.mjs";
import { openWatched } from "./support/watched-page.mjs";

describe("what calls leave behind", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("ten closed calls leave neither a live track nor anything else", async () => {
    const { page, tracks } = await openWatched(stage);
    for (let call = 0; call < 10; call += 1) {
      await page.start();
      await page.close();
    }
    assert.equal(await tracks.live(), 0);
    await tracks.forget();
    await leavesOnly(page.page, {});
  });

  // Each connection over HTTP is a Worker that the page begins, wherever the engine is.
  for (const [where, options] of Object.entries({ "": {}, " with the engine on the page": { workerUrl: "/missing.js" } })) {
    test(`five closed calls over HTTP${where} leave nothing either, and the relay has ended each`, async () => {
      const { page, tracks, relay } = await openWatched(stage);
      for (let call = 0; call < 5; call += 1) {
        const from = (await page.noted()).length;
        await page.start({ transport: "http", ...options });
        await page.hears(({ name }) => name === "usage", from);
        await page.close();
      }
      assert.equal(await tracks.live(), 0);
      await tracks.forget();
      await leavesOnly(page.page, {});
      await until("no session is live", () => relay.sessions().every(({ state }) => state === "ended"));
      assert.equal(relay.sessions().length, 5);
    });
  }

  test("hanging up gives the microphone back at once, and is through when the last word is", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());
    const browser = await launch(stage);
    const page = await TestPage.open(browser, proxy.url);
    const tracks = await watchTracks(page.page);
    await page.start();
    await until("audio flows", async () => proxy.audioUp().length > 10);
    assert.equal(await tracks.live(), 1);
    proxy.freeze();
    const frozen = Date.now();
    // Twice as long as what has to come needs: a busy machine's fake microphone falls behind.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const left = await page.page.evaluate(() => {
      const { harness, tracks } = /** @type {any} */ (globalThis);
      const closing = harness.close().then(() => "closed");
      Object.assign(globalThis, { closing });
      return tracks.live();
    });
    assert.equal(left, 0, "the track has ended before anything else happens");
    const waits = await page.page.evaluate(() => {
      const wait = new Promise((resolve) => setTimeout(() => resolve("on its way"), 1_500));
      return Promise.race([/** @type {any} */ (globalThis).closing, wait]);
    });
    assert.equal(waits, "on its way", "what was said has not got through");
    proxy.thaw();
    assert.equal(await page.page.evaluate(() => /** @type {any} */ (globalThis).closing), "closed");
    assert.ok(proxy.audioUp(frozen).length > 10, "what was said in front of a line that stood still came after it");
    const noted = await page.noted();
    assert.ok(!noted.some(({ name }) => name === "gap"), "and nothing was lost");
    assert.equal(noted.find(({ name }) => name === "ended")?.event.reason, "normal");
  });

  test("who hangs up and does not wait is through at once without a connection, and is told what is given up", async () => {
    const { page, tracks, relay } = await openWatched(stage);
    await page.start();
    await page.hears(({ name }) => name === "usage");
    assert.equal(await page.say("simulateOutage", 60_000), "taken");
    assert.equal(await page.say("sendText", "in writing"), "taken");
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const waits = await page.page.evaluate(() => {
      const { harness } = /** @type {any} */ (globalThis);
      const closing = harness.hangUp().then(() => "closed");
      Object.assign(globalThis, { closing });
      return Promise.race([closing, new Promise((resolve) => setTimeout(() => resolve("on its way"), 1_000))]);
    });
    assert.equal(waits, "on its way", "hung up to the last word");
    const before = await page.noted();
    assert.ok(!before.some(({ name }) => /^(gap|undelivered|ended)$/.test(name)), JSON.stringify(before.slice(-5)));
    const shortened = await page.page.evaluate(async () => {
      const { harness, closing } = /** @type {any} */ (globalThis);
      const begin = performance.now();
      const said = await harness.say(["close", { finish: false }]);
      return [said, await closing, performance.now() - begin];
    });
    assert.deepEqual(shortened.slice(0, 2), ["taken", "closed"], "the first is shortened by the second");
    // Whoever waits for the relay's last word all the same waits for 10 s.
    assert.ok(Number(shortened[2]) < 8_000, `after ${shortened[2]} ms`);
    const noted = await page.noted();
    const missing = noted.filter(({ name }) => name === "gap").reduce((sum, { event }) => sum + event.ms, 0);
    assert.ok(missing >= 1_300, `${missing} ms of the 3 s without a connection are told to be missing`);
    assert.deepEqual(noted.filter(({ name }) => name === "undelivered").map(({ event }) => event.message.text), ["in writing"]);
    assert.equal(noted.find(({ name }) => name === "ended")?.event.reason, "normal");
    assert.equal(await tracks.live(), 0);
    assert.equal(relay.sessions().length, 1, "no further connection is made");
  });

  test("who hangs up and does not wait loses nothing that a free line has taken, over a WebSocket or HTTP", async () => {
    for (const transport of /** @type {const} */ (["websocket", "http"])) {
      const { page, relay } = await openWatched(stage);
      await page.start({ transport });
      await page.hears(({ name }) => name === "usage");
      assert.equal(await page.say("close", { finish: false }), "taken");
      assert.equal((await relay.endedSession()).end_reason, "normal", transport);
      const noted = await page.noted();
      assert.ok(!noted.some(({ name }) => name === "gap"), `${transport}: ${JSON.stringify(noted.filter(({ name }) => name === "gap"))}`);
      assert.equal(noted.find(({ name }) => name === "ended")?.event.reason, "normal", transport);
    }
  });

  for (const transport of /** @type {const} */ (["websocket", "http"])) {
    test(`an abort at any moment leaves no live track, and rejects with its reason or ends the call, over ${transport}`, async () => {
      const { page, tracks } = await openWatched(stage);
      for (const ms of [0, 1, 5, 10, 20, 40, 80, 120, 160, 240]) {
        const outcome = await page.page.evaluate(async ([after, transport]) => {
          const { VoiceClient } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));
          const controller = new AbortController();
          setTimeout(() => controller.abort("unmounted"), after);
          const token = async () => (await fetch("/dev/token")).text();
          const options = { url: new URL("/v1/call", location.href), token, transport, signal: controller.signal };
          return VoiceClient.connect(options).then(
            (call) => new Promise((resolve) => void call.on("ended", () => resolve("ended"))),
            (thrown) => String(thrown),
          );
        }, /** @type {const} */ ([ms, transport]));
        assert.ok(outcome === "unmounted" || outcome === "ended", `after ${ms} ms: ${outcome}`);
      }
      await until("no track is live", async () => (await tracks.live()) === 0);
      await tracks.forget();
      await leavesOnly(page.page, {});
    });
  }

  test("a token function that gives up ends the call at once, and nobody holds a microphone", async () => {
    const { page, tracks, relay } = await openWatched(stage);
    const said = await page.page.evaluate(async () => {
      const { VoiceClient } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));
      const token = async () => Promise.reject(Object.assign(new Error("signed out"), { retryable: false }));
      const options = { url: new URL("/v1/call", location.href), token };
      return VoiceClient.connect(options).then(
        () => "connected",
        (thrown) => `${thrown.code} ${thrown.retryable} ${thrown.message}`,
      );
    });
    assert.match(said, /^token_unavailable false .*signed out/);
    assert.equal(await tracks.live(), 0);
    assert.deepEqual(relay.sessions(), []);
  });

  test("wasm is compiled whatever its server calls it", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    for (const type of ["application/wasm; charset=utf-8", "application/octet-stream", "text/plain"]) {
      const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
      await page.page.route("**/voxrelay.wasm", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, headers: { ...response.headers(), "content-type": type } });
      });
      await page.start();
      await page.close();
    }
  });
});
