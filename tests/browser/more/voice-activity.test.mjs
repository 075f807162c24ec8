// @ts-check
// Voice activity on the page, whose file does not come.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { callOver, held } from "../support/spoken-over.mjs";
import { Stage } from "../support/stage.mjs";

describe("voice activity on the page", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("a call whose voice.wasm does not come is interrupted all the same", async () => {
    const options = { voiceActivity: true, voiceUrl: "/sdk/nowhere.wasm" };
    const { page } = await callOver(stage, { said: "please wait a moment", understood: "Please wait a moment.", options });
    const { ms } = await held(page);
    assert.ok(Number.isFinite(ms));
    assert.deepEqual((await page.noted()).filter(({ name }) => name === "error"), []);
    await page.hangUp();
    await stage.clear();
  });
});
