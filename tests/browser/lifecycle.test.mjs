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
/**
 * A session whose connection is away when the page hangs up, with all that was said in the record, or before the page has heard of the session,
 * is ended by the relay after so many seconds: the client does not wait for a connection to say goodbye.
 */
const RESUME_WINDOW_S = 2;
/** What takes the connection away. */
const CUTS = /outage|hides|network/;

describe("a call to which anything happens", () => {
  const stage = new Stage();
  after(() => stage.clear());

  /** A page with a relay of its own. @param {import("playwright-core").Browser} browser */
  async function open(browser) {
    const relay = await Relay.start({ VOXRELAY_RESUME_WINDOW_SECONDS: String(RESUME_WINDOW_S) });
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
      /** @type {Set<string>} */
      const told = new Set();
      for (let seed = seeds.shift(); seed !== undefined && problems.length === 0; seed = seeds.shift()) {
        const { schedule, problem, sessionId } = await tell(page, "run", seed);
        const live = () => relay.sessions().filter(({ state }) => state === "live");
        // Every other one was ended by the page, and not by the window. It is not waited for: a relay tells a page that its session has ended once that
        // is stored, and a page that has its connection waits for that word before it says that the call is over.
        const known = live().filter(({ id }) => id === sessionId && !CUTS.test(schedule));
        const isEnded = await until("no session is live", () => live().length === 0).catch(() => false);
        const billed = relay.sessions().filter(({ id, cost_nano_usd: cost }) => id !== sessionId && !told.has(id) && cost > 0);
        if (sessionId) told.add(sessionId);
        const found = [...known.map(({ id }) => `${id} was not hung up`), ...billed.map(({ id }) => `${id} cost something, and nobody knew of it`)];
        const what = problem ?? found[0] ?? (isEnded ? undefined : `${live().length} sessions are live`);
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
    assert.deepEqual(await tell(page, "left"), before);
  });
});
