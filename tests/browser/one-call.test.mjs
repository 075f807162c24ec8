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
  class VoxrelayError extends Error { code = "microphone_denied"; }
  class Call {
    snapshot = { state: "idle", captions: [], usage: {}, devices: {} };
    constructor(options) { this.options = options; this.ends = options.onEnded ? [options.onEnded] : []; }
    get state() { return this.snapshot.state; }
    subscribe() {}
    mute() {}
    on() {}
    async setMicrophone() { this.microphones = (this.microphones ?? 0) + 1; }
    async sendText() {}
    once(name, listener) { if (name === "ended") this.ends.push(listener); }
    connect() { calls.push(this); this.snapshot.state = "starting"; return new Promise((resolve, reject) => Object.assign(this, { resolve, reject })); }
    refuse() { this.snapshot.state = "closed"; this.reject(new VoxrelayError("the user said no")); }
    says(event) { this.options.onTranscript(event); }
    end() { this.snapshot.state = "closed"; for (const end of this.ends) end({}); }
    async close() { this.end(); }
  }
  class VoiceClient extends Call {
    static async connect(options) { const call = new VoiceClient(options); await call.connect(); return call; }
  }
  Object.assign(globalThis, { calls: [], Voxrelay: { Call, VoiceClient, VoxrelayError } });
