// @ts-check
// A script that keeps the page busy must not be heard.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Proxy } from "./support/proxy.mjs";
import { Relay } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

const BLOCK_MS = 2_000;
const CHUNK_MS = 100;
/** The frame's header and 100 ms of 16 kHz in 16 bits. */
const FRAME_BYTES = 12 + 3_200;

describe("the page's main thread is busy for 2 s", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("at least 19 of the 20 chunks due reach the relay meanwhile", async (t) => {
    const speech = speak(stage, ["one two three four five six seven eight nine ten", 10]);
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());
    const page = await TestPage.open(await launch(stage, { microphone: speech.file }), proxy.url);
    await page.start();
    await sleep(2_000);
    const { begin, end } = await page.block(BLOCK_MS);
    await sleep(500);
    const frames = proxy.audioUp(begin, end);
    const gaps = frames.map((frame, i) => frame.time - (frames[i - 1]?.time ?? begin));
    t.diagnostic(`${frames.length} chunks in ${end - begin} ms, longest gap ${Math.max(...gaps)} ms`);
    assert.ok(end - begin >= BLOCK_MS);
    assert.ok(frames.length >= BLOCK_MS / CHUNK_MS - 1, `${frames.length} chunks`);
    assert.deepEqual([...new Set(frames.map((frame) => frame.length))], [FRAME_BYTES]);
    await page.close();
  });
});
