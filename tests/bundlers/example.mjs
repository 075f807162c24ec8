// @ts-check
// What the tests of the examples share: they are run as their own first lines say.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { launch, rawMicrophone } from "../browser/support/chromium.mjs";
import { CACHE, ROOT } from "../browser/support/installed.mjs";
import { Relay, until } from "../browser/support/relay.mjs";
import { speak } from "../browser/support/speech.mjs";
import { packedPackage } from "./workshop.mjs";

/** @typedef {import("../browser/support/stage.mjs").Stage} Stage */

/**
 * @typedef {object} Use
 * @property {(page: Page) => Promise<void>} [before] What is done with a page before its call button is pressed.
 * @property {(page: Page) => Promise<void>} [after] What is done afterwards.
 * @property {(page: Page, complaints: string[]) => Promise<void>} [last] What is done when the agent has answered.
 */
/** @typedef {import("playwright-core").Page} Page */

/** Runs the relay by the command that an example's first lines name, for pages of this origin, whose port was free. @param {Stage} stage @param {string} first @param {string} origin */
export async function relayAsToldIn(stage, first, origin) {
  const [, command = "", settings = ""] = /`voxrelay ([a-z]+) --config ([^`]+)`/.exec(first) ?? [];
  assert.deepEqual([command, settings], ["serve", "examples/token-server/voxrelay.toml"]);
  const relay = await Relay.run([command, "--config", join(ROOT, settings)], { VOXRELAY_ORIGINS: origin });
  stage.after(() => relay.stop());
  return relay;
}

/** The comment with which a page begins. @param {string} page */
export function instructions(page) {
  const comment = /<!--([^]*?)-->/.exec(readFileSync(join(ROOT, "examples", page), "utf8"))?.[1];
  if (!comment) throw new Error(`examples/${page} does not say how it is run`);
  return comment.replaceAll(/\s+/g, " ").trim();
}

/** A project of the examples and, where it looks for it, the packed package. @param {string} name */
export function projectOf(name) {
  const root = join(CACHE, "examples");
  const project = join(root, "examples", name);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  cpSync(join(ROOT, "examples", name), project, {
    recursive: true,
    filter: (file) => !/[\\/](node_modules|dist|\.next|package-lock\.json)$/.test(file),
  });
  cpSync(packedPackage(), join(root, "npm"), { recursive: true });
  // Vite looks for the workspace's root, as it does in the repository.
  cpSync(join(ROOT, "package.json"), join(root, "package.json"));
  return project;
}

/**
 * Runs one of Vite's servers until the test is over.
 * @param {Stage} stage
 * @param {string} folder
 * @param {string} script
 * @param {string} relay
 * @returns {Promise<string>} The address it prints.
 */
export async function server(stage, folder, script, relay) {
  const child = spawn("npm", ["run", script], {
    cwd: folder,
    env: { ...process.env, RELAY: relay, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  // npm starts a shell that starts Vite: the group goes together.
  stage.after(() => child.pid && process.kill(-child.pid));
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /Local:\s+(http:\S+)/.exec(line)?.[1];
    if (address) {
      child.stdout.resume();
      return address;
    }
  }
  throw new Error(`npm run ${script} ended without an address`);
}

/**
 * Opens the page, presses its call button, speaks, and waits for the agent.
 * @param {Stage} stage
 * @param {string} address
 * @param {string} answer Where the page shows what is said.
 * @param {Use} [use]
 */
export async function assertAnswers(stage, address, answer, { before, after, last } = {}) {
  // More than once, for pages that do not listen from the first moment on.
  const speech = speak(stage, [0.5, "hello", 2, "hello", 2, "hello", 2, "hello", 8]);
  const browser = await launch(stage, { microphone: speech.file });
  const context = await browser.newContext();
  await rawMicrophone(context);
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => {
    // No example needs an icon.
    if (message.type() === "error" && !message.location().url.endsWith("/favicon.ico")) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(address);
  await before?.(page);
  await page.locator("#call").click();
  await after?.(page);
  const said = async () => /You spoke for \d/.test((await page.locator(answer).textContent()) ?? "");
  await until(`${address} shows the agent's answer`, said).catch(async (error) => {
    throw new Error(`${error.message}; the page says: ${await page.locator("body").innerText()}; complaints: ${complaints.join("; ")}`);
  });
  await last?.(page, complaints);
  assert.deepEqual(complaints, []);
  await browser.close();
}
