// @ts-check
// A page with a call in Chromium, served by Playwright under the relay's own origin.

import { readFile } from "node:fs/promises";
import { extname } from "node:path";

import { rawMicrophone } from "./chromium.mjs";
import { TestCall } from "./test-call.mjs";

/** @typedef {import("./test-call.mjs").Noted} Noted */

const TYPES = /** @type {Record<string, string>} */ ({ ".html": "text/html", ".js": "text/javascript" });

export class TestPage extends TestCall {
  /**
   * @param {import("playwright-core").BrowserContext} context
   * @param {import("playwright-core").Page} page
   */
  constructor(context, page) {
    super(page);
    this.context = context;
    this.page = page;
  }

  /**
   * @param {import("playwright-core").Browser} browser
   * @param {string} origin Where the browser finds the relay, maybe by way of a proxy.
   * @param {{ policy?: string, headers?: Record<string, string> }} [options] `policy` is the page's content security policy; `headers` are more of its headers.
   */
  static async open(browser, origin, { policy, headers = {} } = {}) {
    const context = await browser.newContext();
    // Playwright serves the page itself, so that Chromium takes it for one of the internet, which may not ask this machine for anything.
    await context.grantPermissions(["local-network-access", "screen-wake-lock"], { origin });
    await rawMicrophone(context);
    const page = await context.newPage();
    const more = { ...headers, ...(policy ? { "content-security-policy": policy } : {}) };
    await page.route(`${origin}/test/**`, (route) => TestPage.serve(route, more));
    await page.goto(`${origin}/test/`);
    return new TestPage(context, page);
  }

  /** Answers with a file of the test page. @param {import("playwright-core").Route} route @param {Record<string, string>} [more] */
  static async serve(route, more = {}) {
    const name = new URL(route.request().url()).pathname.replace("/test/", "") || "index.html";
    const headers = { "content-type": `${TYPES[extname(name)]}; charset=utf-8`, ...more };
    await route.fulfill({ headers, body: await readFile(new URL(`./page/${name}`, import.meta.url)) });
  }
}
