// @ts-check
// The file that is fetched within a call, and did not come.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { openPage } from "../support/engines.mjs";
import { Stage } from "../support/stage.mjs";

describe("the module and the files beside it", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("a later.js that does not come at first is asked for after a heartbeat, and quality is told from then on", async () => {
    const { tab, server } = await openPage(stage, "chromium");
    const file = "/sdk/later.js";
    server.fail(file);
    const isTold = await tab.evaluate(async (sdk) => {
      const { VoiceClient } = await import(sdk);
      const made = await VoiceClient.connect({ url: "/v1/call", token: async () => (await fetch("/dev/token")).text() });
      const isTold = await new Promise((resolve) => {
        made.on("quality", () => resolve(true));
        setTimeout(resolve, 60_000, false);
      });
      await made.close();
      return isTold;
    }, "/sdk/index.js");
    assert.ok(isTold);
    assert.equal(server.asked.filter((path) => path === file).length, 2);
  });
});
