// @ts-check
// The demo page in each of its states, for everybody: without a relay, by a call that is in whatever state the test says.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { STATES, connect, openDemo } from "../support/demo-states.mjs";
import { CACHE, install } from "../support/installed.mjs";
import { brokenNames } from "../support/lines.mjs";
import { selectorsOf } from "../support/selectors.mjs";
import { Stage } from "../support/stage.mjs";

/** @typedef {import("playwright-core").Page} Page */
/** What `globalThis` holds in the page. @typedef {any} Stub */

const PHONE = { width: 390, height: 664 };
const SMALL_PHONE = { width: 320, height: 568 };
const PHONE_ON_ITS_SIDE = { width: 750, height: 342 };
const DESKTOP = { width: 1280, height: 800 };
const SCREENS = [PHONE, SMALL_PHONE, PHONE_ON_ITS_SIDE, { width: 667, height: 375 }, { width: 844, height: 390 }, { width: 820, height: 1180 }, { width: 932, height: 430 }, DESKTOP];

describe("the demo page in each state", () => {
  const stage = new Stage();
  /** @type {import("playwright-core").Browser} */
  let browser;
  let axe = "";
  /** Where the button is before a call, by the screen. @type {Map<object, number[]>} */
  const places = new Map();
  /** Of each state. @type {Map<string, string>} */
  const titles = new Map();
  /** Each selector of the page's style, and whether it matched something in a state. @type {Map<string, boolean>} */
  const selectors = new Map();

  before(async () => {
    browser = await launch(stage);
    const folder = join(CACHE, "axe");
    install(fileURLToPath(new URL("../../tools/axe", import.meta.url)), folder);
    axe = readFileSync(join(folder, "node_modules", "axe-core", "axe.min.js"), "utf8");
    const page = await fresh();
    for (const viewport of SCREENS) {
      await resize(page, viewport);
      places.set(viewport, await placeOfButton(page));
    }
    await page.context().close();
  });
  after(() => stage.clear());

  /** @param {import("playwright-core").BrowserContextOptions} [screen] */
  async function fresh(screen = {}) {
    return openDemo(await browser.newContext({ reducedMotion: "reduce", ...screen }));
  }

  /** @param {Page} page */
  async function noteSelectors(page) {
    for (const { selector, isMatched } of await selectorsOf(page)) selectors.set(selector, isMatched || selectors.get(selector) === true);
  }

  for (const [name, reach] of Object.entries(STATES)) {
    test(`${name}: the button is where it was, all there is to use and the newest words are in sight, no button's name is broken, twice the letters fit, axe finds nothing`, async () => {
      const page = await fresh({ viewport: PHONE });
      await reach(page);
      await noteSelectors(page);
      await assertTitle(page, name, titles);
      for (const viewport of SCREENS) {
        await resize(page, viewport);
        const screen = `${viewport.width} x ${viewport.height}`;
        assert.deepEqual(await placeOfButton(page), places.get(viewport), `the button's place, ${screen}`);
        await assertInSight(page, viewport, screen);
        await assertNothingSticksOut(page, screen);
        assert.deepEqual(await brokenNames(page), [], `each button's name is whole, ${screen}`);
      }
      await page.evaluate(axe);
      for (const viewport of [DESKTOP, PHONE]) {
        await resize(page, viewport);
        for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
          await page.emulateMedia({ colorScheme });
          assert.deepEqual(await faults(page), [], `${viewport.width} px, ${colorScheme}`);
        }
      }
      await page.addStyleTag({ content: "html { font-size: 200% }" });
      for (const viewport of [PHONE, DESKTOP, SMALL_PHONE]) {
        await resize(page, viewport);
        await assertNothingSticksOut(page, `twice the letters, ${viewport.width} px`);
        assert.deepEqual(await brokenNames(page), [], `each button's name is whole in twice the letters, ${viewport.width} px`);
      }
      await page.context().close();
    });
  }

  test("button, meter, switch and dot are there in colours that the user chose", async () => {
    const page = await fresh({ viewport: DESKTOP, forcedColors: "active", reducedMotion: "reduce" });
    await connect(page);
    for (const selector of [".call", ".meter", ".track", ".pill .dot"]) {
      const { x, y, width, height } = /** @type {{ x: number, y: number, width: number, height: number }} */ (
        await page.locator(selector).first().boundingBox()
      );
      // With what is around it: a dot alone is one colour in any case.
      const clip = { x: x - 4, y: y - 4, width: width + 8, height: height + 8 };
      const share = await shareOfForeground(page, await page.screenshot({ clip }));
      assert.ok(share > 0.02, `${selector}: ${share} of it differs from its surroundings`);
    }
    const off = await page.locator("#cut .track").screenshot();
    await page.locator("#cut").click();
    assert.notDeepEqual(await page.locator("#cut .track").screenshot(), off, "the switch shows that it is on");
  });

  test("its style has no rule that no state needs", async () => {
    // What only a press brings about.
    const page = await fresh();
    await STATES.ended(page);
    await page.locator("#good").click();
    await noteSelectors(page);
    assert.deepEqual([...selectors].filter(([, isMatched]) => !isMatched).map(([selector]) => selector), []);
  });

  test("the tab's title tells the states apart", () => {
    assert.ok(new Set(titles.values()).size >= 8, [...titles.values()].join("; "));
  });
});

