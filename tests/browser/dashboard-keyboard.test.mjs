// @ts-check
// The dashboard without a pointer: a real relay, a real call, a real browser.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { adminOf, callThatGoesOn, holds, open, shows } from "./support/dashboard.mjs";
import { until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";

describe("the dashboard, by keyboard", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("can be used with the keyboard alone: Tab comes by each control once, in order and to be seen, and the focus is never lost", async () => {
    const { relay, browser, origin } = await callThatGoesOn(stage, ["hello", 20]);
    const { page } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`);
    await shows(page, "Overview");
    await page.getByRole("button", { name: /^End the call of/ }).waitFor();
    /** What has the focus: its number among all that can have it, how many these are, and whether it is to be seen that it has it. */
    const at = () =>
      page.evaluate(() => {
        const all = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter((element) => element.checkVisibility());
        const held = /** @type {HTMLElement} */ (document.activeElement);
        const { top, bottom } = held.getBoundingClientRect();
        const isSeen = bottom > 0 && top < innerHeight && getComputedStyle(held).outlineStyle !== "none";
        return { number: all.indexOf(held), of: all.length, isSeen };
      });
    for (const title of ["Overview", "Sessions", "Budgets"]) {
      if (title !== "Overview") await page.getByRole("link", { name: title, exact: true }).click();
      await shows(page, title);
      await page.locator("#skip").focus();
      // By the keyboard, so that the browser shows what has the focus.
      await page.keyboard.press("Tab");
      await page.keyboard.press("Shift+Tab");
      const { of } = await at();
      assert.ok(of > 10, `${title} has ${of}`);
      for (let number = 0; number < of; number += 1) {
        assert.deepEqual(await at(), { number, of, isSeen: true }, title);
        await page.keyboard.press("Tab");
      }
    }

    await page.getByRole("link", { name: "Overview" }).click();
    await shows(page, "Overview");
    await page.locator("#days").focus();
    await page.locator("#days").selectOption("30");
    await page.locator("#told", { hasText: "30 days are shown." }).waitFor({ state: "attached" });
    await holds(page, /^days$/, "the choice of days keeps it");
    const end = page.getByRole("button", { name: /^End the call of/ });
    await end.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await holds(page, /^End the call of/, "it comes back from a question");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.textContent);
    await until("what is harmless has the focus first", async () => (await focused()) === "Cancel");
    await page.keyboard.press("Tab");
    await until("what is asked for has the focus next", async () => (await focused()) === "End the call");
    await page.keyboard.press("Enter");
    await relay.endedSession();
    await page.getByText("Nobody talks to an agent.").waitFor();
    await holds(page, /^main$/, "what had it is gone");
  });
});
