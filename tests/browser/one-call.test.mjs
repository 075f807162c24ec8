// @ts-check
// What a reader copies, from the documents and the examples: a second press makes no second call, a refusal is no uncaught error, and after it, or after
// the end of a call, the button makes the next one. Without a relay: the SDK's calls are in whatever state the test says.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";

const ROOT = new URL("../../", import.meta.url);
/** @param {string} name */
const read = (name) => readFileSync(new URL(name, ROOT), "utf8");

/** In the place of the SDK. */
const SDK = `
  class Call {
    snapshot = { state: "idle", captions: [], usage: {}, devices: {} };
    constructor(options) { this.options = options; this.ends = options.onEnded ? [options.onEnded] : []; }
    get state() { return this.snapshot.state; }
    subscribe() {}
    mute() {}
    on() {}
    once(name, listener) { if (name === "ended") this.ends.push(listener); }
    connect() { calls.push(this); this.snapshot.state = "starting"; return new Promise((resolve, reject) => Object.assign(this, { resolve, reject })); }
    refuse() { this.snapshot.state = "closed"; this.reject(new Error("the user said no")); }
    end() { this.snapshot.state = "closed"; for (const end of this.ends) end({}); }
    async close() { this.end(); }
  }
  class VoiceClient extends Call {
    static async connect(options) { const call = new VoiceClient(options); await call.connect(); return call; }
  }
  Object.assign(globalThis, { calls: [], Voxrelay: { Call, VoiceClient } });
`;

/** A page with what a snippet of JavaScript takes for granted. @param {string} code */
const around = (code) => `<!doctype html><title>A call</title><button id="call">Call</button><button id="hangUp">Hang up</button><script src="/sdk/voxrelay.js"></script>
  <script>const button = document.querySelector("#call"); const hangUp = document.querySelector("#hangUp"); const show = () => {}; const render = () => {};</script>
  <script type="module">${code.replace(/^import (.*) from "voxrelay";$/m, "const $1 = Voxrelay;")}</script>`;

/** The first blocks of a document that begin a call. @param {string} name @param {string} language */
function blocks(name, language) {
  const all = [...read(name).matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(([, of, code]) => of === language && /#call|button\.onclick/.test(String(code)));
  return all.map(([, , code]) => String(code));
}

/** All documents of a folder and of those in it. @param {string} folder */
function documents(folder) {
  const names = readdirSync(new URL(folder, ROOT), { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".md")).map((name) => `${folder}/${name}`);
}

/** @type {Record<string, string>} */
const PAGES = Object.fromEntries([
  ...["minimal", "push-to-talk", "visualiser"].map((name) => [`examples/pages/${name}.html`, read(`examples/pages/${name}.html`)]),
  ...blocks("README.md", "html").map((code, index) => [`README.md, ${index + 1}`, code.replace("https://voice.example.com", "")]),
  ...["npm/README.md", "npm/llms.txt", ...documents("docs")].flatMap((name) => blocks(name, "js").map((code, index) => [`${name}, ${index + 1}`, around(code)])),
]);

describe("what a reader copies", () => {
  const stage = new Stage();
  /** @type {import("playwright-core").Browser} */
  let browser;
  before(async () => void (browser = await launch(stage)));
  after(() => stage.clear());

  test("there are as many pages as the documents and examples have", () => assert.equal(Object.keys(PAGES).length, 8, Object.keys(PAGES).join()));

  for (const [name, body] of Object.entries(PAGES)) {
    test(`${name}: one call a press, and the next one after a refusal and after an end`, async () => {
      const page = await browser.newPage();
      /** @type {string[]} */
      const complaints = [];
      page.on("pageerror", (error) => complaints.push(error.message));
      await page.route("http://localhost/**", (route) => {
        const isScript = new URL(route.request().url()).pathname === "/sdk/voxrelay.js";
        return route.fulfill({ contentType: isScript ? "text/javascript" : "text/html", body: isScript ? SDK : body });
      });
      await page.goto("http://localhost/");
      const button = page.locator("#call");
      const press = () => button.evaluate((/** @type {HTMLButtonElement} */ node) => node.click());
      /** How many calls are not over. */
      const open = () => page.evaluate(() => /** @type {any} */ (globalThis).calls.filter((/** @type {any} */ call) => call.state !== "closed").length);
      const made = () => page.evaluate(() => /** @type {any} */ (globalThis).calls.length);
      /** @param {string} method */
      const last = (method) => page.evaluate((which) => /** @type {any} */ (globalThis).calls.at(-1)[which](), method);
      await press();
      await press();
      assert.ok((await open()) <= 1, "there is one call at most");
      if ((await open()) === 0) await press();
      await last("refuse");
      await until("another one can be made", async () => button.isEnabled());
      const count = await made();
      await press();
      assert.equal(await made(), count + 1);
      await last("resolve");
      await last("end");
      await until("another one can be made", async () => button.isEnabled());
      await press();
      assert.deepEqual([await made(), await open()], [count + 2, 1]);
      assert.deepEqual(complaints, []);
      await page.close();
    });
  }
});
