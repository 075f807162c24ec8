// @ts-check
// The element in each of its states, for everybody: without a relay, by calls that are in whatever state the test says.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { STATES, connect, openElement, set, tell } from "../support/element-states.mjs";
import { CACHE, ROOT, install } from "../support/installed.mjs";
import { brokenNames } from "../support/lines.mjs";
import { until } from "../support/relay.mjs";
import { Stage } from "../support/stage.mjs";

/** @typedef {import("playwright-core").Page} Page */

const PHONE = { width: 360, height: 640 };
const DESKTOP = { width: 1280, height: 800 };
const SMALLEST = { width: 320, height: 480 };

/** What the README says of the element, and of that the parts and the variables that a page may style. */
const README = readFileSync(join(ROOT, "npm", "README.md"), "utf8").split("\n## The element\n")[1]?.split("\n## ")[0] ?? "";
const PARTS = namesIn(/^Parts for `::part\(\)`: ([^]*?)\n\n/m.exec(README)?.[1] ?? "");
const VARIABLES = README.split("\n").filter((line) => line.startsWith("| `--voice-call-")).flatMap((row) => namesIn(row.split(" | ")[0] ?? ""));

/** What each variable is set to, and where that is to be seen. @type {Record<string, readonly [value: string, selector: string, property: "backgroundColor" | "borderRadius" | "color" | "fontFamily" | "height"]>} */
const STYLED = {
  "--voice-call-accent": ["rgb(90, 30, 160)", ".call .face", "backgroundColor"],
  "--voice-call-on-accent": ["rgb(250, 240, 230)", ".call .face", "color"],
  "--voice-call-background": ["rgb(240, 250, 230)", ".card", "backgroundColor"],
  "--voice-call-text": ["rgb(10, 20, 30)", ".card", "color"],
  "--voice-call-radius": ["7px", ".card", "borderRadius"],
  "--voice-call-font": ["monospace", ".card", "fontFamily"],
  "--voice-call-height": ["500px", ".card", "height"],
};

