// @ts-check
// Voice activity on the page: the page holds the agent by itself, and the relay's agent decides what becomes of it.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { until } from "./support/relay.mjs";
import { STORY, callOver, held } from "./support/spoken-over.mjs";
import { Stage } from "./support/stage.mjs";

/** The goal is 150 ms, on a machine that does nothing else. */
const HELD_WITHIN_MS = 1_000;
/** The relay decides within 10 s, whatever it waits for. */
const AGAIN_WITHIN_MS = 12_000;
/** What is heard is louder than this. */
const LOUD = 0.001;

describe("voice activity on the page", () => {
  const stage = new Stage();
  after(() => stage.clear());

  for (const [what, said, understood] of /** @type {const} */ ([
    ["a back-channel", "okay, okay", "Okay."],
    // Only the page can hold this one: the relay does not listen.
    ["a voice, where the relay has no ears", "please wait a moment", undefined],
  ])) {
    test(`the agent is held at once over ${what}, and goes on where it stopped when the relay says so`, async () => {
      const { page, fetched } = await callOver(stage, { said, understood, options: { voiceActivity: true } });
      const { ms, silent } = await held(page);
      assert.ok(ms < HELD_WITHIN_MS, `held after ${ms} ms`);
      assert.equal(fetched.filter((path) => path.endsWith("/voice.wasm")).length, 1);
      const goesOn = async () => (await page.levels()).loudspeaker.slice(silent + 20).some((level) => level > LOUD);
      await until("it goes on", goesOn, AGAIN_WITHIN_MS);
      const { blockMs, loudspeaker } = await page.levels();
      const pause = loudspeaker.slice(silent + 20).findIndex((level) => level > LOUD) * blockMs;
      console.log(`${what}: held after ${Math.round(ms)} ms, for ${Math.round(pause)} ms`);
      const wasCut = (await page.noted()).some(
        ({ name, event }) => name === "transcript" && event.role === "agent" && event.last && event.text.trim() !== STORY.trim(),
      );
      assert.ok(!wasCut, `the answer was not cut: ${JSON.stringify((await page.noted()).filter(({ name }) => name === "transcript"))}`);
      await page.hangUp();
      await stage.clear();
    });
  }

  test("a call that does not ask for it does not fetch it", async () => {
    const { page, fetched } = await callOver(stage, { said: "okay", understood: "Okay." });
    await page.hangUp();
    assert.ok(fetched.some((path) => path.endsWith("/voxrelay.wasm")), "what a call needs is seen");
    assert.ok(!fetched.some((path) => path.endsWith("/voice.wasm")), `${fetched}`);
    await stage.clear();
  });
});
