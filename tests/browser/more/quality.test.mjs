// @ts-check
// What a line or a microphone is warned of that takes a story to be heard, and that it clears.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { launch } from "../support/chromium.mjs";
import { Proxy } from "../support/proxy.mjs";
import { told, warned } from "../support/quality.mjs";
import { Relay, until } from "../support/relay.mjs";
import { speak } from "../support/speech.mjs";
import { Stage } from "../support/stage.mjs";
import { TestPage } from "../support/test-page.mjs";

/** What the echo agent says back for about 20 s: one utterance, since nobody draws breath in it. */
const STORY =
  "the north wind and the sun were disputing which was the stronger when a traveller came along wrapped in a warm cloak and they agreed that the one " +
  "who first succeeded in making the traveller take his cloak off should be considered stronger than the other";

describe("the quality of a call", () => {
  const stage = new Stage();
  /** @type {Relay} */
  let relay;
  before(async () => {
    relay = await Relay.start();
    stage.after(() => relay.stop());
  });
  after(() => stage.clear());

  /** A call of whoever says this, from a page whose relay is found there. @param {string} url @param {string} microphone */
  async function call(url, microphone) {
    const page = await TestPage.open(await launch(stage, { microphone }), url);
    stage.after(() => page.context.close());
    await page.start();
    return page;
  }

  test("warns of a voice that the microphone cuts off and no more when it is silent, and of a quiet one it does not", async () => {
    const folder = mkdtempSync(join(tmpdir(), "voxrelay-quality-"));
    stage.after(() => rmSync(folder, { recursive: true }));
    const [spoken, loud, still] = ["a.wav", "loud.wav", "still.wav"].map((name) => join(folder, name));
    const voice = ["-r", "44100", "-b", "16", "-c", "1"];
    execFileSync("espeak-ng", ["-v", "en-us", "-w", spoken, "One two three four five."]);
    execFileSync("sox", [spoken, ...voice, loud, "gain", "30", "repeat", "9"], { stdio: ["ignore", "ignore", "ignore"] });
    execFileSync("sox", [spoken, ...voice, still, "pad", "0.5", "2"]);
    const page = await call(`http://127.0.0.1:${relay.port}`, loud);
    await warned(page, "clipping", true, 30_000);
    const worst = (await told(page)).map(({ clippedMs }) => clippedMs);
    assert.ok(Math.max(...worst) < 2_500, worst.join());
    // What is said ends after a while, and with it what is cut off.
    await warned(page, "clipping", false, 60_000);
    await page.close();
    const quiet = await call(`http://127.0.0.1:${relay.port}`, still);
    await quiet.hears(({ name, event }) => name === "quality" && event.clippedMs === 0, 0, 10_000);
    await quiet.close();
  });

  test("warns no more of a voice that the microphone cuts off, nor of what waits, when the user is on hold and nothing sounds", async () => {
    const folder = mkdtempSync(join(tmpdir(), "voxrelay-quality-"));
    stage.after(() => rmSync(folder, { recursive: true }));
    const [spoken, loud] = ["a.wav", "loud.wav"].map((name) => join(folder, name));
    execFileSync("espeak-ng", ["-v", "en-us", "-w", spoken, "One two three four five."]);
    execFileSync("sox", [spoken, "-r", "44100", "-b", "16", "-c", "1", loud, "gain", "30", "repeat", "39"], { stdio: ["ignore", "ignore", "ignore"] });
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());
    const page = await call(proxy.url, loud);
    proxy.freeze();
    for (const name of ["clipping", "uplink-backlog"]) await warned(page, name, true, 60_000);
    const raised = async () => (await told(page)).at(-1)?.warnings ?? [];
    await page.hold(true);
    await until("nothing is cut off any more", async () => !(await raised()).includes("clipping"));
    assert.ok((await raised()).includes("uplink-backlog"), "what waits still does");
    proxy.thaw();
    await warned(page, "uplink-backlog", false, 60_000);
    await page.hold(false);
    await until("it is cut off again", async () => (await raised()).includes("clipping"), 60_000);
    // However long there was sound before, and nothing waited.
    await sleep(15_000);
    await page.hold(true);
    await until("nothing is cut off any more, once more", async () => !(await raised()).includes("clipping"), 30_000);
    await page.close();
  });

  /** A call of a user who tells a story, and again once it was answered, over a line that a test can hold. */
  async function storyTeller() {
    const { file } = speak(stage, [0.5, STORY, 40, STORY, 40]);
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());
    const page = await call(proxy.url, file);
    /** Waits until the agent begins to say it back. @param {number} [from] How much of what was noted is not meant. */
    const answers = (from) => page.hears(({ name, event }) => name === "agent" && event.state === "speaking", from);
    return { page, proxy, answers };
  }

  /** Whether a warning was raised so far. @param {TestPage} page @param {string} name */
  const isRaised = async (page, name) => (await told(page)).some(({ changed }) => changed.some((change) => change.name === name && change.raised));

  test("warns of sound that comes late and unevenly, and of it no more when the next answer comes as it should", async () => {
    const { page, proxy, answers } = await storyTeller();
    const from = await answers();
    // Held for less than the relay sends ahead: what is late is not heard as a gap yet.
    await until("both are warned of", async () => {
      proxy.freeze();
      await sleep(1_500);
      proxy.thaw();
      await sleep(100);
      return (await isRaised(page, "late-sound")) && isRaised(page, "high-jitter");
    }, 25_000);
    const raised = (await told(page)).flatMap(({ changed }) => changed);
    for (const [name, threshold] of /** @type {const} */ ([["late-sound", 1_000], ["high-jitter", 100]])) {
      const change = raised.find((change) => change.name === name);
      assert.ok(change?.threshold === threshold && change.value > 0, JSON.stringify(change));
    }
    await answers(from);
    await warned(page, "late-sound", false, 40_000);
    await warned(page, "high-jitter", false, 40_000);
    await page.close();
  });

  test("warns of an answer that ran out, and of it no more ten seconds later", async () => {
    const { page, proxy, answers } = await storyTeller();
    await answers();
    await sleep(1_000);
    // Held for longer than the relay sends ahead, and then for as much longer as the playing has come to wait by.
    for (const heldMs of [3_200, 4_700]) {
      proxy.freeze();
      await sleep(heldMs);
      proxy.thaw();
      await sleep(100);
    }
    await warned(page, "underruns", true, 10_000);
    await warned(page, "underruns", false, 40_000);
    const last = (await told(page)).at(-1);
    assert.ok(Number(last?.underruns) >= 2, JSON.stringify(last));
    assert.ok(!last?.warnings.includes("underruns"));
    await page.close();
  });
});
