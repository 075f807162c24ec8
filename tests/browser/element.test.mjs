// @ts-check
// What the element does, with a real relay.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay, until } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { watchTracks } from "./support/tracks.mjs";

const EXAMPLE = new URL("../../examples/demo/element.html", import.meta.url);
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; worker-src 'self'; connect-src 'self'";

describe("the element and a relay", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /**
   * A page of the relay's own origin with an element.
   * @param {{ settings?: Record<string, string>, attributes?: string, microphone?: string }} [options]
   */
  async function open({ settings, attributes = "", microphone } = {}) {
    const relay = await Relay.start(settings);
    stage.after(() => relay.stop());
    const browser = await launch(stage, microphone ? { microphone } : {});
    const origin = `http://127.0.0.1:${relay.port}`;
    const context = await browser.newContext();
    await context.grantPermissions(["microphone", "local-network-access"], { origin });
    /** A page like the first one. @param {string} [more] */
    const another = async (more = attributes) => {
      const page = await context.newPage();
      await page.route(`${origin}/shop`, (route) =>
        route.fulfill({
          contentType: "text/html",
          headers: { "content-security-policy": POLICY },
          body: `<!doctype html><html lang="en"><title>Shop</title><voice-call token-url="/dev/token" ${more}></voice-call><script type="module" src="/sdk/element.js"></script>`,
        }),
      );
      await page.goto(`${origin}/shop`);
      await page.locator("voice-call[state]").waitFor();
      return page;
    };
    return { relay, another, page: await another() };
  }

  /** @param {import("playwright-core").Page} page @param {string} state */
  const reaches = (page, state) => page.locator(`voice-call[state="${state}"]`).waitFor();

  test("a call: spoken words come back as captions, it is rated, and nothing is left open", async () => {
    const speech = speak(stage, [1, "The quick brown fox jumps over the lazy dog.", 30]);
    const { page, relay } = await open({ microphone: speech.file });
    const tracks = await watchTracks(page);
    /** @type {string[]} */
    const complaints = [];
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    await page.locator(".call").click();
    await reaches(page, "connected");
    await page.locator("li.agent").first().waitFor();
    assert.match(await page.locator("li.agent").first().innerText(), /You spoke for/);
    await until("the answer was read out", async () => /You spoke for/.test(String(await page.locator("[aria-live=polite]").textContent())));
    await page.locator(".mute").click();
    await reaches(page, "connected");
    assert.equal(await page.locator(".mute").innerText(), "Unmute");
    await page.locator(".call").click();
    await reaches(page, "closed");
    await page.locator(".thumb").first().click();
    const row = await until("the rating is in the record", () => relay.sessions().find(({ rating }) => rating !== null));
    assert.deepEqual([row.rating, row.end_reason], [5, "normal"]);
    assert.equal(await tracks.live(), 0);
    assert.deepEqual(complaints, []);
  });

  test("nobody is asked for the microphone, and nothing is sent, before the user has agreed", async () => {
    const { page, relay } = await open({ attributes: 'consent="We listen."' });
    await page.evaluate(() => {
      const media = navigator.mediaDevices;
      const ask = media.getUserMedia.bind(media);
      Object.assign(globalThis, { asked: 0 });
      media.getUserMedia = (wanted) => {
        /** @type {any} */ (globalThis).asked++;
        return ask(wanted);
      };
    });
    const asked = () => page.evaluate(() => /** @type {any} */ (globalThis).asked);
    await page.locator(".call").click();
    await reaches(page, "consent");
    assert.equal(await page.locator("#consent").innerText(), "We listen.");
    await page.locator(".plain").click();
    await reaches(page, "idle");
    await page.locator(".call").click();
    await page.waitForTimeout(500);
    assert.deepEqual([await asked(), relay.sessions().length], [0, 0]);
    await page.locator(".main").click();
    await reaches(page, "connected");
    assert.equal(await asked(), 1);
    await page.locator(".call").click();
    await reaches(page, "closed");
    await page.locator(".call").click();
    await reaches(page, "connected");
    assert.equal(await asked(), 2, "who has agreed is asked no second time");
  });

  test("without a free place it waits with the microphone closed, can be cancelled, and goes in when one is free", async () => {
    const { page, another, relay } = await open({ settings: { VOXRELAY_LIMITS__SESSIONS_PER_USER: "1" } });
    await page.locator(".call").click();
    await reaches(page, "connected");
    const second = await another();
    const tracks = await watchTracks(second);
    await second.evaluate(() => {
      const told = /** @type {any[]} */ ([]);
      Object.assign(globalThis, { told });
      for (const name of ["waiting", "ended", "error"]) document.querySelector("voice-call")?.addEventListener(name, (event) => told.push([name, /** @type {any} */ (event).detail]));
    });
    await second.locator(".call").click();
    await reaches(second, "waiting");
    assert.match(await second.locator(".wait").innerText(), /^(Next try in \d+ s\.|Trying)/);
    await until("the microphone is closed", async () => (await tracks.live()) === 0);
    const told = await second.evaluate(() => /** @type {any} */ (globalThis).told.map((/** @type {any} */ [name]) => name));
    assert.ok(told.includes("waiting") && !told.includes("ended"), JSON.stringify(told));
    await second.locator(".call").click();
    await reaches(second, "closed");
    assert.equal(relay.sessions().length, 1, "nothing began, and nothing is billed");

    await second.locator(".call").click();
    await reaches(second, "waiting");
    await page.locator(".call").click();
    await reaches(page, "closed");
    await second.locator('voice-call[state="connected"]').waitFor();
    await until("the microphone is open again", async () => (await tracks.live()) === 1);
    assert.equal(relay.sessions().length, 2);
    assert.equal(await second.locator("[part=notice]:visible").count(), 0);
  });

  test("a call that begins in writing has no microphone until the user wants to speak", async () => {
    const { page } = await open({ attributes: 'mode="text"' });
    const tracks = await watchTracks(page);
    await page.locator(".call").click();
    await reaches(page, "connected");
    assert.equal(await tracks.live(), 0);
    const reads = await page.locator(".mode").isVisible();
    if (reads) await page.locator(".mode").click();
    else await page.evaluate(() => Object.assign(/** @type {object} */ (document.querySelector("voice-call")), { mode: "voice" }));
    await until("the microphone is open", async () => (await tracks.live()) === 1);
    for (const [mode, live] of /** @type {const} */ ([["text", 0], ["voice", 1]])) {
      await page.evaluate((wanted) => document.querySelector("voice-call")?.setAttribute("mode", wanted), mode);
      await until(`in ${mode} it is ${live ? "open" : "closed"}`, async () => (await tracks.live()) === live);
    }
    await page.evaluate(() => document.querySelector("voice-call")?.remove());
    await until("an element that is taken out hangs up", async () => (await tracks.live()) === 0);
  });

  test("the example calls at the address that its first line names", async () => {
    const first = /<!--([^]*?)-->/.exec(await readFile(EXAMPLE, "utf8"))?.[1] ?? "";
    const address = /`cargo xtask demo`, then open http:\/\/127\.0\.0\.1:8080(\/\S+)\. /.exec(first)?.[1];
    const { page, relay } = await open();
    // Under the policy that the relay itself gives to its pages.
    const response = await page.goto(`http://127.0.0.1:${relay.port}${address}`);
    assert.match(String(await response?.headerValue("content-security-policy")), /default-src 'self'/);
    await page.locator(".call").click();
    await reaches(page, "consent");
    await page.locator(".main").click();
    await reaches(page, "connected");
  });
});
