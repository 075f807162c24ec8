// @ts-check
// The dashboard without a pointer: a real relay, a real call, a real browser.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { PAGES, SCREENS, adminOf, callThatGoesOn, goes, holds, open, settles, shows } from "../support/dashboard.mjs";
import { until } from "../support/relay.mjs";
import { Stage } from "../support/stage.mjs";

/** @typedef {import("playwright-core").Locator} Locator */
/** @typedef {import("playwright-core").Page} Page */
/** What `globalThis` holds in the page. @typedef {any} Stub */

/** No page has more that can have the focus. */
const STOPS_MAX = 80;
/** A control is left by so many presses at most: a date has its day, month and year, and a calendar. */
const PRESSES_MAX = 5;
/** Whom nobody hears, so that there is a message that can be sent again. */
const SETTINGS = {
  VOXRELAY_WEBHOOKS__CRM__URL: "http://127.0.0.1:9/",
  VOXRELAY_WEBHOOKS__CRM__SECRET: "a secret of the tests, long enough",
  VOXRELAY_WEBHOOKS__CRM__EVENTS: "call.started",
  VOXRELAY_API__REQUESTS_PER_MINUTE: "1000",
};

/**
 * What has the focus: its number among all in this place that can have it, how many these are, whether it is to be seen that it has it, and whether it
 * has a name.
 * @param {Page} page @param {string} [place]
 */
function at(page, place = "body") {
  return page.evaluate((selector) => {
    const inside = /** @type {Element} */ (document.querySelector(selector));
    const all = [...inside.querySelectorAll("a[href], button, input, select, summary, audio, [tabindex='0']")].filter((element) => element.checkVisibility());
    const held = /** @type {HTMLElement} */ (document.activeElement);
    const { left, right, top, bottom } = held.getClientRects()[0];
    // In the middle of what is in the window, nothing lies over it.
    const middle = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ end) => (Math.max(from, 0) + Math.min(to, end)) / 2;
    const isOnTop = held.contains(document.elementFromPoint(middle(left, right, innerWidth), middle(top, bottom, innerHeight)));
    const labels = [.../** @type {Stub} */ (held).labels ?? []].map((label) => label.textContent).join(" ");
    const name = held.getAttribute("aria-label") ?? (held.matches("input, select") ? labels : held.textContent);
    return {
      number: all.indexOf(held),
      of: all.length,
      isSeen: isOnTop && getComputedStyle(held).outlineStyle !== "none",
      isNamed: (name ?? "").trim() !== "",
    };
  }, place);
}

/** Comes by all that can have the focus in this place, of which the first has it, and stays at the last. @param {Page} page @param {string} title @param {string} [place] */
async function walk(page, title, place) {
  let now = await at(page, place);
  const { of } = now;
  for (let number = 0; number < of; number += 1) {
    assert.deepEqual(now, { number, of, isSeen: true, isNamed: true }, title);
    for (let press = 0; press < PRESSES_MAX && now.number === number && number + 1 < of; press += 1) {
      await page.keyboard.press("Tab");
      now = await at(page, place);
    }
  }
  return of;
}

/** @param {Locator} target */
const hasFocus = (target) => target.evaluate((element) => element === document.activeElement);

/** Goes on until this has the focus. @param {Page} page @param {Locator} target @param {"Tab" | "Shift+Tab"} [key] */
async function tabTo(page, target, key = "Tab") {
  await target.waitFor();
  for (let stop = 0; stop < STOPS_MAX; stop += 1) {
    if (await hasFocus(target)) return;
    await page.keyboard.press(key);
  }
  throw new Error(`${target} is not come by`);
}

/** Presses this with Enter. @param {Page} page @param {Locator} target @param {"Tab" | "Shift+Tab"} [key] How it is come by. */
async function presses(page, target, key) {
  await tabTo(page, target, key);
  await page.keyboard.press("Enter");
}

