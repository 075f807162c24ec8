// @ts-check
// What a page learns of the money of a call, and of the conversation that several calls are one of.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/**
 * 30 s of listening at 0.0048 $ a minute. The relay looks at the budgets when it settles, every 5 s, in which less than a fifth is spent: it
 * comes by between every two thresholds, however slow a busy machine's fake microphone is.
 */
const BUDGET_USD = "0.0024";
const BUDGET_NANO_USD = 2_400_000;

describe("a call whose budget is spent", () => {
  const stage = new Stage();
  /** @type {Relay} */
  let relay;
  /** @type {TestPage} */
  let page;
  /** @type {import("./support/test-page.mjs").Noted[]} */
  let noted;
  /** @type {Awaited<ReturnType<TestPage["start"]>>} */
  let call;

  /** @param {string} name */
  const events = (name) => noted.filter((one) => one.name === name).map(({ event }) => event);

  before(async () => {
    const speech = speak(stage, ["One two three four five.", 60]);
    relay = await Relay.start({ VOXRELAY_LIMITS__SESSION_USD: BUDGET_USD });
    stage.after(() => relay.stop());
    const browser = await launch(stage, { microphone: speech.file });
    page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    call = await page.start();
    // Half a minute of listening, by a microphone that falls behind on a busy machine.
    await page.hears(({ name }) => name === "ended", 0, 180_000);
    noted = await page.noted();
  });
  after(() => stage.clear());

  test("tells of each threshold once, in order", () => {
    const told = events("budget");
    assert.deepEqual(told.map(({ scope, percent }) => [scope, percent]), [["session", 50], ["session", 80], ["session", 100]]);
    for (const { percent, limitNanoUsd, spentNanoUsd } of told) {
      assert.equal(limitNanoUsd, BUDGET_NANO_USD);
      assert.ok(spentNanoUsd <= limitNanoUsd, `${spentNanoUsd} of ${limitNanoUsd}`);
      if (percent < 100) assert.ok(spentNanoUsd * 100 >= limitNanoUsd * percent, `${spentNanoUsd} are not ${percent} %`);
    }
  });

  test("says so in the agent's words, and ends for that reason and no other", () => {
    const said = events("transcript").filter(({ role, last }) => role === "agent" && last);
    assert.equal(said.at(-1)?.text, "This call has reached its budget and ends here.");
    const [{ reason, code }] = events("ended");
    assert.deepEqual([reason, code], ["budget", 4402]);
    assert.deepEqual(events("error"), []);
  });

  test("tells what it costs at most once a second, and never more than the budget", () => {
    const first = noted.findIndex(({ name }) => name === "usage");
    // The end repeats the last usage at once.
    const last = noted.findIndex(({ name, event }) => name === "budget" && event.percent === 100);
    const told = noted.slice(first, last).filter(({ name }) => name === "usage");
    assert.ok(told.length > 5, `${told.length}`);
    // The relay counts the second where it sends; what comes late over the way makes the next one seem early, so that not each can be counted from.
    const seconds = told.slice(0, 5).map(({ time }) => (told[told.length - 1].time - time) / 1000);
    assert.ok(seconds.some((since, before) => told.length - 1 - before <= since + 0.5), `${told.length} in ${seconds[0]} s`);
    for (const { event } of told) assert.ok(event.costNanoUsd + event.leftNanoUsd <= BUDGET_NANO_USD, JSON.stringify(event));
  });

  test("costs what the relay stored, and that is within the budget", async () => {
    const session = await relay.endedSession();
    const [{ usage }] = events("ended");
    assert.equal(session.end_reason, "budget");
    assert.equal(usage.costNanoUsd, session.cost_nano_usd);
    assert.ok(session.cost_nano_usd <= BUDGET_NANO_USD && session.cost_nano_usd > 0.98 * BUDGET_NANO_USD, `${session.cost_nano_usd}`);
  });

  test("has an id of its conversation, with which a second call goes on", async () => {
    assert.deepEqual(events("session").map(({ conversationId }) => conversationId), [call.conversationId]);
    const second = await page.start({ conversation: call.conversationId });
    await page.close();
    assert.notEqual(second.sessionId, call.sessionId);
    assert.equal(second.conversationId, call.conversationId);
    const rows = relay.sessions().map(({ id, conversation_id }) => [id, conversation_id]);
    assert.deepEqual(rows, [second, call].map(({ sessionId }) => [sessionId, call.conversationId]));
  });

  test("is refused in a conversation that the user does not have", async () => {
    await assert.rejects(page.start({ conversation: "nobody's" }), /conversation_unknown: There is no such conversation/);
    assert.equal(relay.sessions().length, 2);
  });
});

describe("a call that is refused", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("tells why, and not only that the relay was tried in vain", async () => {
    const speech = speak(stage, ["hello", 20]);
    const relay = await Relay.start({ VOXRELAY_LIMITS__SESSIONS_PER_USER: "1" });
    stage.after(() => relay.stop());
    const browser = await launch(stage, { microphone: speech.file });
    const origin = `http://127.0.0.1:${relay.port}`;
    const first = await TestPage.open(browser, origin);
    await first.start();
    const second = await TestPage.open(browser, origin);
    await assert.rejects(second.start({ giveUpAfterMs: 4_000 }), /session_limit: /);
    const errors = (await second.noted()).filter(({ name }) => name === "error").map(({ event }) => event);
    assert.deepEqual([errors[0].code, errors.at(-1).code], ["session_limit", "gave_up"]);
    assert.deepEqual([errors[0].limit, errors[0].retryAfterMs], [1, 5_000], "which limit, and when to come back");
  });
});
