// @ts-check
// A chosen microphone that goes away and comes back, chosen by a constraint.

import { after, afterEach, describe, test } from "node:test";

import { Stage } from "../support/stage.mjs";
import { isStoodInFor } from "../support/two-microphones.mjs";

describe("microphones that come and go", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  for (const [how, deviceId] of /** @type {const} */ ([
    ["exactly", { exact: "headset" }],
    ["ideally", { ideal: "headset" }],
  ])) {
    test(`one that is ${how} asked for is stood in for by the default one, and taken again when it is back`, () => isStoodInFor(stage, deviceId));
  }
});
