// @ts-check
// Whatever happens to a call, in whatever order: when it is over, no microphone is open, no context, no Worker, no socket, no listener of
// it stays, and no session at the relay. `E2E_SEED` repeats one schedule, `E2E_SCHEDULES` makes more.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

const SCHEDULES = Number(process.env.E2E_SCHEDULES ?? 40);
/** Pages beside each other, which mostly wait. */
const PAGES = 2;

describe("a call to which anything happens", () => {
  const stage = new Stage();
  after(() => stage.clear());

  /** A page with a relay of its own. @param {import("playwright-core").Browser} browser */
  async function open(browser) {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const { page } = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    await page.addScriptTag({ url: "/test/lifecycle.js" });
    return { relay, page };
  }

  /** @param {import("playwright-core").Page} page @param {string} method @param {number} [argument] @returns {Promise<any>} */
  const tell = (page, method, argument) =>
    page.evaluate(([name, value]) => /** @type {any} */ (globalThis).lifecycle[String(name)](value), [method, argument]);

  test("leaves nothing of it on the page and no session at the relay", async () => {
    const browser = await launch(stage);
    const only = process.env.E2E_SEED;
    const seeds = only ? [Number(only)] : Array.from({ length: SCHEDULES }, (_, index) => index + 1);
    /** @type {string[]} */
    const problems = [];
    const work = async () => {
      const { relay, page } = await open(browser);
      for (let seed = seeds.shift(); seed !== undefined && problems.length === 0; seed = seeds.shift()) {
        const { schedule, problem } = await tell(page, "run", seed);
        const live = () => relay.sessions().filter(({ state }) => state === "live");
        const isEnded = await until("no session is live", () => live().length === 0).catch(() => false);
        const what = problem ?? (isEnded ? undefined : `${live().length} sessions are live`);
        if (what) problems.push(`E2E_SEED=${seed}: ${schedule}: ${what}`);
      }
    };
    await Promise.all(Array.from({ length: PAGES }, work));
    assert.deepEqual(problems, []);
  });

  test("and what were left would be seen", async () => {
    const browser = await launch(stage);
    const { page } = await open(browser);
    const before = await tell(page, "left");
    await page.evaluate(async () => {
      const { Call } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));
      const call = new Call({ url: "/v1/call", token: async () => (await fetch("/dev/token")).text() });
      await call.connect();
      Object.assign(globalThis, { call });
    });
    const { tracks, contexts, workers, listeners } = await tell(page, "left");
    assert.deepEqual({ tracks, contexts, workers }, { tracks: 1, contexts: 1, workers: 1 });
    assert.equal(listeners - before.listeners, 9);
    await page.evaluate(() => /** @type {any} */ (globalThis).call.close());
    await until("its context is closed", async () => (await tell(page, "left")).contexts === 0);
    assert.deepEqual(await tell(page, "left"), before);
  });
});
