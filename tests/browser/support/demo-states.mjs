// @ts-check
// The demo page in each of its states, without a relay: the SDK's place is taken by `page/stub.js`.

import { readFile } from "node:fs/promises";
import { extname } from "node:path";

const DEMO = new URL("../../../examples/demo/", import.meta.url);
const STUB = new URL("page/stub.js", import.meta.url);
const TYPES = /** @type {Record<string, string>} */ ({
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
});

/**
 * Opens the page.
 * @param {import("playwright-core").BrowserContext} context
 * @param {string} [path]
 */
export async function openDemo(context, path = "/") {
  const page = await context.newPage();
  await page.route("http://localhost/**", async (route) => {
    const path = new URL(route.request().url()).pathname;
    const file = path === "/sdk/voxrelay.js" ? STUB : new URL(path === "/" ? "index.html" : path.slice(1), DEMO);
    await route.fulfill({ contentType: TYPES[extname(file.pathname)], body: await readFile(file) });
  });
  await page.goto(`http://localhost${path}`);
  return page;
}

/** Runs in the page. `stub` is typed by nobody. @typedef {any} Stub */

/** With an agent that listens and reads. */
export const SESSION = {
  sessionId: "s1",
  conversationId: "c1",
  agent: "concierge",
  recording: true,
  features: ["samples", "text", "barge_in"],
  limits: { sessionMs: 1_800_000, idleMs: 0, budgetNanoUsd: 5e9 },
  prices: { version: "1", items: [{ item: "deepgram/nova-3", unit: "second", nanoUsd: 80_000, per: 1 }] },
};
const USAGE = { audioMs: 83_400, tokens: 0, characters: 0, cost: 0, costNanoUsd: 6_672_000, leftNanoUsd: 4_993_328_000 };

/** How each state is reached from a fresh page. @type {Record<string, (page: import("playwright-core").Page) => Promise<void>>} */
export const STATES = {
  idle: async () => undefined,
  starting: async (page) => page.locator("#call").click(),
  connecting: async (page) => {
    await page.locator("#call").click();
    await tell(page, "state", { state: "connecting", attempt: 0, retryInMs: 0 });
  },
  listening: connect,
  speaking: async (page) => {
    await connect(page);
    await tell(page, "agent", { state: "speaking" });
  },
  "that does not read": async (page) => {
    await connect(page, { ...SESSION, features: [] });
  },
  writing: write,
  "writing while it is away": async (page) => {
    await write(page);
    await tell(page, "state", { state: "reconnecting", attempt: 1, retryInMs: 600_000 });
    await page.locator("#text").fill("Are you still there?");
    await page.keyboard.press("Enter");
    await page.locator("#text").fill("A long one that is not sent yet, so long that it does not fit into the field.");
  },
  muted: async (page) => {
    await connect(page);
    await page.locator("#mute").click();
  },
  reconnecting: async (page) => {
    await connect(page);
    await press(page, "cut");
    await tell(page, "state", { state: "reconnecting", attempt: 3, retryInMs: 600_000 });
    await tell(page, "gap", { ms: 1_200 });
  },
  closing: async (page) => {
    await connect(page);
    await page.locator("#call").click();
  },
  ended: async (page) => {
    await connect(page);
    await tell(page, "ended", { reason: "normal", code: 1000 });
  },
  "budget spent": async (page) => {
    await connect(page);
    await tell(page, "budget", { scope: "user", percent: 80, limitNanoUsd: 5e9, spentNanoUsd: 4.1e9 });
    await tell(page, "budget", { scope: "user", percent: 100, limitNanoUsd: 5e9, spentNanoUsd: 5e9 });
    await tell(page, "ended", { reason: "budget", code: 4402 });
  },
  "budget nearly spent": async (page) => {
    await connect(page);
    await tell(page, "usage", { ...USAGE, costNanoUsd: 4.1e9, leftNanoUsd: 12_400_000 });
    await tell(page, "budget", { scope: "account", percent: 80, limitNanoUsd: 5e11, spentNanoUsd: 4.9e11 });
  },
  "a long talk": async (page) => {
    await connect(page);
    for (let turn = 2; turn <= 100; turn++) await talk(page, turn, `This is what was said in turn ${turn}.`);
    await talk(page, 101, "مرحبا، هل تسمعني؟ أريد أن أحجز طاولة لشخصين (2) غدًا.");
    await talk(page, 102, `https://example.com/${"a-very-long-address-without-a-blank".repeat(4)}`);
  },
  details: async (page) => {
    await connect(page);
    await press(page, "more");
  },
  refused: async (page) => {
    await page.locator("#call").click();
    await refuse(page, "session_limit");
  },
  "without a microphone": async (page) => {
    await page.locator("#call").click();
    await refuse(page, "microphone_denied");
  },
  error: async (page) => {
    await connect(page);
    await complain(page, "microphone_silent", false);
    await complain(page, "store_unavailable", true);
  },
};

