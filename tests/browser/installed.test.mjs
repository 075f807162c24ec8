// @ts-check
// Packages that only a test needs are there as a whole, or not at all.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { promisify } from "node:util";

import { install } from "./support/installed.mjs";
import { Stage } from "./support/stage.mjs";

const MODULE = new URL("support/installed.mjs", import.meta.url).href;

describe("packages of a test", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("are there whole where two processes ask at once, and again when they are gone or are to be others", async () => {
    const root = mkdtempSync(join(tmpdir(), "voxrelay-installed-"));
    stage.after(() => rmSync(root, { recursive: true, force: true }));
    const [source, folder] = [join(root, "source"), join(root, "folder")];
    /** Puts into the source what needs a package that lies beside the folder, so that no registry is asked. @param {string} name */
    const needs = (name) => {
      mkdirSync(join(root, name), { recursive: true });
      mkdirSync(source, { recursive: true });
      const write = (/** @type {string} */ file, /** @type {object} */ content) => writeFileSync(join(root, file), JSON.stringify(content));
      const own = { name: "an-app", version: "1.0.0", dependencies: { [name]: `file:../${name}` } };
      write(join(name, "package.json"), { name, version: "1.0.0" });
      write("source/package.json", own);
      const packages = { "": own, [`../${name}`]: { version: "1.0.0" }, [`node_modules/${name}`]: { resolved: `../${name}`, link: true } };
      write("source/package-lock.json", { name: own.name, version: own.version, lockfileVersion: 3, requires: true, packages });
    };
    const has = (/** @type {string} */ name) => JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8")).name;

    needs("one");
    const code = `import { install } from ${JSON.stringify(MODULE)}; install(${JSON.stringify(source)}, ${JSON.stringify(folder)});`;
    const run = promisify(execFile);
    await Promise.all([1, 2].map(() => run(process.execPath, ["--input-type=module", "--eval", code])));
    assert.equal(has("one"), "one");
    assert.deepEqual(readdirSync(root).sort(), ["folder", "one", "source"], "nothing is left beside it");

    rmSync(join(folder, "node_modules"), { recursive: true });
    install(source, folder);
    assert.equal(has("one"), "one");

    needs("two");
    install(source, folder);
    assert.equal(has("two"), "two");
    assert.throws(() => has("one"), /ENOENT/);
  });
});
