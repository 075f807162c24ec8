// @ts-check
// The dashboard, as tests open it, go through it and wait for it, with a call for it to show.

import { launch } from "./chromium.mjs";
import { Relay, until } from "./relay.mjs";
import { speak } from "./speech.mjs";
import { TestPage } from "./test-page.mjs";

/** @typedef {import("playwright-core").Page} Page */

export const SCREENS = { "a small phone": { width: 320, height: 568 }, "a desktop": { width: 1280, height: 800 } };
/** Its pages with the headings of theirs, without those of the calls. */
export const PAGES = { "#/": "Overview", "#/spend": "Spend", "#/budgets": "Budgets", "#/sessions": "Sessions", "#/webhooks": "Webhooks", "#/audit": "Audit" };

/**
 * A relay with a call that goes on.
 * @param {import("./stage.mjs").Stage} stage
 * @param {import("./speech.mjs").Part[]} said
 * @param {Record<string, string>} [settings]
 */
export async function callThatGoesOn(stage, said, settings) {
  const speech = speak(stage, said);
  const relay = await Relay.start(settings);
  stage.after(() => relay.stop());
  const browser = await launch(stage, { microphone: speech.file });
  const origin = `http://127.0.0.1:${relay.port}`;
  const caller = await TestPage.open(browser, origin);
  await caller.start();
  await caller.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
  return { relay, browser, origin, caller };
}

/** What a page throws from here on, and what its policy refuses. @param {import("playwright-core").Page} page @returns {string[]} */
export function complaintsOf(page) {
  /** @type {string[]} */
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) complaints.push(message.text());
  });
  return complaints;
}

/** A token of an administrator of this relay. @param {Relay} relay @param {string[]} more Roles beside the administrators'. */
export const adminOf = (relay, ...more) => relay.token("root", "voxrelay_admin", ...more);

/**
 * @param {import("playwright-core").Browser} browser
 * @param {string} address
 * @param {import("playwright-core").BrowserContextOptions} [screen]
 * @param {(page: Page) => Promise<unknown>} [prepare] What is done before the page is asked for.
 */
export async function open(browser, address, screen = {}, prepare = undefined) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...screen });
  const page = await context.newPage();
  const complaints = complaintsOf(page);
  await prepare?.(page);
  await page.goto(address);
  return { page, complaints };
}

/** @param {Page} page @param {string} title */
export async function shows(page, title) {
  await page.getByRole("heading", { level: 1, name: title }).waitFor();
  await settles(page);
}

/** Goes to what has no link, and waits until the page before is taken away: the heading of the next one may be the same. @param {Page} page @param {string} hash */
export async function goes(page, hash) {
  await page.evaluate((to) => {
    if (location.hash === to) return;
    const gone = new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
    location.hash = to;
    return gone.then(() => undefined);
  }, hash);
}

/**
 * Texts of the page that lie over each other, as far as they are to be seen: what a table that is too wide hides lies over nothing.
 * @param {Page} page @returns {Promise<string[]>} Each pair of them.
 */
export const overlaps = (page) =>
  page.evaluate(() => {
    scrollTo(0, 0);
    /** @type {{ text: string, node: Node, left: number, right: number, top: number, bottom: number }[]} */
    const lines = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      const text = node.textContent?.trim() ?? "";
      if (!element || text === "" || element.closest(".sr, option, script, noscript") || !element.checkVisibility()) continue;
      const frame = element.closest(".wide")?.getBoundingClientRect();
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const rect of range.getClientRects()) {
        const [left, right] = [Math.max(rect.left, frame?.left ?? rect.left), Math.min(rect.right, frame?.right ?? rect.right)];
        if (right > left) lines.push({ text, node, left, right, top: rect.top, bottom: rect.bottom });
      }
    }
    // What is below the bottom of one is below it for all that follow, too.
    lines.sort((a, b) => a.top - b.top);
    /** @type {string[]} */
    const found = [];
    for (const [at, a] of lines.entries()) {
      for (let next = at + 1; next < lines.length && lines[next].top < a.bottom; next += 1) {
        const b = lines[next];
        const [width, height] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - b.top];
        // The lines of a font are a little higher than what is written on them.
        const isOver = width > 2 && height > 0.3 * Math.min(a.bottom - a.top, b.bottom - b.top);
        if (isOver && a.node !== b.node) found.push(`${a.text} | ${b.text}`);
      }
    }
    return found;
  });

/** What has the focus: what it is called, or else its id. @param {Page} page */
export const held = (page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id);
/** Waits until this has the focus, which comes a moment after what was done. @param {Page} page @param {RegExp} wanted @param {string} why */
export const holds = (page, wanted, why) => until(`${wanted} has the focus: ${why}`, async () => wanted.test(String(await held(page))));

/** Waits until what was asked for is there, and each chart is painted. @param {Page} page */
export async function settles(page) {
  await page.waitForFunction(() => {
    const waits = [...document.querySelectorAll("#page p")].some((words) => words.textContent === "…");
    const isPainted = [...document.querySelectorAll(".plot")].every((plot) => plot.querySelector("canvas"));
    return !waits && isPainted && !document.querySelector("#days:disabled");
  });
}
