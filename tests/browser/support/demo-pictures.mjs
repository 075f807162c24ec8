// @ts-check
// Takes a picture of the demo page in each state, on phone, tablet and desktop, light and dark: `node tests/browser/support/demo-pictures.mjs`,
// with a part of a state's name for only those. They lie in target/pictures/demo.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { launch } from "./chromium.mjs";
import { STATES, openDemo } from "./demo-states.mjs";
import { ROOT } from "./installed.mjs";
import { Stage } from "./stage.mjs";

const FOLDER = join(ROOT, "target", "pictures", "demo");
const SCREENS = {
  phone: { width: 360, height: 740 },
  narrow: { width: 320, height: 568 },
  side: { width: 750, height: 342 },
  sideways: { width: 844, height: 390 },
  tablet: { width: 820, height: 1180 },
  desktop: { width: 1440, height: 900 },
};

const stage = new Stage();
const only = process.argv[2];
mkdirSync(FOLDER, { recursive: true });
try {
  const browser = await launch(stage);
  for (const [name, reach] of Object.entries(STATES)) {
    if (only && !name.includes(only)) continue;
    const context = await browser.newContext({ reducedMotion: "reduce" });
    const page = await openDemo(context);
    await reach(page);
    for (const [screen, viewport] of Object.entries(SCREENS)) {
      await page.setViewportSize(viewport);
      for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: join(FOLDER, `${name.replaceAll(" ", "-")}-${screen}-${colorScheme}.png`) });
      }
    }
    await context.close();
  }
} finally {
  await stage.clear();
}
