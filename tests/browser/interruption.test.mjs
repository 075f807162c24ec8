// @ts-check
// A phone call takes the sound away from the page, as iOS does it. `more/interruption.test.mjs` has other contexts.

import { after, describe, test } from "node:test";

import { freeze, interrupt } from "./support/interruptions.mjs";
import { Stage } from "./support/stage.mjs";

describe("something else has the sound", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("it is waited for, told once, and resumed once when the context is suspended again", () => interrupt(stage, "suspended", false));

  test("a context whose clock stands still while it says that it runs is made anew, and user and agent are heard again", () => freeze(stage));
});
