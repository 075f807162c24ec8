// @ts-check
// The demo page, as a person sees and uses it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, describe, test } from "node:test";

import { devices } from "playwright-core";

import { launch, rawMicrophone } from "./support/chromium.mjs";
import { Proxy } from "./support/proxy.mjs";
import { Relay, until } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";

const SCREENS = {
  "a small phone": { ...devices["iPhone SE"], defaultBrowserType: undefined },
  "a phone": { ...devices["Pixel 7"], defaultBrowserType: undefined },
  "a desktop": { viewport: { width: 1440, height: 900 } },
};

describe("the demo page", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /**
   * @param {{ parts?: (string | number)[], allowMicrophone?: boolean, screen?: import("playwright-core").BrowserContextOptions,
   *   settings?: Record<string, string> }} [options] `settings` are the relay's.
   */
  async function open({ parts = ["hello", 20], allowMicrophone = true, screen = {}, settings } = {}) {
    const speech = speak(stage, parts);
    const relay = await Relay.start(settings);
    stage.after(() => relay.stop());
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());
    const browser = await launch(stage, { microphone: speech.file, allowMicrophone });
    const context = await browser.newContext(screen);
    await rawMicrophone(context);
    const page = await context.newPage();
    /** @type {string[]} */
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(proxy.url);
    return { relay, proxy, context, page, complaints };
  }

  for (const [name, screen] of Object.entries(SCREENS)) {
    test(`fits on ${name}, before a call and in it`, async () => {
      const { page, complaints } = await open({ screen });
      await assertFits(page);
      await page.locator("#call").click();
      await shows(page, "#pill-text", "Connected");
      await shows(page, "#captions", /You spoke for/);
      await assertFits(page);
      await page.locator("#call").click();
      await shows(page, "#pill-text", "Ended");
      assert.deepEqual(complaints, []);
    });
  }

  test("is used by keyboard alone, and shows the seconds and the money that the relay stored", async () => {
    const { page, relay } = await open();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "call");
    await page.keyboard.press("Enter");
    await shows(page, "#pill-text", "Connected");
    await shows(page, "#captions", /You spoke for \d\.\d s/);
    await shows(page, "#rtt", /ms$/);
    assert.equal(await page.evaluate(() => document.activeElement?.id), "call", "the button kept the focus");
    const early = await text(page, "#seconds");
    await until("the seconds run", async () => (await text(page, "#seconds")) !== early);
    await page.keyboard.press("Space");
    await shows(page, "#pill-text", "Ended");
    const session = await relay.endedSession();
    assert.equal(await text(page, "#seconds"), `${(session.audio_samples / 16_000).toFixed(1)} s`);
    assert.equal(await text(page, "#cost"), `$${(session.cost_nano_usd / 1e9).toFixed(6)}`);
  });

  test("sums the call up as the relay stored it, takes a rating, and gives the transcript, under the relay's policy", async () => {
    const { page, relay, complaints } = await open();
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    assert.match(await text(page, "#about"), /^You reach the relay at 127\.0\.0\.1:\d+ and its default agent\./);
    await page.locator("#call").click();
    await shows(page, "#about", "You are with the agent “echo”. It listens to you and reads what you write.");
    await shows(page, "#captions", /You spoke for \d\.\d s/);
    await shows(page, "#agent", "Listening");
    await page.locator("#call").click();
    await shows(page, "#why", "You hung up.");
    const session = await relay.endedSession();
    const sums = await text(page, "#sums");
    assert.match(sums, /^Lasted\d+\.\d sTurns1 yours, 1 the agent'sReconnects0Listening billed/);
    assert.ok(sums.endsWith(`Cost$${(session.cost_nano_usd / 1e9).toFixed(6)}`), sums);
    await page.locator("#good").click();
    await until("the rating is stored", () => relay.sessions()[0]?.rating === 5);
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#download").click()]);
    const said = await readFile(await download.path(), "utf8");
    assert.ok(said.startsWith(`Conversation ${session.conversation_id}\nSession ${session.id}, begun `), said);
    assert.match(said, /\nAgent: You spoke for \d\.\d s/);
    assert.deepEqual(complaints, []);
  });

  test("a second press soon after the first leaves no call behind", async () => {
    const { page, relay } = await open();
    for (const pauseMs of [0, 30, 100, 300, 800]) {
      await page.locator("#call").click();
      await sleep(pauseMs);
      await page.locator("#call").click();
      await shows(page, "#pill-text", "Ended");
    }
    // What comes up late is closed, too.
    await sleep(2_000);
    await until("no session lives", () => relay.sessions().every(({ state }) => state === "ended"));
    assert.equal(await text(page, "#pill-text"), "Ended");
  });

  test("shows that the network is gone for 3 s, and that the call is back", async () => {
    const { page, proxy, context } = await open();
    await page.locator("#call").click();
    await shows(page, "#pill-text", "Connected");
    proxy.freeze();
    await context.setOffline(true);
    await shows(page, "#pill-text", "Reconnecting");
    await sleep(3_000);
    assert.equal(await text(page, "#pill-text"), "Reconnecting");
    proxy.thaw();
    await context.setOffline(false);
    await shows(page, "#pill-text", "Connected");
    assert.deepEqual(await page.locator(".notice").allTextContents(), []);
  });

  test("has a switch that cuts the connection until it is switched back", async () => {
    const { page, relay } = await open();
    await page.locator("#call").click();
    await shows(page, "#pill-text", "Connected");
    await page.locator("#cut").click();
    await shows(page, "#pill-text", "Reconnecting");
    assert.equal(await page.locator("#cut").getAttribute("aria-checked"), "true");
    await page.locator("#cut").click();
    await shows(page, "#pill-text", "Connected");
    await page.locator("#call").click();
    const session = await relay.endedSession();
    assert.equal(session.end_reason, "normal");
    assert.ok(session.reconnects >= 1);
  });

  test("says what to do when the microphone is refused", async () => {
    const { page, relay } = await open({ allowMicrophone: false });
    await page.locator("#call").click();
    await shows(page, "#headline", "No access to the microphone");
    await shows(page, "#hint", /Allow it/);
    assert.deepEqual(relay.sessions(), []);
  });

  test("says whose budget runs out and what is left, that it is spent, and why there is no next call", async () => {
    // 15 s of listening; the relay looks at the budgets every 5 s.
    const settings = { VOXRELAY_LIMITS__USER_DAY_USD: "0.0012" };
    const { page, relay, complaints } = await open({ settings, screen: SCREENS["a small phone"] });
    await page.locator("#call").click();
    await shows(page, "#left", /^\$0\.00\d{4} left$/);
    await shows(page, "#notices", /^Your budget for today is [5-9]\d % spent\$0\.00\d{4} of \$0\.001200\./);
    assert.ok(await page.locator(".notice").evaluate((notice) => notice.getBoundingClientRect().bottom <= innerHeight), "it is in sight");
    await assertFits(page);
    await shows(page, "#pill-text", "Ended");
    assert.equal(await text(page, "#headline"), "Your budget for today is spent");
    await shows(page, "#hint", /next day begins at midnight UTC/);
    await shows(page, "#captions", /This call has reached its budget and ends here\.$/);
    assert.equal(await text(page, "#left"), "nothing left");
    assert.deepEqual(await page.locator(".notice").allTextContents(), []);
    await assertFits(page);
    await page.locator("#call").click();
    await shows(page, "#pill-text", "Failed");
    assert.equal(await text(page, "#headline"), "Your budget for today is spent");
    assert.equal(relay.sessions().length, 1);
    assert.deepEqual(complaints, []);
  });

  test("says why a call waits for another one to end", async () => {
    const { page, context, proxy } = await open({ settings: { VOXRELAY_LIMITS__SESSIONS_PER_USER: "1" } });
    await page.locator("#call").click();
    await shows(page, "#pill-text", "Connected");
    const second = await context.newPage();
    await second.goto(proxy.url);
    await second.locator("#call").click();
    await shows(second, "#notices", /^Too many calls at once/);
    await page.locator("#call").click();
    await shows(page, "#pill-text", "Ended");
    await shows(second, "#pill-text", "Connected");
    assert.deepEqual(await second.locator(".notice").allTextContents(), []);
  });

  test("stops metering while muted", async () => {
    const { page } = await open({ parts: ["one two three four five six seven eight nine ten", 20] });
    await page.locator("#call").click();
    await shows(page, "#pill-text", "Connected");
    await page.locator("#mute").click();
    await shows(page, "#pill-text", "Muted");
    // What was on its way when the button was pressed is metered still, which takes a slow machine a while.
    let muted = "";
    const stands = async () => {
      muted = await text(page, "#seconds");
      await sleep(2_500);
      return (await text(page, "#seconds")) === muted;
    };
    await until("nothing is metered any more", stands, 15_000);
    await page.locator("#mute").click();
    await until("it is metered again", async () => (await text(page, "#seconds")) !== muted);
  });
});

/** @param {import("playwright-core").Page} page */
async function assertFits(page) {
  const { wide, wider } = await page.evaluate(() => ({
    wide: document.documentElement.clientWidth,
    wider: [...document.querySelectorAll("body *")]
      .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
      .map((element) => `${element.tagName}#${element.id}.${element.getAttribute("class")}`),
  }));
  assert.deepEqual(wider, [], `wider than ${wide} px`);
  const scroll = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(scroll <= wide, `${scroll} px on a screen of ${wide}`);
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} selector
 */
async function text(page, selector) {
  return (await page.locator(selector).textContent())?.trim() ?? "";
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} selector
 * @param {string | RegExp} expected
 */
async function shows(page, selector, expected) {
  let last = "";
  const matches = async () => {
    last = await text(page, selector);
    return typeof expected === "string" ? last === expected : expected.test(last);
  };
  await until(`${selector} shows ${expected}`, matches).catch((error) => {
    throw new Error(`${error.message}; it shows ${JSON.stringify(last)}`);
  });
}