describe("the element in each state", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** What there was to see of each state. @type {Map<string, { axe: string[], complaints: string[], places: string[], outside: string[], broken: string[], head: string[] }>} */
  const seen = new Map();
  /** The parts that were seen in some state, in the style of the page. @type {Set<string>} */
  const styled = new Set();

  // Each state is reached once, which takes longer than to look at it in many ways.
  before(async () => {
    const folder = join(CACHE, "axe");
    install(fileURLToPath(new URL("../../tools/axe", import.meta.url)), folder);
    const axe = readFileSync(join(folder, "node_modules", "axe-core", "axe.min.js"), "utf8");
    const browser = await launch(stage);
    /** @param {string} name @param {(page: Page) => Promise<unknown>} reach */
    const look = async (name, reach) => {
      const context = await browser.newContext({ viewport: PHONE, reducedMotion: "reduce", permissions: ["microphone"] });
      const page = await openElement(context);
      /** @type {string[]} */
      const complaints = [];
      page.on("console", (message) => {
        if (message.type() === "error") complaints.push(message.text());
      });
      await reach(page);
      for (const part of await partsInStyle(page)) styled.add(part);
      const place = async () => JSON.stringify(await page.locator(".call .face").boundingBox());
      const places = [await place()];
      await page.evaluate(axe);
      const found = [];
      const broken = [];
      /** What is wrong with its head. @type {string[]} */
      const head = [];
      const lookAtHead = async () => {
        const { rows, gaps } = await headOf(page);
        if (rows > 1 || gaps.length > 0) head.push(`${page.viewportSize()?.width} px: ${rows} rows, ${gaps.join()} px before its end`);
      };
      for (const viewport of [PHONE, DESKTOP]) {
        await resize(page, viewport);
        broken.push(...(await brokenNames(page)));
        await lookAtHead();
        for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
          await page.emulateMedia({ colorScheme });
          const what = await faults(page);
          found.push(...what.map((fault) => `${viewport.width} px, ${colorScheme}: ${fault}`));
        }
      }
      await resize(page, SMALLEST);
      places.push(await place());
      const out = await outside(page);
      broken.push(...(await brokenNames(page)));
      await lookAtHead();
      await resize(page, PHONE);
      await page.evaluate(() => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync("html { font-size: 200% }");
        document.adoptedStyleSheets = [sheet];
      });
      out.push(...(await outside(page)).map((what) => `letters of twice the size: ${what}`));
      broken.push(...(await brokenNames(page)).map((what) => `letters of twice the size: ${what}`));
      // It may have several rows then, each as long as the head.
      const { gaps } = await headOf(page);
      if (gaps.length > 0) head.push(`letters of twice the size: ${gaps.join()} px before its end`);
      seen.set(name, { axe: found, complaints, places, outside: out, broken, head });
      await context.close();
    };
    const left = Object.entries(STATES);
    // Some at a time: most of it is waiting.
    const several = Array.from({ length: 4 }, async () => {
      for (let next = left.shift(); next; next = left.shift()) await look(...next);
    });
    await Promise.all(several);
    await stage.clear();
  });

  for (const name of Object.keys(STATES)) {
    test(`${name}: axe finds nothing, no policy is broken, nothing sticks out, no button's name is broken, the head is one row, and the button has not moved`, () => {
      const { places, ...faults } = seen.get(name) ?? { places: [] };
      assert.deepEqual(faults, { axe: [], complaints: [], outside: [], broken: [], head: [] });
      assert.deepEqual(places, seen.get("idle")?.places);
    });
  }

  test("from right to left all of it stands the other way round", async () => {
    const browser = await launch(stage);
    const places = [];
    for (const attributes of ["", 'dir="rtl"']) {
      const page = await openElement(await browser.newContext({ viewport: PHONE }), { attributes });
      await STATES.talking?.(page);
      const middle = async (/** @type {string} */ selector) => {
        const box = await page.locator(selector).first().boundingBox();
        return Math.round((box?.x ?? 0) + (box?.width ?? 0) / 2);
      };
      const user = (await page.locator(".user").first().boundingBox())?.x ?? 0;
      places.push([await middle(".mute"), await middle(".call"), await middle(".mode"), await middle(".dot"), user > 30]);
      if (!attributes) continue;
      await page.locator(".mode").click();
      assert.notEqual(await page.locator(".send svg").evaluate((svg) => getComputedStyle(svg).transform), "none");
    }
    const [[mute, call, mode, dot, userEnds], [mirrored, callToo, modeToo, dotToo, userBegins]] = /** @type {any} */ (places);
    for (const [there, here] of [[mirrored, mute], [callToo, call], [modeToo, mode], [dotToo, dot]]) {
      assert.ok(Math.abs(there - (PHONE.width - here)) <= 1, `${here} px and ${there} px`);
    }
    assert.deepEqual([userEnds, userBegins], [true, false]);
  });

  test("every button, meter and line is there in colours that the user chose", async () => {
    const browser = await launch(stage);
    const page = await openElement(await browser.newContext({ viewport: PHONE, forcedColors: "active", reducedMotion: "reduce" }));
    await STATES.talking?.(page);
    for (const selector of [".call .face", ".mute .face", ".mode .face", "li.agent", "li.user"]) {
      const style = await page.locator(selector).first().evaluate((node) => getComputedStyle(node).borderTopStyle);
      assert.equal(style, "solid", selector);
    }
    const halo = await page.locator(".halo").boundingBox();
    assert.ok(halo && halo.width > 0 && halo.height > 0, "the meter of the microphone");
    const plain = await page.locator(".mute").screenshot();
    await page.locator(".mute").click();
    assert.notDeepEqual(await page.locator(".mute").screenshot(), plain);
  });

  test("texts are replaceable, each for itself, before the element is known and after, and are never HTML", async () => {
    const browser = await launch(stage);
    const page = await openElement(await browser.newContext({ viewport: PHONE }), { lang: "de" });
    await set(page, "texts", { call: "Anrufen", states: { idle: ["Sprechen Sie mit <b>uns</b>", "Knopf drücken."] } });
    assert.equal(await page.locator(".call").innerText(), "Anrufen");
    assert.equal(await page.locator(".words strong").innerText(), "Sprechen Sie mit <b>uns</b>");
    assert.equal(await page.locator(".mode").innerText(), "Write");
    assert.equal(await page.locator(".card").getAttribute("lang"), "de", "they are in the page's language");
    await page.evaluate(() => {
      const early = document.createElement("voice-call");
      Object.assign(early, { texts: { call: "Ring" } });
      document.querySelector("main")?.append(early);
    });
    assert.equal(await page.locator("voice-call").nth(1).locator(".call").innerText(), "Ring");
    const first = page.locator("voice-call").first();
    for (const none of [null, undefined]) {
      await first.evaluate((node, texts) => void Object.assign(node, { texts: { call: "Anrufen" } }, { texts }), none);
      assert.equal(await first.locator(".call").innerText(), "Call");
      assert.equal(await first.locator(".card").getAttribute("lang"), "en", "they are English again");
    }
  });

  test("every part that the README names is there in some state, in the page's style", () => {
    assert.ok(PARTS.length > 10, PARTS.join());
    assert.deepEqual(PARTS.filter((part) => !styled.has(part)), []);
  });

  test("every variable that the README names is what the page sets it to, by day and by night", async () => {
    assert.deepEqual([...VARIABLES].sort(), Object.keys(STYLED).sort());
    const browser = await launch(stage);
    const page = await openElement(await browser.newContext({ viewport: DESKTOP, reducedMotion: "reduce" }));
    await page.evaluate((rules) => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(`voice-call { ${rules} }`);
      document.adoptedStyleSheets = [sheet];
    }, Object.entries(STYLED).map(([name, [value]]) => `${name}: ${value};`).join(" "));
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      await page.emulateMedia({ colorScheme });
      for (const [name, [value, selector, property]] of Object.entries(STYLED)) {
        const found = await page.locator(selector).evaluate((node, which) => getComputedStyle(node)[which], property);
        assert.equal(found, value, `${name}, ${colorScheme}`);
      }
    }
  });

  test("the accent, the theme and the parts are the page's", async () => {
    const browser = await launch(stage);
    const page = await openElement(await browser.newContext({ viewport: PHONE, colorScheme: "light", reducedMotion: "reduce" }), { attributes: 'theme="dark"' });
    const background = (/** @type {string} */ selector) => page.locator(selector).evaluate((node) => getComputedStyle(node).backgroundColor);
    assert.equal(await background(".card"), "rgb(22, 25, 28)");
    await page.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("voice-call { --voice-call-accent: rgb(90, 30, 160); } voice-call::part(header) { background: rgb(1, 2, 3) }");
      document.adoptedStyleSheets = [sheet];
    });
    assert.equal(await background(".call .face"), "rgb(90, 30, 160)");
    assert.equal(await background(".head"), "rgb(1, 2, 3)");
  });

  test("loudness moves the button's halo, and not where motion is not wanted", async () => {
    const browser = await launch(stage);
    for (const reducedMotion of /** @type {const} */ (["no-preference", "reduce"])) {
      const page = await openElement(await browser.newContext({ viewport: PHONE, reducedMotion }));
      await connect(page);
      const halo = () => page.locator(".halo").evaluate((node) => getComputedStyle(node).transform);
      const silent = await halo();
      await tell(page, "loud", -6, -100);
      if (reducedMotion !== "reduce") {
        await until("it moves", async () => (await halo()) !== silent);
        continue;
      }
      await page.waitForTimeout(300);
      assert.equal(await halo(), silent);
    }
  });
});

