// @ts-check
// What many microphones, and many calls without sound, leave behind on a page: nothing.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { leavesOnly } from "../support/leftovers.mjs";
import { Stage } from "../support/stage.mjs";
import { openWatched } from "../support/watched-page.mjs";

describe("what calls leave behind", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("of ten microphones of a call only the last one is live, and with the call everything goes", async () => {
    const { page, tracks } = await openWatched(stage);
    await page.start();
    for (let change = 0; change < 10; change += 1) await page.setMicrophone(change % 2 ? "default" : undefined);
    assert.equal(await tracks.live(), 1);
    await tracks.forget();
    // Chromium keeps each source, and with it its stream, for as long as its context; a port leads to the engine, and one to each processor.
    const sources = { MediaStreamAudioSourceNode: 11, MediaStream: 11, MediaStreamTrack: 11 };
    await leavesOnly(page.page, { Worker: 1, AudioContext: 1, AudioWorkletNode: 2, MessagePort: 3, ...sources });
    await page.close();
    await leavesOnly(page.page, {});
  });

  test("ten calls for which no sound could be made leave nothing", async () => {
    const { page, tracks, relay } = await openWatched(stage);
    for (let call = 0; call < 10; call += 1) {
      await assert.rejects(page.start({ workletUrl: "/missing.js" }), /audio_unavailable: /);
    }
    assert.equal(await tracks.live(), 0);
    await tracks.forget();
    await leavesOnly(page.page, {});
    assert.deepEqual(relay.sessions(), []);
  });
});
