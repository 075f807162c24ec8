// @ts-check
// The element in each of its states, without a relay: the SDK's module is replaced by `page/element-stub.js`.

import { readFile } from "node:fs/promises";

const DIST = new URL("../../../npm/dist/", import.meta.url);
const STUB = new URL("page/element-stub.js", import.meta.url);

/** What a site that allows nothing but its own files says. The element's own scripts are such. */
export const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; require-trusted-types-for 'script'";

const STYLE = `
  html { background: #eceae5; }
  body { margin: 0; } main { display: grid; place-items: center; min-height: 100svh; overflow: clip; }
  @media (prefers-color-scheme: dark) { html { background: #0c0e10; } }
  @media (max-width: 480px) { voice-call { --voice-call-height: 100svh; --voice-call-radius: 0px; } }
`;

/** @typedef {import("playwright-core").Page} Page */

/**
 * Opens a page that has the element and nothing else, with what the element fetches before a call, unless the test wants to see it `fetch` that.
 * @param {import("playwright-core").BrowserContext} context
 * @param {{ attributes?: string, lang?: string, policy?: string, fetches?: boolean }} [options]
 */
export async function openElement(context, { attributes = "", lang = "en", policy = POLICY, fetches = false } = {}) {
  const page = await context.newPage();
  const files = /** @type {Record<string, () => Promise<[type: string, body: string | Buffer]>>} */ ({
    "/": async () => [
      "text/html",
      `<!doctype html><html lang="${lang}"><meta name="viewport" content="width=device-width"><title>Shop</title><link rel="stylesheet" href="/page.css">
       <main><h1>Shop</h1><voice-call relay="https://voice.example.com" token-url="/voice-token" ${attributes}></voice-call></main>
       <script type="module" src="/sdk/element.js"></script></html>`,
    ],
    "/page.css": async () => ["text/css", `h1 { position: absolute; inset-inline-start: -99in } ${STYLE}`],
    "/sdk/element.js": async () => ["text/javascript", await readFile(new URL("element.js", DIST))],
    "/sdk/element-call.js": async () => ["text/javascript", await readFile(new URL("element-call.js", DIST))],
    "/sdk/index.js": async () => ["text/javascript", await readFile(STUB)],
  });
  await page.route("http://localhost/**", async (route) => {
    const file = files[new URL(route.request().url()).pathname];
    if (!file) return route.fulfill({ status: 404 });
    const [type, body] = await file();
    await route.fulfill({ contentType: `${type}; charset=utf-8`, body, headers: { "content-security-policy": policy } });
  });
  await page.goto("http://localhost/");
  await page.waitForFunction(() => customElements.get("voice-call"));
  if (!fetches) await page.evaluate((address) => import(address), "/sdk/element-call.js");
  return page;
}

/** Tells the newest call something. @param {Page} page @param {string} method @param {...unknown} args */
export async function tell(page, method, ...args) {
  await page.waitForFunction(() => /** @type {any} */ (globalThis).calls.length > 0);
  await page.evaluate(([name, values]) => {
    const call = /** @type {any} */ (globalThis).calls.at(-1);
    return call[/** @type {string} */ (name)](.../** @type {unknown[]} */ (values));
  }, /** @type {const} */ ([method, args]));
}

/** What the newest call has of that name. @param {Page} page @param {string} name @returns {Promise<any>} */
export function of(page, name) {
  return page.evaluate((which) => {
    const call = /** @type {any} */ (globalThis).calls.at(-1);
    return call?.[which];
  }, name);
}

/** A call that is up, by a press of the button. @param {Page} page @param {object} [session] */
export async function connect(page, session) {
  await page.locator(".call").click();
  await tell(page, "answer", session);
}

/** @param {Page} page */
async function talk(page) {
  await connect(page);
  await tell(page, "say", "agent", 1, "Hello! How can I help you today?");
  await tell(page, "say", "user", 2, "Is there a table for two tomorrow at eight?");
  await tell(page, "say", "agent", 2, "There is one by the window and one on the terrace. Which one would you like?");
  await tell(page, "say", "user", 3, "The one by", false);
  await tell(page, "loud", -14, -60);
}

/** How each state is reached from a page that was just opened. @type {Record<string, (page: Page) => Promise<unknown>>} */
export const STATES = {
  idle: async () => undefined,
  "idle in text": (page) => page.locator(".mode").click(),
  consent: async (page) => {
    await set(page, "consent", "");
    await page.locator(".call").click();
  },
  starting: (page) => page.locator(".call").click(),
  connecting: async (page) => {
    await page.locator(".call").click();
    await tell(page, "enter", "connecting");
  },
  waiting: async (page) => {
    await page.locator(".call").click();
    await tell(page, "complain", "session_limit", { retryAfterMs: 60_000 });
    await page.locator('voice-call[state="waiting"]').waitFor();
  },
  connected: (page) => connect(page, { recording: true }),
  talking: talk,
  thinking: async (page) => {
    await talk(page);
    await tell(page, "say", "user", 3, "The one by the window, please.");
    await tell(page, "change", { agent: "thinking" });
  },
  "with much said": async (page) => {
    await talk(page);
    for (let turn = 4; turn < 12; turn++) await tell(page, "say", turn % 2 ? "user" : "agent", turn, `This is turn ${turn} of a long conversation.`);
  },
  muted: async (page) => {
    await talk(page);
    await page.locator(".mute").click();
  },
  devices: async (page) => {
    await talk(page);
    await page.locator(".settings").click();
  },
  writing: async (page) => {
    await talk(page);
    await page.locator(".mode").click();
    await page.locator("input").fill("The one by the window, please.");
  },
  reconnecting: async (page) => {
    await talk(page);
    await tell(page, "enter", "reconnecting");
  },
  "with a silent microphone": async (page) => {
    await talk(page);
    await tell(page, "complain", "microphone_silent");
  },
  "too loud": async (page) => {
    await talk(page);
    await tell(page, "change", { quality: { warnings: ["clipping"] } });
  },
  "listened to": async (page) => {
    await talk(page);
    await tell(page, "tell", "listened", { listening: true });
  },
  "over HTTP": async (page) => {
    await talk(page);
    await tell(page, "change", { transport: "http" });
  },
  "recorded over HTTP": async (page) => {
    await connect(page, { recording: true });
    await tell(page, "change", { transport: "http" });
  },
  "on hold": async (page) => {
    await talk(page);
    await tell(page, "change", { onHold: true });
  },
  "no sound": async (page) => {
    await talk(page);
    await tell(page, "complain", "audio_unavailable", { cause: "suspended: it waits for a click" });
  },
  closing: async (page) => {
    await talk(page);
    await page.locator(".call").click();
  },
  ended: async (page) => {
    await talk(page);
    await tell(page, "end", "normal");
  },
  rated: async (page) => {
    await talk(page);
    await tell(page, "end", "normal");
    await page.locator(".thumb").first().click();
  },
  "budget spent": async (page) => {
    await talk(page);
    await tell(page, "complain", "budget");
    await tell(page, "end", "budget");
  },
  "without a microphone": async (page) => {
    await page.locator(".call").click();
    await tell(page, "refuse", "microphone_denied");
  },
  refused: async (page) => {
    await page.locator(".call").click();
    await tell(page, "refuse", "agent_unknown");
  },
};

/** Sets a property or an attribute of the element. @param {Page} page @param {string} name @param {unknown} value */
export async function set(page, name, value) {
  await page.evaluate(([which, what]) => void Object.assign(/** @type {any} */ (document.querySelector("voice-call")), { [String(which)]: what }), [name, value]);
}
