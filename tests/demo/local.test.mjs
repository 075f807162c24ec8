// @ts-check
// `cargo xtask demo --local`, as a person starts it: the command builds what is missing, starts somebody else's recogniser, model and voice and the
// relay, and says where the page is; on that page a conversation is held.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { after, describe, test } from "node:test";

import { launch } from "../browser/support/chromium.mjs";
import { until } from "../browser/support/relay.mjs";
import { speak } from "../browser/support/speech.mjs";
import { Stage } from "../browser/support/stage.mjs";

const XTASK = process.env.E2E_XTASK;
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Whatever is not built yet is built first. */
const BUILT_MS = 15 * 60_000;
/** Pocketsphinx takes half as long as was spoken, on an idle core. */
const PATIENCE_MS = 60_000;

const SAID = "hello my name is john and i am very sad";

/** Starts it. @param {Stage} stage @returns {Promise<string>} The address that it says. */
async function demo(stage) {
  if (!XTASK) throw new Error("E2E_XTASK is the program of `cargo xtask`: run `cargo xtask test --only demo`");
  const folder = mkdtempSync(join(tmpdir(), "voxrelay-demo-"));
  stage.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = spawn(XTASK, ["demo", "--local", "--listen", "127.0.0.1:0"], {
    cwd: ROOT,
    env: { ...process.env, VOXRELAY_DATA_DIR: folder },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  stage.after(async () => {
    child.kill("SIGTERM");
    await ended;
  });
  const timer = setTimeout(() => child.kill("SIGTERM"), BUILT_MS);
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listening on (http:\S+)/.exec(line)?.[1];
    if (url) {
      clearTimeout(timer);
      child.stdout.resume();
      return url;
    }
  }
  clearTimeout(timer);
  throw new Error("the demo has not said where it listens: the messages above say why");
}

describe("the demo with local providers", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("the page at the address that the command says holds a spoken conversation", async () => {
    const url = await demo(stage);
    const speech = speak(stage, [7, SAID, 30], { flite: "slt" });
    const browser = await launch(stage, { microphone: speech.file });
    const page = await browser.newPage();
    const complaints = /** @type {string[]} */ ([]);
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(url);
    await page.locator("#call").click();
    const captions = async () => (await page.locator("#captions").innerText()).replace(/\s+/g, " ");
    const shows = async (/** @type {(text: string) => boolean} */ is, /** @type {string} */ what) => {
      await until(what, async () => is(await captions()), PATIENCE_MS).catch(async (error) => {
        throw new Error(`${error.message}; it shows ${JSON.stringify(await captions())}`);
      });
    };
    await shows((text) => text.includes("Hello. How are you feeling today?"), "the agent greets");
    await shows((text) => text.includes(SAID), "what was said is understood word for word");
    // Who speaks stands before what is said, in fewer letters.
    await shows((text) => (text.split(SAID)[1] ?? "").replace(/[^a-z]/gi, "").length >= 12, "it is answered");
    await page.locator("#call").click();
    await until("the call is over", async () => (await page.locator("#pill-text").textContent()) === "Ended");
    assert.deepEqual(complaints, []);
  });
});
