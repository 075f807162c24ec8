// @ts-check
// How the dashboard looks: a real relay and a real browser, with figures and lists that the test says.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { adminOf, open, shows } from "./support/dashboard.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";

/** @typedef {import("playwright-core").Page} Page */

describe("the looks of the dashboard", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** The overview. @param {import("playwright-core").BrowserContextOptions} [screen] @param {(page: Page) => Promise<unknown>} [prepare] What is done before the page is asked for. */
  async function begin(screen, prepare) {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const { page, complaints } = await open(browser, `http://127.0.0.1:${relay.port}/dashboard#token=${adminOf(relay)}`, screen, prepare);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    return { page, complaints };
  }

  test("the legend of a chart has no lines but around its colours", async () => {
    const { page } = await begin();
    await shows(page, "Overview");
    const lined = await page.locator(".u-legend, .u-legend *:not(.u-marker)").evaluateAll((parts) =>
      parts.filter((part) => /[1-9]/.test(getComputedStyle(part).borderWidth)).map((part) => `${part.tagName} ${part.textContent}`),
    );
    assert.deepEqual(lined, []);
    assert.ok((await page.locator(".u-legend .u-marker").count()) > 0, "there is a legend");
  });
});
