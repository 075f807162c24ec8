// @ts-check
// Packages that only a test needs: installed when it asks, by their own lock file, and kept from run to run.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Outside the workspace, so that nothing is found there by accident. */
export const CACHE = process.env.E2E_INSTALLED ?? join(ROOT, "target", "installed");

/**
 * Installs what a folder's package.json and lock file name.
 * @param {string} source Where they lie.
 * @param {string} folder Where `node_modules` is made.
 */
export function install(source, folder) {
  mkdirSync(folder, { recursive: true });
  for (const name of ["package.json", "package-lock.json"]) copyFileSync(join(source, name), join(folder, name));
  const lock = createHash("sha256").update(readFileSync(join(source, "package-lock.json"))).digest("hex");
  const stamp = join(folder, ".installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  npm(folder, "ci", "--no-audit", "--no-fund", "--loglevel=error");
  writeFileSync(stamp, lock);
}

/** Runs npm in a folder. @param {string} folder @param {...string} args */
export function npm(folder, ...args) {
  const settings = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", CI: "1" };
  try {
    return execFileSync("npm", args, { cwd: folder, encoding: "utf8", env: settings, stdio: ["ignore", "pipe", "pipe"] });
  } catch (thrown) {
    const { stdout, stderr } = /** @type {{ stdout: string, stderr: string }} */ (thrown);
    throw new Error(`npm ${args.join(" ")} failed:\n${stdout}\n${stderr}`);
  }
}
