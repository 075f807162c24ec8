// @ts-check
// What many calls leave behind: nothing that grows with them. `E2E_CALLS` makes another number of them.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "../browser/support/chromium.mjs";
import { ENGINES } from "../browser/support/engines.mjs";
import { leavesOnly } from "../browser/support/leftovers.mjs";
import { Relay, until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { TestPage } from "../browser/support/test-page.mjs";
import { watchTracks } from "../browser/support/tracks.mjs";

const CALLS = Number(process.env.E2E_CALLS ?? 500);

/** So many are made before the page's memory is looked at for the first time: what is made once has been made by then. */
const FIRST = 20;

/** What a page may have grown by for each call. A call that stayed in memory would be megabytes; what the test page notes of each is a KB or two. */
const MOST_A_CALL = 4_000;

describe("many calls of a page", { skip: !ENGINES.includes("chromium") && "objects are counted by Chromium" }, () => {
  const stage = new Stage();
  after(() => stage.clear());

  test(`${CALLS} of them, made and closed, leave nothing`, async (t) => {
    const relay = await Relay.start({ VOXRELAY_LIMITS__SESSIONS_PER_MINUTE: "10000", VOXRELAY_NETWORK__SESSIONS_PER_MINUTE_PER_ADDRESS: "100000" });
    stage.after(() => relay.stop());
    const page = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
    const tracks = await watchTracks(page.page);
    const devtools = await page.context.newCDPSession(page.page);
    const memory = async () => {
      for (let round = 0; round < 3; round += 1) await devtools.send("HeapProfiler.collectGarbage");
      return (await devtools.send("Runtime.getHeapUsage")).usedSize;
    };
    let begin = 0;
    for (let call = 0; call < CALLS; call += 1) {
      if (call === FIRST) begin = await memory();
      await page.start();
      await page.close();
    }
    assert.equal(await tracks.live(), 0);
    await tracks.forget();
    await leavesOnly(page.page, {});
    const grown = ((await memory()) - begin) / (CALLS - FIRST);
    t.diagnostic(`the page's memory grew by ${grown.toFixed(0)} bytes a call`);
    assert.ok(grown < MOST_A_CALL, `${grown} bytes a call`);
    await until("no session is live", () => relay.sessions().every(({ state }) => state === "ended"));
    assert.equal(relay.sessions().length, CALLS);
  });
});
