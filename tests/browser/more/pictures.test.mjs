// @ts-check
// The pictures of the element and of the demo page, for whoever wants to see them: each state, on each screen, light and dark.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { STATES as DEMO } from "../support/demo-states.mjs";
import { STATES as ELEMENT } from "../support/element-states.mjs";
import { ROOT } from "../support/installed.mjs";

/** Of what there are pictures, the states in which it is shown, and on how many screens. */
const SHOWN = /** @type {const} */ ([
  ["element", ELEMENT, 3],
  ["demo", DEMO, 6],
]);

describe("the pictures", () => {
  for (const [name, states, screens] of SHOWN) {
    test(`of the ${name} are taken of each state, on ${screens} screens, light and dark`, () => {
      const folder = join(ROOT, "target", "pictures", name);
      rmSync(folder, { recursive: true, force: true });
      execFileSync(process.execPath, [fileURLToPath(new URL(`../support/${name}-pictures.mjs`, import.meta.url))], { stdio: ["ignore", "ignore", "inherit"] });
      const pictures = readdirSync(folder);
      assert.equal(pictures.length, Object.keys(states).length * screens * 2, pictures.join());
      for (const picture of pictures) assert.ok(statSync(join(folder, picture)).size > 1_000, picture);
    });
  }
});
