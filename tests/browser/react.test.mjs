// @ts-check
// React's strict mode mounts each component, takes it away and mounts it again: of the two calls one comes up, and nothing is left of the
// other.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch } from "./support/chromium.mjs";
import { CACHE, ROOT, install } from "./support/installed.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";
import { watchTracks } from "./support/tracks.mjs";

/** A second call that came up late would be seen by then. */
const LATE_MS = 3_000;

/** The app with a development build of React: only that one mounts twice. */
async function bundle() {
  const folder = join(CACHE, "react");
  install(fileURLToPath(new URL("../tools/react", import.meta.url)), folder);
  const { build } = createRequire(join(ROOT, "npm", "package.json"))("esbuild");
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("support/page/react.js", import.meta.url))],
    nodePaths: [join(folder, "node_modules")],
    define: { "process.env.NODE_ENV": '"development"' },
    bundle: true,
    write: false,
    format: "iife",
    logLevel: "warning",
  });
  return outputFiles[0].text;
}

describe("an app of React in strict mode", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("has one call, one session and one microphone while it is mounted, and none afterwards", async () => {
    const app = await bundle();
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const { page } = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    const tracks = await watchTracks(page);
    await page.addScriptTag({ content: app });
    /** @param {string} method @returns {Promise<any>} */
    const tell = (method) => page.evaluate((name) => /** @type {any} */ (globalThis).app[name](), method);
    const devtools = await page.context().newCDPSession(page);
    /** How many listeners a signal has. @param {number} index */
    const listeners = async (index) => {
      const { result } = await devtools.send("Runtime.evaluate", { expression: `app.signals[${index}]` });
      return (await devtools.send("DOMDebugger.getEventListeners", { objectId: String(result.objectId) })).listeners.length;
    };

    for (const round of [1, 2]) {
      await tell("mount");
      await until("the call is up", async () => (await tell("calls")).up === round);
      await sleep(LATE_MS);
      const { up, ended, refused } = await tell("calls");
      assert.deepEqual({ up, ended }, { up: round, ended: round - 1 });
      assert.deepEqual(refused, Array(round).fill("unmounted"));
      assert.equal(await tracks.live(), 1);
      assert.equal(relay.sessions().filter(({ state }) => state === "live").length, 1);
      assert.equal(relay.sessions().length, round);
      assert.deepEqual(await Promise.all([listeners(2 * round - 2), listeners(2 * round - 1)]), [0, 1]);

      await tell("unmount");
      await until("the call has ended", async () => (await tell("calls")).ended === round);
      assert.equal(await tracks.live(), 0);
      assert.equal(await listeners(2 * round - 1), 0);
      await until("so has the session", () => relay.sessions().every(({ state }) => state === "ended"));
    }
  });

  test("shows a call that exists before it is made by its snapshot alone, and React finds nothing to complain of", async () => {
    const app = await bundle();
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const { page } = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    const tracks = await watchTracks(page);
    /** @type {string[]} */
    const complaints = [];
    page.on("console", (message) => void (["error", "warning"].includes(message.type()) && complaints.push(message.text())));
    page.on("pageerror", (error) => void complaints.push(String(error)));
    await page.addScriptTag({ content: app });
    /** @param {string} method @returns {Promise<any>} */
    const tell = (method) => page.evaluate((name) => /** @type {any} */ (globalThis).app[name](), method);

    await tell("mountShown");
    await page.waitForFunction(() => document.querySelector("#shown")?.textContent === "connected, 0 captions, muted");
    assert.deepEqual((await tell("calls")).refused, ["call_over"], "the first of the two was hung up before it was up");
    assert.ok((await tell("rendered")).includes("starting"));
    assert.equal(await tracks.live(), 1);
    await tell("unmount");
    await until("no track is live", async () => (await tracks.live()) === 0);
    await until("no session is live", () => relay.sessions().every(({ state }) => state === "ended"));
    assert.deepEqual(complaints, []);
  });
});
