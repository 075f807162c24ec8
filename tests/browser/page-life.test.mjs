// @ts-check
// What calls leave behind on a page: nothing, however they end.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Proxy } from "./support/proxy.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/**
 * Keeps an eye on every track that a page is given.
 * @param {TestPage} page
 */
async function watchTracks(page) {
  await page.page.evaluate(() => {
    /** @type {MediaStreamTrack[]} */
    const tracks = [];
    const { mediaDevices } = navigator;
    const ask = mediaDevices.getUserMedia.bind(mediaDevices);
    mediaDevices.getUserMedia = async (constraints) => {
      const stream = await ask(constraints);
      tracks.push(...stream.getTracks());
      return stream;
    };
    Object.assign(globalThis, { liveTracks: () => tracks.filter((track) => track.readyState === "live").length });
  });
  return () => page.page.evaluate(() => /** @type {any} */ (globalThis).liveTracks());
}

describe("what calls leave behind", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("ten closed calls leave no live track", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    const live = await watchTracks(page);
    for (let call = 0; call < 10; call += 1) {
      await page.start();
      await page.close();
    }
    assert.equal(await live(), 0);
  });

  test("hanging up gives the microphone back at once, and is through when the last word is", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());
    const browser = await launch(stage);
    const page = await TestPage.open(browser, proxy.url);
    const live = await watchTracks(page);
    await page.start();
    await until("audio flows", async () => proxy.audioUp().length > 10);
    assert.equal(await live(), 1);
    proxy.freeze();
    const frozen = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const left = await page.page.evaluate(() => {
      const { harness, liveTracks } = /** @type {any} */ (globalThis);
      const closing = harness.close().then(() => "closed");
      Object.assign(globalThis, { closing });
      return liveTracks();
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

  test("an abort at any moment leaves no live track, and rejects with its reason or ends the call", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    const live = await watchTracks(page);
    for (const ms of [0, 1, 5, 10, 20, 40, 80, 120, 160, 240]) {
      const outcome = await page.page.evaluate(async (after) => {
        const { VoiceClient } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));
        const controller = new AbortController();
        setTimeout(() => controller.abort("unmounted"), after);
        const token = async () => (await fetch("/dev/token")).text();
        const options = { url: new URL("/v1/call", location.href), token, signal: controller.signal };
        return VoiceClient.connect(options).then(
          (call) => new Promise((resolve) => void call.on("ended", () => resolve("ended"))),
          (thrown) => String(thrown),
        );
      }, ms);
      assert.ok(outcome === "unmounted" || outcome === "ended", `after ${ms} ms: ${outcome}`);
    }
    await until("no track is live", async () => (await live()) === 0);
  });

  test("a token function that gives up ends the call at once, and nobody holds a microphone", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    const live = await watchTracks(page);
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
    assert.equal(await live(), 0);
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
