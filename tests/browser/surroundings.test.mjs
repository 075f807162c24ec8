// @ts-check
// Pages that are not alone: in a frame, beside other tabs, cut off from other origins.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { otherSite } from "./support/other-site.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestCall } from "./support/test-call.mjs";
import { TestPage } from "./support/test-page.mjs";
import { watchTracks } from "./support/tracks.mjs";

/** What isolates a page. */
const ISOLATION = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

describe("a page that is not alone", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  async function start() {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    return { relay, origin: `http://127.0.0.1:${relay.port}`, browser: await launch(stage) };
  }

  test("in a frame of another site it may call where that allows the microphone, and is told what is missing where it does not", async () => {
    const { origin, browser, relay } = await start();
    const { context } = await TestPage.open(browser, origin);
    for (const [allow, lock] of /** @type {const} */ ([["microphone; screen-wake-lock", "held"], ["microphone", "NotAllowedError"], ["", undefined]])) {
      const page = await context.newPage();
      await page.route("http://shop.localhost/", (route) => route.fulfill({ contentType: "text/html", body: `<iframe src="${origin}/test/" allow="${allow}; local-network-access"></iframe>` }));
      await page.route(`${origin}/test/**`, (route) => TestPage.serve(route));
      await page.goto("http://shop.localhost/");
      const frame = await until("the frame is there", async () => page.frames().find((one) => one.url().startsWith(origin)));
      await frame.waitForFunction(() => "voxrelay" in globalThis || "Voxrelay" in globalThis);
      // What becomes of the wish that the screen stay on.
      await frame.evaluate(() => {
        const { wakeLock } = navigator;
        const request = wakeLock.request.bind(wakeLock);
        wakeLock.request = (type) => {
          const asked = request(type);
          const note = (/** @type {string} */ lock) => Object.assign(globalThis, { lock });
          asked.then(() => note("held"), (thrown) => note(thrown.name));
          return asked;
        };
      });
      const call = new TestCall(frame);
      if (lock) {
        assert.equal((await call.start()).engine, "worker");
        assert.equal(await until("it is held or refused", () => frame.evaluate(() => /** @type {any} */ (globalThis).lock)), lock);
        await call.close();
        assert.deepEqual((await call.noted()).filter(({ name }) => name === "error"), [], "without it the call goes on");
      } else {
        await assert.rejects(call.start(), /microphone_blocked: .*allow="microphone"/);
      }
      // Only a page that is seen may keep the screen on.
      await page.close();
    }
    assert.equal(relay.sessions().length, 2);
  });

  test("isolated from other origins it calls with the engine in a Worker", async () => {
    const { origin, browser } = await start();
    const page = await TestPage.open(browser, origin, { headers: ISOLATION });
    assert.equal(await page.page.evaluate(() => crossOriginIsolated), true);
    assert.equal((await page.start()).engine, "worker");
    await page.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
    await page.close();
  });

  test("isolated from other origins it calls by the script tag of a relay of another site, with the engine in a Worker", async () => {
    const site = await otherSite(stage, () => ({ headers: ISOLATION, body: `<script src="${host}/sdk/voxrelay.js"></script>` }), "localhost");
    const relay = await Relay.start({ VOXRELAY_ORIGINS: site });
    stage.after(() => relay.stop());
    const host = `http://127.0.0.1:${relay.port}`;
    const page = await (await launch(stage)).newPage();
    await page.goto(site);
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    const made = await page.evaluate(
      async ({ host, secret }) => {
        const { Call } = /** @type {any} */ (globalThis).Voxrelay;
        /** @type {string[]} */
        const errors = [];
        const call = new Call({
          url: `${host}/v1/call`,
          token: () => secret,
          microphone: false,
          onError: (/** @type {Error & { code: string }} */ { code, message }) => errors.push(`${code}: ${message}`),
        });
        await call.connect();
        const made = [call.engine, call.state, errors];
        await call.close();
        return made;
      },
      { host, secret: relay.token("alice") },
    );
    assert.deepEqual(made, ["worker", "connected", []]);
    assert.equal((await relay.endedSession()).end_reason, "normal");
  });

  test("left and come back to, it is the same page with the same call and one open microphone", async () => {
    const { origin, relay } = await start();
    const page = await TestPage.open(await launch(stage, { keepsPages: true }), origin);
    await page.page.evaluate(() => addEventListener("pageshow", ({ persisted }) => Object.assign(globalThis, { persisted })));
    const tracks = await watchTracks(page.page);
    const { sessionId } = await page.start();
    const { length } = await page.noted();
    await page.page.goto(`${origin}/test/bare.html`);

    // What was kept loads nothing.
    await page.page.goBack({ waitUntil: "commit" });
    assert.equal(await until("it is shown again", () => page.page.evaluate(() => "persisted" in globalThis && /** @type {any} */ (globalThis).persisted)), true);
    const back = await page.hears(({ name, event }) => name === "state" && event.state === "connected", length);
    await page.hears(({ name, event }) => name === "usage" && event.audioMs > 0, back);
    assert.equal(await tracks.live(), 1);
    await page.close();
    await relay.endedSession();
    assert.deepEqual(relay.sessions().map(({ id, state }) => [id, state]), [[sessionId, "ended"]]);
  });

  test("of calls in two tabs each is its own: one is hung up, and the other one goes on", async () => {
    const { origin, browser, relay } = await start();
    const first = await TestPage.open(browser, origin);
    const second = await TestPage.open(browser, origin);
    const tracks = await watchTracks(second.page);
    const sessions = [await first.start(), await second.start()].map(({ sessionId }) => sessionId);
    assert.notEqual(sessions[0], sessions[1]);
    await first.close();
    const { length } = await second.noted();
    await second.hears(({ name, event }) => name === "usage" && event.audioMs > 0, length);
    assert.equal(await tracks.live(), 1);
    await relay.endedSession();
    const states = new Map(relay.sessions().map(({ id, state }) => [id, state]));
    assert.deepEqual(sessions.map((id) => states.get(id)), ["ended", "live"]);
    await second.close();
  });
});
