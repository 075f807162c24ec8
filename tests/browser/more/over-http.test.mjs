// @ts-check
// WebSockets that are not refused, and yet are of no use: the call is made over HTTP.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { NoWebSockets } from "../support/no-websockets.mjs";
import { Relay } from "../support/relay.mjs";
import { Stage } from "../support/stage.mjs";
import { TestPage } from "../support/test-page.mjs";

/** What a call was told of its transport. @param {import("../support/test-page.mjs").Noted[]} noted */
const transports = (noted) => noted.filter(({ name }) => name === "transport").map(({ event }) => event.transport);

describe("a call over HTTP", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** @param {"hangs" | "swallows"} how */
  async function open(how) {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const network = await NoWebSockets.start(relay.port, how);
    stage.after(() => network.stop());
    const browser = await launch(stage);
    return { network, page: await TestPage.open(browser, network.url) };
  }

  test("is made where WebSockets hang, after the first one", async () => {
    const { network, page } = await open("hangs");
    await page.start({ microphone: false });
    assert.deepEqual([network.refused, transports(await page.noted())], [1, ["http"]]);
    assert.equal(await page.say("sendText", "Is there a table at eight?"), "taken");
    await page.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
    await page.close();
  });

  test("is made where WebSockets open and bring nothing, after the second one", async () => {
    const { network, page } = await open("swallows");
    await page.start({ microphone: false });
    assert.deepEqual([network.refused, transports(await page.noted())], [2, ["http"]]);
    assert.equal(await page.say("sendText", "Is there a table at eight?"), "taken");
    await page.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
    await page.close();
  });
});
