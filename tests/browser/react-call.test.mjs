// @ts-check
// `voxrelay/react` in an app in strict mode, in two versions of React, and on a server.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { launch } from "./support/chromium.mjs";
import { CACHE, ROOT, install } from "./support/installed.mjs";
import { Relay, until } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";
import { watchTracks } from "./support/tracks.mjs";

const APP = fileURLToPath(new URL("support/page/react-call.js", import.meta.url));
const DIST = join(ROOT, "npm", "dist");

/** Where a version of React is. @param {string} tool */
function react(tool) {
  const folder = join(CACHE, tool);
  install(fileURLToPath(new URL(`../tools/${tool}`, import.meta.url)), folder);
  return join(folder, "node_modules");
}

/**
 * The app with the development build of React, which mounts twice in strict mode.
 * @param {string} modules Where React is.
 * @param {string} code
 * @param {string} sdk Where the package's own module is.
 */
async function bundle(modules, code, sdk) {
  const { build } = createRequire(join(ROOT, "npm", "package.json"))("esbuild");
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: ROOT },
    nodePaths: [modules],
    alias: { "voxrelay/react": join(DIST, "react.js") },
    plugins: [
      {
        name: "sdk",
        /** @param {any} plugin */
        setup: (plugin) => plugin.onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: sdk, external: true })),
      },
    ],
    define: { "process.env.NODE_ENV": '"development"' },
    banner: sdk.startsWith("file:") ? { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' } : {},
    platform: sdk.startsWith("file:") ? "node" : "browser",
    bundle: true,
    write: false,
    format: "esm",
    logLevel: "error",
  });
  return outputFiles[0].text;
}

for (const tool of ["react", "react-18"]) {
  describe(`voxrelay/react with ${tool}`, () => {
    const stage = new Stage();
    after(() => stage.clear());

    test("one call is shown by two components, through strict mode and a transition, and is over when its provider is gone", async () => {
      const app = await bundle(react(tool), `import ${JSON.stringify(APP)};`, "/sdk/index.js");
      const relay = await Relay.start();
      stage.after(() => relay.stop());
      const speech = speak(stage, [0.5, "hello", 2, "hello again", 2, "hello once more", 20]);
      const browser = await launch(stage, { microphone: speech.file });
      const { page } = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
      const tracks = await watchTracks(page);
      await page.addScriptTag({ content: app, type: "module" });
      /** @param {string} method */
      const tell = (method) => page.evaluate((name) => /** @type {any} */ (globalThis).app[name](), method);
      const state = () => page.locator("button[data-state]").getAttribute("data-state");
      const states = () => relay.sessions().map(({ state: stored }) => stored);

      await until("the app is there", () => page.evaluate(() => "app" in globalThis));
      await tell("mount");
      await until("it is shown", async () => (await page.locator("button[data-state]").count()) === 1);
      assert.equal(await state(), "idle");
      assert.deepEqual([await tracks.live(), states()], [0, []], "nobody has called yet");

      const button = page.locator("button[data-state]");
      await button.click();
      await until("the call is up", async () => (await state()) === "connected");
      await until("the answer is a caption", async () => /You spoke for/.test((await page.locator("ol").last().textContent()) ?? ""));
      assert.deepEqual([await tracks.live(), states()], [1, ["live"]]);
      await until("the level is shown", async () => Number(await button.getAttribute("data-input")) > -100);

      await tell("again");
      await until("the newest listener hears", () => page.evaluate(() => /** @type {any} */ (globalThis).app.heard.includes(2)));
      assert.deepEqual([await state(), states()], ["connected", ["live"]], "other options make no other call");

      await button.click();
      await until("it is hung up", async () => (await state()) === "closed");
      await until("so is the session", () => states().join() === "ended");
      assert.equal(await tracks.live(), 0);
      await button.click();
      await until("the next call is up", async () => (await state()) === "connected");
      assert.deepEqual([await tracks.live(), states()], [1, ["live", "ended"]]);

      await tell("unmount");
      await until("all sessions have ended", () => states().join() === "ended,ended");
      assert.equal(await tracks.live(), 0);
      assert.equal(await tell("begin"), "call_over", "nobody is there who would hang up");
      assert.deepEqual([await tracks.live(), states().length], [0, 2]);
    });

    test("an element that a server has rendered has its properties by the `ref` of the README, and React says nothing against it", async () => {
      const code = `import { createElement } from "react"; import { hydrateRoot } from "react-dom/client"; import { renderToString } from "react-dom/server";
        const own = (card) => void (card && Object.assign(card, { texts: { call: "Talk to us" } }));
        const app = createElement("voice-call", { ref: own, suppressHydrationWarning: true, relay: location.origin, "token-url": "/dev/token" });
        const root = document.body.appendChild(document.createElement("div"));
        root.innerHTML = renderToString(app);
        globalThis.before = document.querySelector("voice-call");
        hydrateRoot(root, app);`;
      const relay = await Relay.start();
      stage.after(() => relay.stop());
      const browser = await launch(stage);
      const { page } = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
      const said = /** @type {string[]} */ ([]);
      page.on("console", (message) => void (message.type() === "error" && said.push(message.text())));
      await page.evaluate((address) => import(address), "/sdk/element.js");
      await page.addScriptTag({ content: await bundle(react(tool), code, "/sdk/index.js"), type: "module" });
      await until("it has its texts", async () => (await page.locator("voice-call .call").innerText()) === "Talk to us");
      assert.equal(await page.evaluate(() => document.querySelector("voice-call") === /** @type {any} */ (globalThis).before), true, "it is the server's");
      assert.deepEqual(said, []);
    });

    test("a server renders the app of a call that nobody has made", async () => {
      const modules = react(tool);
      const code = `import { createElement } from "react"; import { renderToString } from "react-dom/server"; import { App } from ${JSON.stringify(APP)};
        export const html = renderToString(createElement(App, { rendering: 1 }));`;
      const file = join(CACHE, `${tool}-server.mjs`);
      writeFileSync(file, await bundle(modules, code, pathToFileURL(join(DIST, "index.js")).href));
      const { html } = await import(pathToFileURL(file).href);
      assert.match(html, /<button data-state="idle" data-input="-100">Call<\/button><ol><\/ol>/);
      assert.equal("window" in globalThis, false);
    });
  });
}
