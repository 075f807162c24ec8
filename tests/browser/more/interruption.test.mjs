// @ts-check
// A phone call takes the sound away from the page, as iOS does it, and from a context that the page has made.

import { after, describe, test } from "node:test";

import { interrupt } from "../support/interruptions.mjs";
import { Stage } from "../support/stage.mjs";

describe("something else has the sound", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("it is waited for, told once, and resumed once when the context is running again", () => interrupt(stage, undefined, false));

  test("it is waited for, told once, and resumed once when the page's own context is suspended again", () => interrupt(stage, "suspended", true));
});
