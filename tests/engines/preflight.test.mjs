// @ts-check
// In every engine: a preflight finds a good line, opens the microphone for a moment, and leaves nothing.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { Stage } from "../browser/support/stage.mjs";

/** @typedef {import("voxrelay/preflight").PreflightReport} Report */

describe("a preflight", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  /** @param {Awaited<ReturnType<typeof openPage>>["tab"]} tab @returns {Promise<Report>} */
  const look = async (tab) =>
    JSON.parse(
      await tab.evaluate(async (sdk) => {
        const { preflight } = await import(sdk);
        const call = { url: "/v1/call", token: async () => (await fetch("/dev/token")).text() };
        return JSON.stringify(await preflight(call, { askForMicrophone: true }));
      }, "/sdk/preflight.js"),
    );

  for (const name of ENGINES) {
    test(`finds everything well and leaves nothing, in ${name}`, async () => {
      const { tab, relay, tracks, contexts } = await openPage(stage, name);
      const report = await look(tab);
      const { microphone, ...checks } = report.checks;
      const grades = Object.fromEntries(Object.entries(checks).map(([check, { grade }]) => [check, grade]));
      const good = { permission: "good", address: "good", token: "good", connection: "good", throughput: "good", roundTrip: "good" };
      assert.deepEqual(grades, good, JSON.stringify(report));
      // What the microphone hears at that moment is another matter: it may be nothing.
      assert.ok(microphone.grade === "good" || microphone.code === "microphone_silent", JSON.stringify(microphone));
      assert.deepEqual(relay.sessions(), []);
      assert.equal(await tracks.live(), 0);
      assert.ok((await contexts.states()).every((state) => state === "closed"));
    });
  }

  // Its audio clock is the loudspeaker's.
  for (const name of ENGINES.filter((name) => name === "firefox")) {
    test(`says of a machine without a loudspeaker that the microphone would not be heard, in ${name}`, async () => {
      const { tab, tracks } = await openPage(stage, name, { hasSound: false });
      const { microphone, permission } = (await look(tab)).checks;
      assert.deepEqual([permission.grade, microphone.grade, microphone.code], ["good", "poor", "audio_unavailable"], JSON.stringify(microphone));
      assert.equal(await tracks.live(), 0);
    });
  }
});