`;

/** A page with what a snippet of JavaScript takes for granted. @param {string} code */
const around = (code) => `<!doctype html><title>A call</title><button id="call">Call</button><button id="hangUp">Hang up</button><script src="/sdk/voxrelay.js"></script>
  <script>const button = document.querySelector("#call"); const hangUp = document.querySelector("#hangUp"); const show = () => {}; const render = () => {};</script>
  <script type="module">${ofScript(code)}</script>`;

/** A module's code with the SDK of a script tag. @param {string} code */
const ofScript = (code) => code.replace(/^import (.*) from "voxrelay";$/m, "const $1 = Voxrelay;");

/** The page of an npm project, with its module in it. */
function bundled() {
  const script = `<script src="/sdk/voxrelay.js"></script><script type="module">${ofScript(read("examples/esm/main.js"))}</script>`;
  return read("examples/esm/index.html").replace('<script type="module" src="main.js"></script>', () => script);
}

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
  ...readdirSync(new URL("examples/pages", ROOT)).map((name) => [`examples/pages/${name}`, read(`examples/pages/${name}`)]),
  // Their servers write the relay's address.
  ...["token-server", "tools"].map((name) => [`examples/${name}/index.html`, read(`examples/${name}/index.html`).replaceAll("RELAY/", "/")]),
  ["examples/esm/main.js", bundled()],
  ...blocks("README.md", "html").map((code, index) => [`README.md, ${index + 1}`, code.replace("https://voice.example.com", "")]),
  ...["npm/README.md", "npm/llms.txt", ...documents("docs")].flatMap((name) => blocks(name, "js").map((code, index) => [`${name}, ${index + 1}`, around(code)])),
]);

/** Presses a button in the page; if it stands in a form, with something written in that. @param {HTMLElement} button */
const pressed = (button) => {
  const field = button.closest("form")?.querySelector("input");
  if (field) field.value = "Hello";
  button.click();
};

describe("what a reader copies", () => {
  const stage = new Stage();
  /** @type {import("playwright-core").Browser} */
  let browser;
  before(async () => void (browser = await launch(stage)));
  after(() => stage.clear());

  test("there are as many pages as the documents and examples have", () => assert.equal(Object.keys(PAGES).length, 12, Object.keys(PAGES).join()));

  /** Opens a page, with the SDK's stand-in; gives it, and what it complains of. @param {string} body */
  async function visit(body) {
    const page = await browser.newPage();
    /** @type {string[]} */
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.route("http://localhost/**", (route) => {
      const isScript = new URL(route.request().url()).pathname === "/sdk/voxrelay.js";
      return route.fulfill({ contentType: isScript ? "text/javascript" : "text/html", body: isScript ? SDK : body });
    });
    await page.goto("http://localhost/");
    return { page, complaints };
  }

  for (const [name, body] of Object.entries(PAGES)) {
    test(`${name}: one call a press, and the next one after a refusal and after an end`, async () => {
      const { page, complaints } = await visit(body);
      // Where what is written makes the call, that is what is sent.
      const button = page.locator(name.startsWith("examples/tools/") ? "form button" : "#call");
      const press = () => button.evaluate(pressed);
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

  for (const [name, press] of [["examples/pages/text-and-voice.html", "#call"], ["examples/tools/index.html", "form button"]]) {
    test(`${name}: the next call begins like the first, and leaves the lines of the one before`, async () => {
      const { page, complaints } = await visit(String(PAGES[String(name)]));
      const button = page.locator(String(press));
      const label = await button.textContent();
      /** @param {string} method @param {object} [argument] */
      const last = (method, argument) => page.evaluate(([which, what]) => /** @type {any} */ (globalThis).calls.at(-1)[String(which)](what), [method, argument]);
      for (const text of ["of the first", "of the second"]) {
        await button.evaluate(pressed);
        await last("resolve");
        await last("says", { role: "user", turn: 1, text: "a word" });
        await last("says", { role: "user", turn: 1, text });
        if (press === "#call") await until("the button stops the talk", async () => (await button.textContent()) === "Stop talking");
        await last("end");
        assert.equal(await button.textContent(), label);
      }
      const said = await page.locator("#said li").allTextContents();
      assert.deepEqual(said.map((line) => line.replace(/^.*: /, "")), ["of the first", "of the second"]);
      if (press === "#call") assert.deepEqual(await page.evaluate(() => /** @type {any} */ (globalThis).calls.map((/** @type {any} */ call) => call.microphones)), [1, 1]);
      assert.deepEqual(complaints, []);
      await page.close();
    });
  }

  for (const name of ["examples/pages/text-and-voice.html", "examples/tools/index.html"]) {
    test(`${name}: what is typed is sent once, however often Enter is pressed, and stands in its field again when it was refused`, async () => {
      const { page, complaints } = await visit(String(PAGES[name]));
      const field = page.locator("[name=text]");
      await page.evaluate(() => {
        const { Voxrelay } = /** @type {any} */ (globalThis);
        /** @type {string[]} */
        const sent = [];
        Voxrelay.VoiceClient.prototype.sendText = async (/** @type {string} */ text) => void sent.push(text);
        Object.assign(globalThis, { sent });
      });
      const sent = () => page.evaluate(() => /** @type {any} */ (globalThis).sent);
      await field.fill("Hello");
      await field.press("Enter");
      await field.press("Enter");
      await page.evaluate(() => /** @type {any} */ (globalThis).calls[0].resolve());
      await until("it is sent", async () => (await sent()).length > 0);
      assert.deepEqual([await sent(), await field.inputValue()], [["Hello"], ""]);
      await page.evaluate(() => {
        const { Voxrelay } = /** @type {any} */ (globalThis);
        Voxrelay.VoiceClient.prototype.sendText = () => new Promise((_, reject) => Object.assign(globalThis, { refuse: reject }));
      });
      await field.fill("What is refused");
      await field.press("Enter");
      await until("it is being sent", () => page.evaluate(() => "refuse" in globalThis));
      await field.fill("and what comes after it");
      await page.evaluate(() => /** @type {any} */ (globalThis).refuse(new Error("it is too long")));
      await until("it is told", async () => (await page.locator("#said").textContent())?.includes("it is too long"));
      assert.equal(await field.inputValue(), "What is refused and what comes after it");
      assert.deepEqual(complaints, []);
      await page.close();
    });
  }

  test("examples/pages/push-to-talk.html: a button that is held when the call ends is let go", async () => {
    const { page, complaints } = await visit(String(PAGES["examples/pages/push-to-talk.html"]));
    const talk = page.locator("#talk");
    await page.locator("#call").evaluate(pressed);
    await page.evaluate(() => /** @type {any} */ (globalThis).calls[0].resolve());
    await until("the user may talk", async () => talk.isEnabled());
    await talk.focus();
    await page.keyboard.down("Space");
    assert.deepEqual([await talk.getAttribute("aria-pressed"), await talk.textContent()], ["true", "Let go to send"]);
    // What it shows at that moment, before the browser takes the focus from it.
    const shown = await talk.evaluate((node) => {
      const [call] = /** @type {any} */ (globalThis).calls;
      /** @type {boolean[]} */
      const muted = [];
      call.mute = (/** @type {boolean} */ isMuted) => void muted.push(isMuted);
      call.end();
      return [node.getAttribute("aria-pressed"), node.textContent, muted.join()];
    });
    assert.deepEqual(shown, ["false", "Hold to talk", "true"]);
    assert.deepEqual(complaints, []);
    await page.close();
  });

  test("examples/pages/text-and-voice.html: a microphone that is refused within a call ends no call, and makes no second one", async () => {
    const { page } = await visit(String(PAGES["examples/pages/text-and-voice.html"]));
    const press = () => page.locator("#call").evaluate((/** @type {HTMLElement} */ node) => node.click());
    await press();
    await page.evaluate(() => {
      const { calls, Voxrelay } = /** @type {any} */ (globalThis);
      calls[0].setMicrophone = async () => {
        throw new Voxrelay.VoxrelayError("the user said no");
      };
      calls[0].resolve(calls[0]);
    });
    await until("it is told", async () => (await page.locator("#said").textContent())?.includes("the user said no"));
    await press();
    assert.equal(await page.evaluate(() => /** @type {any} */ (globalThis).calls.length), 1);
    await page.close();
  });
});
