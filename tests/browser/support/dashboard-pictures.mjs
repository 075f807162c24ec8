// @ts-check
// Takes a picture of each page of the dashboard with 2,000 sessions, on phone and desktop, light and dark: `node tests/browser/support/dashboard-pictures.mjs`,
// after `cargo xtask build` and `cargo build --package relay`, with a part of a page's name for only those. They lie in target/pictures/dashboard.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { launch } from "./chromium.mjs";
import { ROOT } from "./installed.mjs";
import { Stage } from "./stage.mjs";

/** @typedef {import("playwright-core").Page} Page */

const FOLDER = join(ROOT, "target", "pictures", "dashboard");
const SCREENS = { phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 800 } };
const SESSION = "s0000017";

/** What is to be seen: the address within the dashboard, and what is done there. @type {Record<string, [string, ((page: Page) => Promise<unknown>)?]>} */
const PICTURES = {
  overview: ["#/"],
  "overview thinking": ["#/", (page) => page.locator("#stage").selectOption("llm")],
  spend: ["#/spend"],
  budgets: ["#/budgets"],
  "budgets dialog": ["#/budgets", (page) => page.getByRole("button", { name: /^Set the budget of/ }).first().click()],
  sessions: ["#/sessions"],
  call: [`#/call/${SESSION}`],
  "call table": [`#/call/${SESSION}`, (page) => page.getByText("As a table").click()],
  "call dialog": [`#/call/${SESSION}`, (page) => page.getByRole("button", { name: "Give credit" }).click()],
  webhooks: ["#/webhooks"],
  audit: ["#/audit"],
};

/** Starts the relay with its sessions. @param {Stage} stage @returns {Promise<{ origin: string, token: string }>} */
async function serve(stage) {
  const program = ["run", "--quiet", "--package", "tests", "--example", "dashboard", "--", "2000", "--serve"];
  const child = spawn("cargo", program, { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  stage.after(async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, "exit");
  });
  for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line);
  throw new Error("the relay did not start");
}

/** Calls that go on, as the relay would tell them. */
function live() {
  const sessions = [0, 1, 2].map((at) => ({
    id: `live-${at}`,
    user_sub: `user-${17 * (at + 1)}`,
    agent: `agent-${at}`,
    account: `account-${at}`,
    started_at: new Date(Date.now() - 90_000 * (at + 1)).toISOString(),
    cost_nano_usd: 2_400_000 * (at + 1),
  }));
  return `${JSON.stringify({ sessions, more: false })}\n`;
}

/** Waits until what was asked for is there, and each chart is painted. @param {Page} page */
async function settles(page) {
  await page.waitForFunction(() => {
    const waits = [...document.querySelectorAll("#page p")].some((words) => words.textContent === "…");
    return !waits && !document.querySelector("#days:disabled") && [...document.querySelectorAll(".plot")].every((plot) => plot.querySelector("canvas"));
  });
}

const stage = new Stage();
const only = process.argv[2];
mkdirSync(FOLDER, { recursive: true });
try {
  const { origin, token } = await serve(stage);
  const browser = await launch(stage);
  for (const [screen, viewport] of Object.entries(SCREENS)) {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      const context = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce" });
      await context.route("**/v1/admin/live/watch", (route) => route.fulfill({ body: live(), contentType: "application/x-ndjson" }));
      const page = await context.newPage();
      const take = (/** @type {string} */ name) =>
        page.screenshot({ path: join(FOLDER, `${name.replaceAll(" ", "-")}-${screen}-${colorScheme}.png`), fullPage: true });
      await page.goto(`${origin}/dashboard`);
      if (!only || "door".includes(only)) await take("door");
      for (const [name, [hash, act]] of Object.entries(PICTURES)) {
        if (only && !name.includes(only)) continue;
        // A dialog of the page before is gone with it.
        await page.goto("about:blank");
        await page.goto(`${origin}/dashboard#token=${token}`);
        await page.locator("#page h1").waitFor();
        if (hash !== "#/") await page.evaluate((to) => (location.hash = to), hash);
        const link = hash.startsWith("#/call/") ? "#/sessions" : hash;
        await page.locator(`#pages a[aria-current="page"][href="${link}"]`).waitFor();
        await page.locator("#page h1").waitFor();
        await settles(page);
        await act?.(page);
        await settles(page);
        await take(name);
      }
      await context.close();
    }
  }
} finally {
  await stage.clear();
}
