// @ts-check
// What becomes of an answer that comes late, or all at once.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { launch } from "./support/chromium.mjs";
import { told } from "./support/quality.mjs";
import { Relay, until } from "./support/relay.mjs";
import { ScriptedRelay } from "./support/scripted-relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/** Longer than it takes to be told how well the line does, and than an answer is behind its line at its end. */
const A_WHILE_MS = 3_000;

describe("the playing of an answer", () => {
  const stage = new Stage();
  const own = new Stage();
  /** @type {Relay} */
  let relay;
  /** @type {import("playwright-core").Browser} */
  let browser;
  before(async () => {
    relay = await Relay.start();
    stage.after(() => relay.stop());
    browser = await launch(stage);
  });
  afterEach(() => own.clear());
  after(() => stage.clear());

  /** A call of somebody who only listens. */
  async function call() {
    const scripted = await ScriptedRelay.start(own, relay.port);
    const page = await TestPage.open(browser, scripted.url);
    own.after(() => page.context.close());
    await page.start({ microphone: false });
    return { scripted, page };
  }

  test("waits for more after it ran out, so that the next answer over the same line runs out less often", async () => {
    const { scripted, page } = await call();
    // Each time the line stands still for longer than what the playing fell behind by before.
    const stills = [{ at: 500, for: 250 }, { at: 1_500, for: 450 }, { at: 3_000, for: 650 }];
    /** @type {number[]} */
    const counts = [];
    for (let answer = 0; answer < 2; answer += 1) {
      const earlier = (await told(page)).at(-1)?.underruns ?? 0;
      await scripted.answer(3_650 + A_WHILE_MS, stills);
      await sleep(A_WHILE_MS);
      counts.push(Number((await told(page)).at(-1)?.underruns) - earlier);
    }
    const [first, second] = counts;
    assert.ok(first >= 2, `it ran out ${first} times at first`);
    assert.ok(second < first, `it ran out ${first} times, and then ${second} times`);
    await page.close();
  });

  test("waits for more no longer than what it waits for lasts, whatever comes, and takes no pause of the agent's for a fault of the line", async () => {
    const { scripted, page } = await call();
    // Less than is waited for, with nothing behind it.
    scripted.say(60);
    await until("it is heard", () => scripted.played === 60 * 24, 2_000);
    for (let part = 0; part < 6; part += 1) {
      await sleep(700);
      scripted.end();
      scripted.say(500);
      await sleep(500);
    }
    await until("all is heard", () => scripted.played === 3_060 * 24, 5_000);
    const last = (await told(page)).at(-1);
    assert.equal(last?.underruns, 0, JSON.stringify(last));
    assert.deepEqual(last?.warnings, []);
    await page.close();
  });

  test("keeps a minute of what is sent ahead, and says once that the rest was dropped, and how much it was", async () => {
    const { scripted, page } = await call();
    for (let second = 0; second < 62; second += 1) scripted.say(1_000);
    await page.hears(({ name, event }) => name === "quality" && event.droppedMs > 0);
    const last = (await told(page)).at(-1);
    // Two seconds too much, less what was played meanwhile and what the loudspeaker has already.
    assert.ok(Number(last?.droppedMs) <= 2_000, JSON.stringify(last));
    const errors = (await page.noted()).filter(({ name }) => name === "error").map(({ event }) => event);
    assert.deepEqual(errors.map(({ code, retryable }) => [code, retryable]), [["playout_full", false]]);
    await page.close();
  });
});
