// @ts-check
// What a page says among its audio is checked before the engine has it, and refused in words where the relay takes none such.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

describe("what is said among the audio", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  for (const worker of /** @type {const} */ (["auto", "never"])) {
    test(`is taken or refused with a reason, with the engine in a Worker: ${worker}`, async () => {
      const relay = await Relay.start();
      stage.after(() => relay.stop());
      const browser = await launch(stage);
      const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
      await page.start({ microphone: false, worker });
      const session = (await page.noted()).find(({ name }) => name === "session")?.event;
      const says = /** @type {[string, string, ...unknown[]][]} */ ([
        ["text", "sendText", "Is there a table at eight?"],
        ["say", "say", "One moment.", { interrupt: true }],
        ["context", "addContext", "The page of the terrace."],
        ["variables", "setVariables", { name: "Ada" }],
        ["tool_result", "sendToolResult", "call_7", "{}"],
        ["correction", "correct", 4, "A table for two."],
      ]);
      for (const [word, method, ...args] of says) {
        const expected = session.features.includes(word) ? "taken" : "not_supported";
        assert.equal(await page.say(method, ...args), expected, method);
        assert.match(await page.say(method), /TypeError/, method);
      }
      assert.equal(await page.say("sendText", "ü".repeat(4_001)), "text_too_long");
      await page.hangUp();
      assert.equal(await page.say("sendText", "late"), "call_over");
      const noted = await page.noted();
      // Nobody has said anything by then that turn 4 could be.
      const errors = noted.filter(({ name }) => name === "error").map(({ event }) => event.code);
      assert.deepEqual(errors, ["turn_unknown"]);
      assert.deepEqual(noted.filter(({ name }) => name === "ended").map(({ event }) => event.code), [1000]);
    });
  }
});
