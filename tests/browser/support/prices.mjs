// @ts-check
// Prices of a test's own.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Puts prices where a relay reads them.
 * @param {import("./stage.mjs").Stage} stage Clears them away.
 * @param {string} prices
 * @returns {string} For `VOXRELAY_PRICES__FILE`.
 */
export function pricesFile(stage, prices) {
  const folder = mkdtempSync(join(tmpdir(), "voxrelay-prices-"));
  stage.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "prices.toml");
  writeFileSync(file, prices);
  return file;
}
