// @ts-check
// A microphone that gives nothing at first.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { Relay, until } from "../support/relay.mjs";
import { speak } from "../support/speech.mjs";
import { Stage } from "../support/stage.mjs";
import { TestPage } from "../support/test-page.mjs";

describe("the first words of a call", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("of a microphone that gives nothing are missed, which is told once, and no more when it gives something", async () => {
    const { file } = speak(stage, ["The quick brown fox jumps over the lazy dog."]);
    const late = join(dirname(file), "late.wav");
    // Nothing but zeros, which a microphone that is there never gives.
    execFileSync("sox", ["-D", file, late, "pad", "12", "4"]);
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const page = await TestPage.open(await launch(stage, { microphone: late }), `http://127.0.0.1:${relay.port}`);
    await page.start();
    await page.hears(({ name, event }) => name === "error" && event.code === "microphone_silent");
    assert.equal(await page.trouble(), "microphone_silent");
    await until("it is heard", async () => (await page.trouble()) === undefined);
    const errors = (await page.noted()).filter(({ name }) => name === "error").map(({ event }) => event.code);
    assert.deepEqual(errors, ["microphone_silent"]);
    await page.close();
  });
});
