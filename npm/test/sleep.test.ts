// The machine sleeps and wakes, and nobody tells the page so.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import { OPTIONS, browser, until } from "./support/browser.js";

beforeEach(() => browser.reset());

/** The page looks once a second. */
const LOOK_MS = 1_200;
const SLEEP_MS = 60_000;

test("a sleep is noticed by the clock of the day where the page's own stands still in it, and told once", async () => {
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const { now: day } = Date;
  const page = performance.now.bind(performance);
  const woken = (): number => browser.engine.sent.filter(([name]) => name === "woke").length;
  const call = new Call(OPTIONS);
  await call.connect();
  try {
    await sleep(LOOK_MS);
    Date.now = () => day() + SLEEP_MS;
    await until(() => woken() === 1, "the engine is told");
    await sleep(LOOK_MS);
    assert.equal(woken(), 1, "once");
    // A page whose timers come late was not asleep, and the engine has a clock of its own.
    Date.now = () => day() + 2 * SLEEP_MS;
    performance.now = () => page() + SLEEP_MS;
    await sleep(LOOK_MS);
    // Nor was one whose clock was put right.
    Date.now = () => day() + SLEEP_MS;
    await sleep(LOOK_MS);
    assert.equal(woken(), 1);
  } finally {
    Date.now = day;
    Reflect.deleteProperty(performance, "now");
    await call.close();
  }
  await sleep(LOOK_MS);
  assert.equal(woken(), 1, "a call that is over looks no more");
});