/** What stands between the backquotes of a text. @param {string} text */
function namesIn(text) {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => String(name));
}

/** The parts that can be seen, and that the page's style reaches: by a property that moves nothing. @param {Page} page */
function partsInStyle(page) {
  return page.evaluate((parts) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`${parts.map((part) => `voice-call::part(${part})`).join()} { scroll-margin-top: 7px }`);
    document.adoptedStyleSheets = [sheet];
    const root = /** @type {ShadowRoot} */ (document.querySelector("voice-call")?.shadowRoot);
    const nodes = [...root.querySelectorAll("[part]")].filter((node) => node.getClientRects().length > 0);
    const found = nodes.filter((node) => getComputedStyle(node).scrollMarginTop === "7px").flatMap((node) => [...node.part]);
    document.adoptedStyleSheets = [];
    return found;
  }, PARTS);
}

/** Until the page has seen it, which it is told with the next frame: what can be scrolled then is a stop of the keyboard. @param {Page} page @param {{ width: number, height: number }} viewport */
async function resize(page, viewport) {
  await page.setViewportSize(viewport);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

/** What keeps people out, as axe finds it. @param {Page} page */
function faults(page) {
  return page.evaluate(async () => {
    /** @type {{ violations: { id: string, nodes: { html: string, failureSummary: string }[] }[] }} */
    const { violations } = await /** @type {any} */ (globalThis).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(", ")}`);
  });
}

/** How many rows the head has, and how many pixels before its end those of them end that are shorter. @param {Page} page */
function headOf(page) {
  return page.evaluate(() => {
    const head = /** @type {Element} */ (document.querySelector("voice-call")?.shadowRoot?.querySelector(".head"));
    const end = head.getBoundingClientRect().right - parseFloat(getComputedStyle(head).paddingRight);
    /** @type {{ top: number, bottom: number, right: number }[]} */
    const rows = [];
    for (const part of head.children) {
      if (part.getClientRects().length === 0) continue;
      const { top, bottom, right } = part.getBoundingClientRect();
      const row = rows.find((known) => top < known.bottom && bottom > known.top);
      if (!row) rows.push({ top, bottom, right });
      else Object.assign(row, { top: Math.min(top, row.top), bottom: Math.max(bottom, row.bottom), right: Math.max(right, row.right) });
    }
    return { rows: rows.length, gaps: rows.map(({ right }) => Math.round(end - right)).filter((gap) => Math.abs(gap) > 1) };
  });
}

/** What reaches beyond the card or is cut off. @param {Page} page */
function outside(page) {
  return page.evaluate(() => {
    const root = /** @type {ShadowRoot} */ (document.querySelector("voice-call")?.shadowRoot);
    const card = /** @type {Element} */ (root.querySelector(".card")).getBoundingClientRect();
    const window = document.documentElement.getBoundingClientRect();
    return [...root.querySelectorAll(".card *")]
      .filter((node) => node.getClientRects().length > 0 && !node.matches(".sr, svg, path, .halo, .orb, .orb *, li, li *, ol"))
      // What does not fit there can be scrolled to.
      .filter((node) => !node.parentElement?.closest("[part=consent], [part=devices], [role=alert]"))
      .filter((node) => {
        const { left, right, bottom } = node.getBoundingClientRect();
        return left < card.left || right > card.right + 1 || bottom > Math.max(card.bottom, window.bottom) + 1 || node.scrollWidth > node.clientWidth + 1;
      })
      .filter((node) => node.clientWidth > 0 && !node.matches("input, select"))
      .map((node) => `${node.tagName}.${node.getAttribute("class")}`);
  });
}
