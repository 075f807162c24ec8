// @ts-check
// A preflight where no WebSocket gets through.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { isCurable, openLooking, short } from "../support/looking-page.mjs";
import { NoWebSockets } from "../support/no-websockets.mjs";
import { Relay } from "../support/relay.mjs";
import { Stage } from "../support/stage.mjs";

const NONE = { microphone: /** @type {const} */ (false) };

describe("a preflight", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("tells that a call goes over HTTP where WebSockets are refused, or open and bring nothing", async () => {
    const relay = await Relay.start({ VOXRELAY_API__PREFLIGHTS_PER_MINUTE: "1000", VOXRELAY_LIMITS__SESSIONS_PER_USER: "1" });
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    for (const [how, code] of /** @type {const} */ ([["refuses", "not_a_websocket"], ["swallows", "link_lost"]])) {
      const network = await NoWebSockets.start(relay.port, how);
      stage.after(() => network.stop());
      const { page, look, alive } = await openLooking(stage, relay, { browser, from: network.url });
      const report = await look({ ...NONE, url: `${network.url}/v1/call` });
      assert.deepEqual([report.grade, short(report).address, short(report).connection], ["fair", "good", `fair: ${code}`], JSON.stringify(report));
      assert.match(report.checks.connection.message, /goes over HTTP/);
      isCurable(report);
      assert.equal(await alive(), 0);
      // The one place that the user has is free.
      await page.start(NONE);
      assert.equal((await page.noted()).find(({ name }) => name === "transport")?.event.transport, "http");
      await page.close();
    }
  });
});