/** Asks with this, comes by all of the question, and says no by Escape; and once more, by its button. What asked has the focus each time. @param {Page} page @param {Locator} asker */
async function asksAndSaysNo(page, asker) {
  const dialog = page.getByRole("dialog");
  for (const isEscape of [true, false]) {
    await presses(page, asker);
    await dialog.waitFor();
    await until("the first control of the question has the focus", async () => (await at(page, "#ask")).number === 0);
    if (isEscape) {
      await walk(page, `the question of ${asker}`, "#ask");
      await page.keyboard.press("Escape");
    } else await presses(page, dialog.getByRole("button", { name: "Cancel" }));
    await dialog.waitFor({ state: "hidden" });
    await until(`${asker} has the focus again`, () => hasFocus(asker));
  }
}

describe("the dashboard, by keyboard", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  for (const [name, viewport] of Object.entries(SCREENS)) {
    test(`on each page Tab comes by each control once, in order, to be seen and with its name, on ${name}`, async () => {
      const { relay, browser, origin } = await callThatGoesOn(stage, ["hello", 20], SETTINGS);
      const { page } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`, { viewport });
      await shows(page, "Overview");
      const [session] = relay.sessions();
      for (const [hash, title] of Object.entries({ ...PAGES, [`#/call/${session?.id}`]: /^Call of/ })) {
        await goes(page, hash);
        await page.getByRole("heading", { level: 1, name: title }).waitFor();
        await settles(page);
        if (hash === "#/") await page.getByRole("button", { name: /^End the call of/ }).waitFor();
        await page.locator("#skip").focus();
        // By the keyboard, so that the browser shows what has the focus.
        await page.keyboard.press("Tab");
        await page.keyboard.press("Shift+Tab");
        const of = await walk(page, hash);
        assert.ok(of > 10, `${hash} has ${of}`);
      }
    });
  }

  test("whoever has no pointer signs in, goes to each page, says no to each question and has the focus where it was, and signs out", async () => {
    const { relay, browser, origin } = await callThatGoesOn(stage, ["hello", 20], SETTINGS);
    const { page, complaints } = await open(browser, `${origin}/dashboard`);
    const content = page.locator("#page");
    const button = (/** @type {string | RegExp} */ name) => content.getByRole("button", { name, exact: true }).first();
    /** What is asked on each page, once it is there. @type {Record<string, () => Promise<void>>} */
    const questions = {
      Overview: async () => {
        await asksAndSaysNo(page, button(/^End the call of/));
        await presses(page, content.locator("summary").first());
        await content.locator("details[open] table").first().waitFor();
      },
      Spend: () => asksAndSaysNo(page, button("Give credit")),
      Budgets: async () => {
        await asksAndSaysNo(page, button("Set a budget"));
        await tabTo(page, page.getByLabel("Spent or set aside"));
        // By its first letter.
        await page.keyboard.press("a");
        await presses(page, button("Show"));
        await asksAndSaysNo(page, button(/^Set the budget of/));
      },
      Sessions: async () => {},
      Webhooks: () => asksAndSaysNo(page, button(/^Send again: call.started to crm/)),
      Audit: async () => {},
    };
    await holds(page, /^token$/, "that is what is asked for first");
    await page.keyboard.insertText(adminOf(relay));
    await page.keyboard.press("Enter");
    for (const title of Object.values(PAGES)) {
      if (title !== "Overview") await presses(page, page.getByRole("link", { name: title, exact: true }), "Shift+Tab");
      await shows(page, title);
      await holds(page, /^main$/, "the content of a page is what is read next");
      await questions[title]();
    }
    await presses(page, page.getByRole("link", { name: "Sessions", exact: true }), "Shift+Tab");
    await shows(page, "Sessions");
    await presses(page, content.locator("a[data-of^='call ']").first());
    await page.getByRole("heading", { level: 1, name: /^Call of/ }).waitFor();
    await settles(page);
    for (const asker of ["End the call", "Deny the user", "Give credit"]) await asksAndSaysNo(page, button(asker));
    assert.equal(relay.sessions()[0]?.state, "live", "nothing was done");
    await presses(page, page.getByRole("button", { name: "Sign out" }), "Shift+Tab");
    await holds(page, /^token$/, "it is asked for again");
    assert.deepEqual(complaints, []);
  });

  test("the focus is never lost: a choice keeps it, a question gives it back, and what is gone leaves it to the content", async () => {
    const { relay, browser, origin } = await callThatGoesOn(stage, ["hello", 20]);
    const { page } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`);
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