/** A call that runs, with words said. @param {import("playwright-core").Page} page */
export async function connect(page, session = SESSION) {
  await page.locator("#call").click();
  await tell(page, "state", { state: "connecting", attempt: 0, retryInMs: 0 });
  await tell(page, "session", session);
  await tell(page, "state", { state: "connected", attempt: 0, retryInMs: 0 });
  await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.resolve());
  await tell(page, "microphone", { live: true });
  await tell(page, "usage", USAGE);
  await tell(page, "rtt", { ms: 23 });
  await tell(page, "transcript", { role: "user", turn: 1, text: "Hello, can you hear me?", last: true });
  await tell(page, "transcript", { role: "agent", turn: 1, text: "You spoke for 1.8 s. This is what you said.", last: true });
  await tell(page, "level", { input: -22, output: -30 });
}

/** Where the screen has no place for the button, too. @param {import("playwright-core").Page} page @param {string} id */
async function press(page, id) {
  await page.evaluate((which) => document.getElementById(which)?.click(), id);
}

/** The user says something, and the agent says the same. @param {import("playwright-core").Page} page @param {number} turn @param {string} text */
async function talk(page, turn, text) {
  for (const role of ["user", "agent"]) await tell(page, "transcript", { role, turn, text, last: true });
}

/** A call without a microphone, with an agent that only reads; its second answer is on its way. @param {import("playwright-core").Page} page */
export async function write(page) {
  await page.locator("#text").fill("I need some help.");
  await page.keyboard.press("Enter");
  await tell(page, "state", { state: "connecting", attempt: 0, retryInMs: 0 });
  const items = [{ item: "eliza/eliza", unit: "input_token", nanoUsd: 1e9, per: 1_000_000 }];
  await tell(page, "session", { ...SESSION, recording: false, prices: { version: "1", items } });
  await tell(page, "state", { state: "connected", attempt: 0, retryInMs: 0 });
  await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.resolve());
  await tell(page, "usage", { ...USAGE, audioMs: 0, tokens: 412, costNanoUsd: 612_000, leftNanoUsd: 4_999_388_000 });
  await tell(page, "rtt", { ms: 23 });
  await tell(page, "transcript", { role: "user", turn: 1, text: "I need some help.", last: true });
  await tell(page, "transcript", { role: "agent", turn: 1, text: "What would it mean to you if you got some help?", last: true });
  await page.locator("#text").fill("Peace.");
  await page.keyboard.press("Enter");
  await tell(page, "transcript", { role: "user", turn: 2, text: "Peace.", last: true });
  await tell(page, "agent", { state: "speaking" });
  await tell(page, "transcript", { role: "agent", turn: 2, text: "Does that question interest", last: false });
}

/** @param {import("playwright-core").Page} page @param {string} name @param {unknown} event */
export async function tell(page, name, event) {
  await page.evaluate(([what, value]) => /** @type {Stub} */ (globalThis).stub.tell(what, value), [name, event]);
}

/** @param {import("playwright-core").Page} page @param {string} code */
export async function refuse(page, code) {
  await page.evaluate((why) => /** @type {Stub} */ (globalThis).stub.refuse(why, `The message of ${why}.`), code);
}

/** @param {import("playwright-core").Page} page @param {string} code @param {boolean} retryable */
export async function complain(page, code, retryable) {
  await page.evaluate(([why, again]) => /** @type {Stub} */ (globalThis).stub.complain(why, again), [code, retryable]);
}
