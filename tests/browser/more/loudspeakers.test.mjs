// @ts-check
// How loud the agent is heard.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { Relay } from "../support/relay.mjs";
import { speak } from "../support/speech.mjs";
import { Stage } from "../support/stage.mjs";
import { TestPage } from "../support/test-page.mjs";

describe("the volume of a call", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("the agent is heard as loud as it was told to be", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const speech = speak(stage, [1, "One two three.", 5, "One two three.", 5, "One two three.", 20]);
    const page = await TestPage.open(await launch(stage, { microphone: speech.file }), `http://127.0.0.1:${relay.port}`);
    await page.start({ record: true });
    /** The loudest of what was heard of the next answer. @param {number} volume */
    const peak = async (volume) => {
      await page.setVolume(volume);
      const { length } = await page.noted();
      const before = (await page.heard()).samples.length;
      const speaks = await page.hears(({ name, event }) => name === "agent" && event.state === "speaking", length);
      await page.hears(({ name, event }) => name === "agent" && event.state === "listening", speaks);
      return (await page.heard()).samples.subarray(before).reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0);
    };
    const [silent, whole, half] = [await peak(0), await peak(1), await peak(0.5)];
    assert.equal(silent, 0);
    assert.ok(whole > 0.05, `${whole}`);
    assert.ok(Math.abs(half / whole - 0.5) < 0.1, `${half} of ${whole}`);
    await page.close();
  });
});
