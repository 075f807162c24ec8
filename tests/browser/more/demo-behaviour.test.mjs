// @ts-check
// What the demo page does and says: without a relay, by a call that is in whatever state the test says.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { SESSION, STATES, complain, connect, openDemo, refuse, tell, write } from "../support/demo-states.mjs";
import { until } from "../support/relay.mjs";
import { Stage } from "../support/stage.mjs";

/** @typedef {import("playwright-core").Page} Page */
/** What `globalThis` holds in the page. @typedef {any} Stub */

const PHONE = { width: 390, height: 664 };

describe("the demo page", { concurrency: 2 }, () => {
  const stage = new Stage();
  /** @type {import("playwright-core").Browser} */
  let browser;

  before(async () => (browser = await launch(stage)));
  after(() => stage.clear());

  /** @param {import("playwright-core").BrowserContextOptions} [screen] @param {string} [path] */
  async function fresh(screen = {}, path = "/") {
    return openDemo(await browser.newContext({ reducedMotion: "reduce", ...screen }), path);
  }

  test("a second press of the button hangs up, whatever is being done", async () => {
    const page = await fresh();
    await page.locator("#call").dblclick();
    assert.equal(await page.locator("#pill-text").textContent(), "Ended");
    assert.deepEqual(await count(page), { begun: 1, closed: 1 });
    // Even where the call comes up anyway.
    await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.resolve());
    await tell(page, "state", { state: "connected", attempt: 0, retryInMs: 0 });
    assert.equal(await page.locator("#pill-text").textContent(), "Ended");
    // The next press is a new call, which the old one cannot disturb.
    await page.locator("#call").click();
    assert.equal((await count(page)).begun, 2);
    assert.equal(await page.locator("#pill-text").textContent(), "Starting");
  });

  test("a press while the last words are sent calls again after them, and one more does not", async () => {
    const page = await fresh();
    await connect(page);
    await page.locator("#call").click();
    assert.equal(await page.locator("#pill-text").textContent(), "Ending");
    assert.equal(await page.locator("#call-label").textContent(), "Call");
    await page.locator("#call").click();
    await page.locator("#call").click();
    await page.locator("#call").click();
    assert.deepEqual(await count(page), { begun: 1, closed: 1 });
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.deepEqual(await count(page), { begun: 2, closed: 1 });
    assert.equal(await page.locator("#pill-text").textContent(), "Starting");
    await connected(page);
    await page.locator("#call").click();
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.deepEqual(await count(page), { begun: 2, closed: 2 });
    assert.equal(await page.locator("#pill-text").textContent(), "Ended");
  });

  test("Enter sends what is typed and keeps the focus, and what was not taken, or will not arrive, is in the field again", async () => {
    const page = await fresh();
    const stub = (/** @type {string} */ name) => page.evaluate((which) => /** @type {Stub} */ (globalThis).stub[which], name);
    const lines = () => page.locator("#lines li span").allTextContents();
    await write(page);
    assert.equal(await stub("microphone"), false, "nobody is asked for a microphone");
    assert.deepEqual(await stub("typed"), ["I need some help.", "Peace."], "the first one waited for the call");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "text");
    assert.equal((await lines()).length, 4, "what was typed is there once, and the transcript has it");
    await tell(page, "transcript", { role: "agent", turn: 2, text: "Does that question interest you?", last: true });
    assert.equal((await lines()).at(-1), "Does that question interest you?");

    await page.keyboard.type("  ");
    await page.keyboard.press("Enter");
    await page.locator("#text").fill("<b>one</b>");
    await page.locator("#write button").click();
    assert.equal(await page.evaluate(() => document.activeElement?.id), "text");
    assert.deepEqual(await stub("typed"), ["I need some help.", "Peace.", "<b>one</b>"], "a blank is nothing");
    assert.equal((await lines()).at(-1), "<b>one</b>", "it is text");
    await tell(page, "undelivered", { message: { type: "text", text: "<b>one</b>" } });
    assert.equal(await page.locator("#text").inputValue(), "<b>one</b>");
    assert.equal((await lines()).length, 4);

    await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.takeNone("messages_full"));
    await page.keyboard.press("Enter");
    await until("it is back", async () => (await page.locator("#text").inputValue()) === "<b>one</b>");
    assert.match(String(await page.locator("#notices").textContent()), /^Too much waits/);
  });

  test("an agent that does not read has no field, and a call that was typed to it ends with what to do", async () => {
    const page = await fresh();
    await STATES["that does not read"]?.(page);
    assert.equal(await page.locator("#write").isVisible(), false);
    await tell(page, "ended", { reason: "normal", code: 1000 });
    await page.locator("#text").fill("Hello");
    await page.keyboard.press("Enter");
    const { closed } = await count(page);
    await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.takeNone("not_supported"));
    await connected(page);
    await until("it is hung up", async () => (await count(page)).closed > closed);
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.match(String(await page.locator("#notices").textContent()), /^The agent does not read/);
    assert.equal(await page.locator("#text").inputValue(), "Hello");
  });

  test("limits of a call are not shown after it", async () => {
    const page = await fresh();
    const before = await page.locator("#foot").textContent();
    await connect(page);
    assert.match(String(await page.locator("#foot").textContent()), /at most 30 minutes and \$5\.00/);
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.equal(await page.locator("#foot").textContent(), before);
  });

  test("says who speaks, mutes and unmutes by two signs, and speaks of HTTPS only where it is missing", async () => {
    const page = await fresh();
    await connect(page);
    await tell(page, "agent", { state: "speaking" });
    assert.equal(await page.locator("#headline").textContent(), "The agent is speaking");
    const sign = () => page.locator("#mute svg:visible path").getAttribute("d");
    const heard = await sign();
    await page.locator("#mute").click();
    await until("the sign is another one", async () => (await sign()) !== heard);
    assert.equal(await page.getByRole("button", { name: "Unmute", exact: true }).getAttribute("aria-pressed"), null, "its name says it");
    await tell(page, "ended", { reason: "normal", code: 1000 });
    await page.locator("#call").click();
    await refuse(page, "microphone_blocked");
    await until("it is refused", async () => (await page.locator("#pill-text").textContent()) === "Failed");
    assert.doesNotMatch(String(await page.locator("#hint").textContent()), /HTTPS/);
  });

  test("says before a call whom it reaches, and in one what the agent has told of itself and nothing else", async () => {
    const page = await fresh({}, "/?agent=concierge");
    const about = () => page.locator("#about").textContent();
    assert.equal(await about(), "You reach the relay at localhost and its agent “concierge”. What the agent is and can do is told when it answers.");
    const second = { item: "deepgram/nova-3", unit: "second", nanoUsd: 80_000, per: 1 };
    const character = { item: "deepgram/aura-2", unit: "character", nanoUsd: 30_000_000, per: 1_000 };
    const large = { item: "anthropic/claude", unit: "input_token>100000", nanoUsd: 500, per: 1 };
    for (const [features, items, said] of /** @type {const} */ ([
      [["samples", "text", "barge_in", "tool_result"], [second, character], "It listens to you, reads what you write and answers aloud. You may interrupt it. It can use tools."],
      [["samples", "text"], [second], "It listens to you and reads what you write."],
      [[], [second], "It listens to you. It does not read."],
      [["text"], [], "It reads what you write."],
      [[], [], ""],
    ])) {
      await connect(page, { ...SESSION, features: [...features], prices: { version: "1", items: [...items] } });
      assert.equal(await about(), `You are with the agent “concierge”.${said && ` ${said}`}`);
      await tell(page, "ended", { reason: "normal", code: 1000 });
      assert.match(String(await about()), /^You were with the agent/);
    }
    assert.equal(await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.options.agent), "concierge");
    await connect(page, { ...SESSION, agent: "stand-in", prices: { version: "1", items: [second, character, large] } });
    assert.match(String(await about()), /^You are with the agent “stand-in”\./, "what it is called counts, not what was asked for");
    assert.deepEqual(await rows(page, "prices"), ["deepgram/nova-3: $0.0048 a minute", "deepgram/aura-2: $0.03 for 1,000 characters", "anthropic/claude: $0.50 for a million input tokens, in prompts of more than 100,000"]);
  });

  test("without an agent in its address none is asked for, and one that tells no name has none", async () => {
    const page = await fresh();
    assert.match(String(await page.locator("#about").textContent()), /and its default agent\./);
    await connect(page, { ...SESSION, agent: /** @type {any} */ (undefined) });
    assert.match(String(await page.locator("#about").textContent()), /^You are with an agent that has told no name\./);
    assert.equal(await page.evaluate(() => "agent" in /** @type {Stub} */ (globalThis).stub.options), false);
  });

  test("says that one may interrupt only where the relay does", async () => {
    const page = await fresh();
    for (const [features, hint] of /** @type {const} */ ([[["text", "barge_in"], /interrupt/], [["text"], /^(?!.*interrupt)/]])) {
      await connect(page, { ...SESSION, features: [...features] });
      await tell(page, "agent", { state: "speaking" });
      assert.match(String(await page.locator("#hint").textContent()), hint);
      await tell(page, "ended", { reason: "normal", code: 1000 });
    }
  });

  test("a call that goes over HTTP shows so among how it is, and the next one does not", async () => {
    const page = await fresh();
    const row = page.locator("#over-http");
    await connect(page);
    assert.equal(await row.isVisible(), false);
    await tell(page, "transport", { transport: "http" });
    assert.equal(await row.isVisible(), true);
    assert.equal(await row.textContent(), "ConnectionOver HTTP");
    await tell(page, "ended", { reason: "normal", code: 1000 });
    await connect(page);
    assert.equal(await row.isVisible(), false);
  });

  test("sums a call up when it is over: how long, how much, why; the next call takes that away", async () => {
    const page = await fresh();
    await connect(page);
    assert.equal(await page.locator("#summary").isVisible(), false);
    for (let time = 0; time < 2; time++) {
      await tell(page, "state", { state: "reconnecting", attempt: 1, retryInMs: 0 });
      await tell(page, "state", { state: "connected", attempt: 0, retryInMs: 0 });
    }
    await tell(page, "gap", { ms: 1_200 });
    await tell(page, "gap", { ms: 800 });
    await tell(page, "transcript", { role: "agent", turn: 2, text: "", last: true });
    const usage = { audioMs: 83_400, tokens: 1_412, characters: 210, cost: 0, costNanoUsd: 6_672_000, leftNanoUsd: 1e9 };
    await tell(page, "usage", usage);
    assert.equal(await page.locator("#reconnects").textContent(), "2");
    await tell(page, "ended", { reason: "too_long", code: 4410, usage });
    const [lasted, ...sums] = await rows(page, "sums");
    assert.match(lasted, /^Lasted: \d+\.\d s$/);
    assert.deepEqual(sums, [
      "Turns: 1 yours, 1 the agent's",
      "Reconnects: 2",
      "Lost on the way: 2.0 s",
      "Listening billed: 1:23",
      "Tokens billed: 1,412",
      "Characters spoken: 210",
      "Cost: $0.006672",
    ]);
    assert.equal(await page.locator("#why").textContent(), "It reached its longest duration.");
    await page.locator("#call").click();
    assert.equal(await page.locator("#summary").isVisible(), false);
    assert.deepEqual(await page.locator("#lines li").allTextContents(), []);
  });

  test("tells whether the user hung up or the other side did, and has no summary of a call that never was", async () => {
    const page = await fresh();
    await connect(page);
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.equal(await page.locator("#why").textContent(), "The other side ended it.");
    await connect(page);
    await page.locator("#call").click();
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.equal(await page.locator("#why").textContent(), "You hung up.");
    await page.locator("#call").click();
    await page.locator("#call").click();
    assert.equal(await page.locator("#pill-text").textContent(), "Ended");
    assert.equal(await page.locator("#summary").isVisible(), false);
    await page.locator("#call").click();
    await refuse(page, "session_limit");
    assert.equal(await page.locator("#summary").isVisible(), false);
  });

  test("a rating goes to the relay, can be changed, and says when it was not kept", async () => {
    const page = await fresh();
    await connect(page);
    await tell(page, "ended", { reason: "normal", code: 1000 });
    const pressed = () => page.locator(".after [aria-pressed=true]").allTextContents();
    await page.locator("#good").click();
    await until("it is kept", async () => (await page.locator("#rate").textContent()) === "Thank you.");
    await page.locator("#bad").click();
    await until("it is changed", async () => (await pressed()).join() === "Bad");
    assert.deepEqual(await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.rated), [{ rating: 5 }, { rating: 1 }]);
    await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.takeNone("link_lost"));
    await page.locator("#good").click();
    await until("it says so", async () => /^That was not kept/.test(String(await page.locator("#rated").textContent())));
    assert.deepEqual(await pressed(), []);
  });

  test("the transcript is a file of plain text with all that was said", async () => {
    const page = await fresh();
    await connect(page);
    await tell(page, "transcript", { role: "user", turn: 2, text: "<b>شكرا</b>", last: true });
    await tell(page, "ended", { reason: "normal", code: 1000 });
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#download").click()]);
    assert.equal(download.suggestedFilename(), "voxrelay-s1.txt");
    const text = await readFile(await download.path(), "utf8");
    assert.match(text, /^Conversation c1\nSession s1, begun \d{4}-.*\n\nLasted: [^]*\nCost: \$0\.006672\n\n/);
    assert.ok(text.endsWith("\n\nYou: Hello, can you hear me?\nAgent: You spoke for 1.8 s. This is what you said.\nYou: <b>شكرا</b>\n"), text);
  });

  test("a phone shows the details in place of the conversation, and takes them back by the button or Escape", async () => {
    const page = await fresh({ viewport: PHONE });
    await connect(page);
    const seen = async () => [await page.locator("#captions").isVisible(), await page.locator("#cut").isVisible()];
    assert.deepEqual(await seen(), [true, false]);
    await page.locator("#more").click();
    assert.deepEqual(await seen(), [false, true]);
    assert.equal(await page.locator("#more").getAttribute("aria-expanded"), "true");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "details");
    await page.keyboard.press("Escape");
    assert.deepEqual(await seen(), [true, false]);
    assert.equal(await page.evaluate(() => document.activeElement?.id), "more");
    assert.match(String(await page.locator("#more").textContent()), /\$0\.006672/, "what it costs is in sight");
    await page.locator("#more").click();
    await page.locator("#call").click();
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.equal(await page.locator("#summary").isVisible(), true, "the summary is in its place");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "call", "the button kept the focus");
  });

  test("what was said last stays in sight, unless somebody reads what was said before", async () => {
    const page = await fresh({ viewport: PHONE });
    await STATES["a long talk"]?.(page);
    const toEnd = () => page.locator("#flow").evaluate((flow) => flow.scrollHeight - flow.clientHeight - flow.scrollTop);
    const say = (/** @type {number} */ turn) => tell(page, "transcript", { role: "agent", turn, text: "And one more.\n".repeat(9), last: true });
    await until("it is at its end", async () => (await toEnd()) < 2);
    await page.setViewportSize({ width: 320, height: 568 });
    await until("it still is", async () => (await toEnd()) < 2);
    await say(103);
    await until("it is again", async () => (await toEnd()) < 2);
    await page.locator("#flow").evaluate((flow) => flow.scrollTo(0, 200));
    await until("the page knows", async () => (await page.locator("#flow").evaluate((flow) => flow.scrollTop)) === 200);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    await say(104);
    assert.equal(await page.locator("#flow").evaluate((flow) => flow.scrollTop), 200);
    await tell(page, "ended", { reason: "normal", code: 1000 });
    const { top, end, scrolls } = await page.evaluate(() => ({
      top: Number(document.getElementById("summary")?.getBoundingClientRect().top),
      end: Number(document.getElementById("flow")?.getBoundingClientRect().bottom),
      scrolls: document.documentElement.scrollHeight - innerHeight,
    }));
    assert.ok(top + 60 < end, `the summary begins at ${top}, above the bar at ${end}`);
    assert.equal(scrolls, 0, "the page itself does not scroll");
  });

  test("a turn is shown as it was last understood, and one that was taken back is not", async () => {
    const page = await fresh();
    await connect(page);
    await tell(page, "transcript", { role: "user", turn: 2, text: "I want T", last: false });
    await tell(page, "transcript", { role: "user", turn: 2, text: "I want tea", last: true });
    await tell(page, "transcript", { role: "agent", turn: 2, text: "Certainly", last: false });
    await tell(page, "transcript", { role: "agent", turn: 2, text: "", last: true });
    assert.deepEqual((await page.locator("#lines li span").allTextContents()).slice(2), ["I want tea"]);
  });

  test("what had the focus and is gone hands it on", async () => {
    const page = await fresh();
    const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.getAttribute("aria-label"));
    await connect(page);
    await complain(page, "playout_full", false);
    await complain(page, "store_unavailable", false);
    await page.locator(".notice button").last().click();
    assert.equal(await focused(), "Dismiss: A very long answer");
    await page.keyboard.press("Enter");
    assert.equal(await focused(), "call");
    await page.locator("#mute").focus();
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.equal(await focused(), "call");
  });

  test("the next call silences the one before it, which may still be heard", async () => {
    const page = await fresh();
    await connect(page);
    await tell(page, "ended", { reason: "too_long", code: 4410 });
    assert.deepEqual(await count(page), { begun: 1, closed: 0 });
    await page.locator("#call").click();
    assert.deepEqual(await count(page), { begun: 2, closed: 1 });
  });

  test("says who else hears the call, and what the agent does less well, as long as that is so", async () => {
    const page = await fresh();
    const told = async () => (await page.locator("#told").isVisible()) && (await page.locator("#told").textContent());
    await connect(page, { ...SESSION, recording: false });
    assert.equal(await told(), false);
    await tell(page, "listened", { listening: true });
    assert.equal(await told(), "An operator listens");
    await tell(page, "listened", { listening: false });
    assert.equal(await told(), false);
    await tell(page, "session", SESSION);
    assert.equal(await told(), "Recorded");
    await tell(page, "degraded", { what: "speaking", degraded: true });
    assert.match(String(await page.locator("#notices").textContent()), /^The agent has lost its voice/);
    await tell(page, "degraded", { what: "speaking", degraded: false });
    assert.equal(await page.locator("#notices").textContent(), "");
    await tell(page, "latency", { turn: 1, totalMs: 812 });
    await tell(page, "latency", { turn: 1, totalMs: null });
    assert.equal(await page.locator("#answer").textContent(), "812 ms");
    await tell(page, "ended", { reason: "normal", code: 1000 });
    assert.equal(await told(), false);
  });

  test("a trouble that is over is not told any more", async () => {
    const page = await fresh();
    await connect(page);
    await complain(page, "microphone_silent", false);
    assert.match(String(await page.locator("#notices").textContent()), /^Your microphone is silent/);
    await tell(page, "mended", undefined);
    assert.equal(await page.locator("#notices").textContent(), "");
  });

  test("the meter follows the microphone, and rests while it is muted", async () => {
    const page = await fresh();
    await connect(page);
    const now = () => page.locator("#meter").getAttribute("aria-valuenow");
    assert.equal(await now(), "-22");
    await page.locator("#mute").click();
    await tell(page, "level", { input: -20, output: -100 });
    assert.equal(await now(), "-60");
  });
});

/** Lets the newest call come up. @param {Page} page */
async function connected(page) {
  await tell(page, "state", { state: "connected", attempt: 0, retryInMs: 0 });
  await page.evaluate(() => /** @type {Stub} */ (globalThis).stub.resolve());
}

/** @param {Page} page @returns {Promise<{ begun: number, closed: number }>} */
function count(page) {
  return page.evaluate(() => /** @type {Stub} */ (globalThis).stubCount);
}

/** @param {Page} page @param {string} id @returns {Promise<string[]>} */
function rows(page, id) {
  return page.locator(`#${id} > div`).evaluateAll((all) => all.map(({ children }) => `${children[0]?.textContent}: ${children[1]?.textContent}`));
}
