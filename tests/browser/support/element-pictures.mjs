// @ts-check
// Takes a picture of the element in each state, on a phone, upright and on its side, and on a desktop, light and dark: `node tests/browser/support/element-pictures.mjs`, after
// `cargo xtask build`. They lie in target/pictures/element.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { launch } from "./chromium.mjs";
import { STATES, openElement } from "./element-states.mjs";
import { ROOT } from "./installed.mjs";
import { Stage } from "./stage.mjs";

const FOLDER = join(ROOT, "target", "pictures", "element");
const SCREENS = { phone: { width: 360, height: 640 }, side: { width: 844, height: 390 }, desktop: { width: 1280, height: 800 } };

const stage = new Stage();
const only = process.argv[2];
mkdirSync(FOLDER, { recursive: true });
try {
  const browser = await launch(stage);
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    for (const [screen, viewport] of Object.entries(SCREENS)) {
      for (const [name, reach] of Object.entries(STATES)) {
        if (only && !name.includes(only)) continue;
        const context = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce", permissions: ["microphone"] });
        const page = await openElement(context);
        await reach(page);
        await page.waitForTimeout(100);
        await page.screenshot({ path: join(FOLDER, `${name.replaceAll(" ", "-")}-${screen}-${colorScheme}.png`) });
        await context.close();
      }
    }
  }
} finally {
  await stage.clear();
}
