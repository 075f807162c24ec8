// @ts-check
// Listening in on the dashboard: a real relay, a real call, two real browsers' pages.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { callThatGoesOn, complaintsOf } from "./support/dashboard.mjs";
import { until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";

/** What `globalThis` holds in the page. @typedef {any} Stub */

describe("listening in on the dashboard", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** A call that goes on, and its page in the dashboard, as somebody with these roles sees it. @param {string[]} roles */
  async function begin(roles) {
    // A word every few seconds, with room for the answer.
    const said = Array.from({ length: 12 }, () => ["hello", 4]).flat();
    const { relay, browser, origin, caller } = await callThatGoesOn(stage, said);
    const token = relay.token("root", ...roles);
    const page = await (await browser.newContext({ reducedMotion: "reduce" })).newPage();
    const complaints = complaintsOf(page);
    // How loud each side of what is played has been.
    await page.addInitScript(() => {
      const loudest = [0, 0];
      Object.assign(globalThis, { loudest });
      const start = AudioBufferSourceNode.prototype.start;
      AudioBufferSourceNode.prototype.start = function (...given) {
        const played = /** @type {AudioBuffer} */ (this.buffer);
        for (const side of [0, 1]) loudest[side] = Math.max(Number(loudest[side]), ...played.getChannelData(side).map(Math.abs));
        start.apply(this, given);
      };
    });
    await page.goto(`${origin}/dashboard#token=${token}`);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    const session = /** @type {import("./support/relay.mjs").SessionRow} */ (relay.sessions()[0]);
    await page.evaluate((id) => (location.hash = `#/call/${id}`), session.id);
    const press = page.getByRole("button", { name: "Listen in" });
    await press.waitFor();
    return { relay, caller, page, press, complaints };
  }

  test("plays both sides, the page of the call knows it, and both end when it is wanted", async () => {
    const { relay, caller, page, press, complaints } = await begin(["voxrelay_admin", "voxrelay_reader"]);
    await press.click();
    await page.getByText("You listen in:").waitFor();
    await caller.hears(({ name, event }) => name === "listened" && event.listening);
    const loud = () => page.evaluate(() => /** @type {Stub} */ (globalThis).loudest);
    // The user is a recording of somebody who speaks, and the agent of the demo says it back.
    await until("both are heard", async () => (await loud()).every((/** @type {number} */ side) => side > 0.02));
    await page.getByRole("button", { name: "Stop listening" }).click();
    await caller.hears(({ name, event }) => name === "listened" && !event.listening);
    await press.click();
    await page.getByText("You listen in:").waitFor();
    await caller.close();
    await relay.endedSession();
    await page.getByText("The call has ended.").waitFor();
    await press.waitFor();
    assert.deepEqual(complaints, []);
  });

  test("says what is missing to an administrator who may not", async () => {
    const { caller, page, press } = await begin(["voxrelay_admin"]);
    await press.click();
    await page.getByText("This relay does not let this token listen in.").waitFor();
    assert.ok(!(await caller.noted()).some((/** @type {Stub} */ { name }) => name === "listened"));
  });
});
