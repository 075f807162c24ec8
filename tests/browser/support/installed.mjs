// @ts-check
// Packages that only a test needs: installed when it asks, by their own lock file, and kept from run to run.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Outside the workspace, so that nothing is found there by accident. */
export const CACHE = process.env.E2E_INSTALLED ?? join(ROOT, "target", "installed");

/** What npm keeps is taken before the registry is asked, which may fail several times: all of that is no fault of what is tested. */
const CI = ["ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline", "--fetch-retries=5", "--fetch-retry-mintimeout=2000"];

/**
 * Installs what a folder's package.json and lock file name. Other processes may do the same at the same time: `node_modules` comes into its place
 * whole, at once, and the first one's stays.
 * @param {string} source Where they lie.
 * @param {string} folder Where `node_modules` is made.
 */
export function install(source, folder) {
  const names = ["package.json", "package-lock.json"];
  const lock = createHash("sha256").update(readFileSync(join(source, "package-lock.json"))).digest("hex");
  const modules = join(folder, "node_modules");
  // It lies within, so that it is there exactly as long as what it is about.
  const isThere = () => {
    const stamp = join(modules, ".installed");
    return existsSync(stamp) && readFileSync(stamp, "utf8") === lock;
  };
  mkdirSync(folder, { recursive: true });
  for (const name of names) copyFileSync(join(source, name), join(folder, name));
  if (isThere()) return;
  // As deep as the folder itself, so that a path within it leads to the same place.
  const made = `${folder}.${process.pid}`;
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made);
  try {
    for (const name of names) copyFileSync(join(source, name), join(made, name));
    npm(made, ...CI);
    mkdirSync(join(made, "node_modules"), { recursive: true });
    writeFileSync(join(made, "node_modules", ".installed"), lock);
    if (isThere()) return;
    // Of another lock file.
    if (existsSync(modules)) renameSync(modules, join(made, "before"));
    renameSync(join(made, "node_modules"), modules);
  } catch (thrown) {
    // Between two of these lines another process may have put its own there.
    if (!isThere()) throw thrown;
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
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
