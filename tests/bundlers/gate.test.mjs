// @ts-check
// The package in the bundlers that most people use, and without one. `more.test.mjs` has the others.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, describe, test } from "node:test";

import { ROOT } from "../browser/support/installed.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { assertAnswered, assertCalls, build, packedPackage, withElement, withScriptTag, workplace } from "./workshop.mjs";

describe("the packed package", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("builds with vite-8 as it is, and calls under the documented policy", async () => {
    const folder = workplace("vite-8");
    build(folder);
    await assertCalls(stage, join(folder, "dist"));
  });

  test("builds with webpack as it is, and calls under the documented policy", async () => {
    const folder = workplace("webpack");
    build(folder);
    asClassicScript(folder);
    await assertCalls(stage, join(folder, "dist"));
  });

  test("builds the element with vite-8 as it is, which fetches what it shows of a call, and calls under the documented policy", async () => {
    const folder = workplace("vite-8");
    withElement(folder);
    build(folder);
    const assets = readdirSync(join(folder, "dist", "assets")).filter((name) => /^element-call-.*\.js$/.test(name));
    assert.equal(assets.length, 1, "it is a file of its own");
    await assertAnswered(stage, join(folder, "dist"));
  });

  test("calls from a script tag, with its files beside each other", async () => {
    const folder = workplace("script-tag");
    for (const name of ["voxrelay.js", "voxrelay.wasm", "http.js", "voice.wasm", "preflight.js"]) {
      cpSync(join(packedPackage(), "dist", name), join(folder, name));
    }
    withScriptTag(folder);
    await assertCalls(stage, folder);
  });

  test("keeps the script-tag file when a bundle imports it for its effect", () => {
    const folder = workplace("vite-8");
    writeFileSync(join(folder, "main.js"), 'import "voxrelay/voxrelay.js";\nconsole.log(Voxrelay.VoiceClient);\n');
    build(folder);
    const assets = join(folder, "dist", "assets");
    const built = readdirSync(assets).map((name) => readFileSync(join(assets, name), "utf8")).join("\n");
    assert.ok(built.includes("engine_unavailable"), "the engine is not in the bundle");
  });

  test("has types for each way in", () => {
    const folder = workplace("types");
    const code = 'import "voxrelay/voxrelay.js";\nimport { VoiceClient } from "voxrelay";\nexport const same: typeof VoiceClient = Voxrelay.VoiceClient;\n';
    writeFileSync(join(folder, "own.ts"), code);
    const card = `import "voxrelay/element";
import type {} from "voxrelay/react";
export const card = <voice-call relay="/" token-url="/token" options={{ agent: "host" }} lang="de" ref={(element) => void element?.connect()}></voice-call>;
// @ts-expect-error it is a name
export const wrong = <voice-call agent={1}></voice-call>;
`;
    writeFileSync(join(folder, "card.tsx"), card);
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    for (const [module, resolution] of [
      ["esnext", "bundler"],
      ["nodenext", "nodenext"],
    ]) {
      const settings = ["--strict", "--noEmit", "--noUncheckedSideEffectImports", "--types", "", "--jsx", "react-jsx", "--module", module, "--moduleResolution", resolution];
      const { status, stdout } = spawnSync(process.execPath, [tsc, ...settings, "own.ts", "card.tsx"], { cwd: folder, encoding: "utf8" });
      assert.equal(status, 0, stdout);
    }
  });

  test("has the texts of its licences", () => {
    for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) assert.ok(existsSync(join(packedPackage(), name)), name);
  });
});

/** webpack's bundle is a classic script. @param {string} folder */
function asClassicScript(folder) {
  const page = readFileSync(join(folder, "index.html"), "utf8");
  writeFileSync(join(folder, "dist", "index.html"), page.replace('type="module"', "defer"));
}
