// @ts-check
// A browser that lets no page make sound before it is clicked, as people's browsers do.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay, until } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestCall } from "./support/test-call.mjs";
import { TestPage } from "./support/test-page.mjs";

/** Longer than a context may stand still before that is told. */
const TOLD_MS = 5_000;

describe("a page that nobody has clicked", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** A page, and the test's hands on it, of which the page knows nothing. @param {string} [microphone] */
  async function open(microphone) {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage, { needsGesture: true, microphone });
    const { context, page } = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    const session = await context.newCDPSession(page);
    // Playwright's own `evaluate` counts as a gesture of the user, and so does Puppeteer's.
    const call = new TestCall({
      async evaluate(work, argument) {
        const expression = `(${work})(${JSON.stringify(argument)})`;
        const { result, exceptionDetails } = await session.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
      },
    });
    return { page, call };
  }

  test("has a call without a microphone held back: that is told, and is over with a click", async () => {
    const { page, call } = await open();
    await call.start({ microphone: false });
    await call.hears(({ name, event }) => name === "error" && event.code === "audio_unavailable" && /until the page is clicked/.test(event.message));
    await sleep(TOLD_MS);
    assert.equal(await call.trouble(), "audio_unavailable", "nothing but the user mends it");
    await page.mouse.click(5, 5);
    await until("the sound is there", async () => (await call.trouble()) === undefined);
    const errors = (await call.noted()).filter(({ name }) => name === "error");
    assert.equal(errors.length, 1, JSON.stringify(errors));
    await call.close();
  });

  test("may be heard and spoken to where it has the microphone", async () => {
    const { call } = await open(speak(stage, [1, "The quick brown fox jumps over the lazy dog.", 8]).file);
    await call.start();
    await call.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
    await until("the agent is heard", async () => (await call.loudest()) > -60);
    await sleep(TOLD_MS);
    assert.deepEqual((await call.noted()).filter(({ name }) => name === "error"), []);
    await call.close();
  });
});