/** Until the page has seen it, which it is told with the next frame. @param {Page} page @param {{ width: number, height: number }} viewport */
async function resize(page, viewport) {
  await page.setViewportSize(viewport);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

/** On the screen, wherever the page was scrolled to. @param {Page} page @returns {Promise<number[]>} */
function placeOfButton(page) {
  return page.locator("#call").evaluate((button) => {
    const { x, y, width, height } = button.getBoundingClientRect();
    return [x, y, width, height].map(Math.round);
  });
}

/** The tab of a page in the background says where the call stands. @param {Page} page @param {string} name @param {Map<string, string>} titles */
async function assertTitle(page, name, titles) {
  const title = await page.title();
  titles.set(name, title);
  assert.match(title, /Voxrelay/);
  if (name !== "idle") assert.ok(title.startsWith(String(await page.locator("#pill-text").textContent())), title);
}

/** Without scrolling the page. @param {Page} page @param {{ width: number, height: number }} viewport @param {string} screen */
async function assertInSight(page, { width, height }, screen) {
  const { scrolls, bottoms, newest } = await page.evaluate(() => {
    const ids = ["call", "mute", "headline", "hint", "more", "text", "unread", "notices", "cost", "cut"];
    const shown = ids.map((id) => /** @type {HTMLElement} */ (document.getElementById(id))).filter((element) => element.getClientRects().length > 0);
    const line = document.querySelector("#lines li:last-child");
    return {
      scrolls: document.documentElement.scrollHeight - innerHeight,
      bottoms: Object.fromEntries(shown.map((element) => [element.id, element.getBoundingClientRect().bottom])),
      newest: line && line.getClientRects().length > 0 ? line.getBoundingClientRect().top : undefined,
    };
  });
  assert.equal(scrolls, 0, `the page scrolls, ${screen}`);
  // Two columns: a screen that is wide, or wide and low.
  const hasTwo = width >= 900 || (width >= 740 && height <= 500);
  assert.equal("more" in bottoms, !hasTwo, screen);
  for (const id of ["call", "mute", "headline", "hint"]) assert.ok(id in bottoms, `#${id} is there, ${screen}`);
  if (hasTwo) for (const id of ["cost", "cut"]) assert.ok(id in bottoms, `#${id} is there, ${screen}`);
  // In the details of a phone it may have to be scrolled to.
  for (const [id, bottom] of Object.entries(bottoms)) if (id !== "cut") assert.ok(bottom <= height, `#${id} ends at ${bottom}, ${screen}`);
  if (newest !== undefined) assert.ok(newest + 24 <= height, `the newest line begins at ${newest}, ${screen}`);
}

/** @param {Page} page @returns {Promise<string[]>} */
function faults(page) {
  return page.evaluate(async () => {
    /** @type {{ violations: { id: string, nodes: { html: string }[] }[] }} */
    const { violations } = await /** @type {Stub} */ (globalThis).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(", ")}`);
  });
}

/** Neither the page nor any text is wider than its place; what is typed moves in its field. @param {Page} page @param {string} name */
async function assertNothingSticksOut(page, name) {
  const out = await page.evaluate(() => {
    const wide = document.documentElement.clientWidth;
    const shown = [...document.querySelectorAll("body *")].filter((element) => element.getClientRects().length > 0 && !element.matches("select") && getComputedStyle(element).clipPath === "none");
    return shown
      .filter((element) => element.getBoundingClientRect().right > wide + 1 || (element.clientWidth > 0 && !element.matches("input") && element.scrollWidth > element.clientWidth + 1))
      .map((element) => `${element.tagName}#${element.id}.${element.getAttribute("class")}`);
  });
  assert.deepEqual(out, [], name);
}

/** How much of a picture is not of the colour of its corner. @param {Page} page @param {Buffer} png */
function shareOfForeground(page, png) {
  return page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    if (!context) throw new Error("there is no canvas");
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, picture.width, picture.height);
    let other = 0;
    for (let at = 0; at < data.length; at += 4) {
      const distance = Math.abs(data[at] - data[0]) + Math.abs(data[at + 1] - data[1]) + Math.abs(data[at + 2] - data[2]);
      if (distance > 150) other++;
    }
    return (other * 4) / data.length;
  }, png.toString("base64"));
}
