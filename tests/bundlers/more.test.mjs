// @ts-check
// The package in the other bundlers: run by `cargo xtask test --all`.

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, describe, test } from "node:test";

import { freePort } from "../browser/support/free-port.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { README, assertAnswered, assertCalls, build, documentedPolicy, runDocumented, serve, withElement, withInlineScriptsOf, withReact, withScriptTag, workplace } from "./workshop.mjs";

/** What the README says of bundlers that do not look for the files. */
const COPY = /^cp node_modules\/voxrelay\/dist\/worker\.js /;

describe("the packed package", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  for (const name of ["vite-7", "vite-6"]) {
    test(`builds with ${name} as it is, and calls under the documented policy`, async () => {
      const folder = workplace(name);
      build(folder);
      await assertCalls(stage, join(folder, "dist"));
    });
  }

  for (const [what, change, assertWorks] of /** @type {const} */ ([
    ["an app", () => undefined, assertCalls],
    ["an app of React", withReact, assertAnswered],
  ])) {
    test(`${what} calls from Vite's dev server with the README's line, under the documented policy`, async () => {
      const folder = workplace("vite-8");
      change(folder);
      const [line] = /optimizeDeps: \{[^}]*\}/.exec(README) ?? [];
      if (!line) throw new Error("npm/README.md has no line for Vite's dev server");
      writeFileSync(join(folder, "vite.config.js"), `export default { ${line} };\n`);
      const origin = await serve(stage, folder, "dev", { PORT: String(await freePort()) });
      // The dev server tells its page by a WebSocket of its own what was changed.
      await assertWorks(stage, origin, { policy: (given) => given.replace("connect-src", "connect-src ws://127.0.0.1:*") });
    });
  }

  test("builds with a Vite that inlines more, and the README's line, and calls under the documented policy", async () => {
    const folder = workplace("vite-8");
    const [line] = /assetsInlineLimit: \(file\) => [^`]*/.exec(README) ?? [];
    // What the line leaves alone is inlined as by a limit of that size.
    const settings = String(line).replace("undefined", "true");
    writeFileSync(join(folder, "vite.config.js"), `export default { build: { ${settings} } };\n`);
    build(folder);
    await assertCalls(stage, join(folder, "dist"));
  });

  for (const name of ["vite-8", "webpack"]) {
    test(`calls by the script tag's file in a bundle of ${name}, with the addresses that the README names`, async () => {
      const folder = workplace(name);
      const main = readFileSync(join(folder, "main.js"), "utf8");
      const global = 'import "voxrelay/voxrelay.js";\n\nconst { VoiceClient } = globalThis.Voxrelay;';
      writeFileSync(join(folder, "main.js"), main.replace('import { VoiceClient } from "voxrelay";', global));
      const call = readFileSync(join(folder, "call.js"), "utf8");
      const addresses = 'wasmUrl: "/voxrelay.wasm", voiceUrl: "/voice.wasm", httpUrl: "/http.js", workerUrl: "/voxrelay.js", workletUrl: "/voxrelay.js",';
      writeFileSync(join(folder, "call.js"), call.replaceAll("connect({", `connect({ ${addresses}`));
      build(folder);
      if (name === "webpack") cpSync(join(folder, "index.html"), join(folder, "dist", "index.html"));
      for (const file of ["voxrelay.js", "voxrelay.wasm", "http.js", "voice.wasm"]) {
        cpSync(join(folder, "node_modules", "voxrelay", "dist", file), join(folder, "dist", file));
      }
      await assertCalls(stage, join(folder, "dist"));
    });
  }

  for (const [name, script, needs] of [
    ["parcel", "build", "the README's line"],
    ["next", "build:export", "nothing"],
    ["next", "build:webpack", "nothing"],
  ]) {
    test(`builds with ${name} (${script}) and ${needs}, and calls when the policy allows the page's own scripts, too`, async () => {
      const folder = workplace(name);
      if (name === "parcel") withPackageExports(folder);
      build(folder, script);
      const dist = join(folder, "dist");
      await assertCalls(stage, dist, { policy: withInlineScriptsOf(join(dist, "index.html")) });
    });
  }

  for (const [what, change] of /** @type {const} */ ([
    ["the element", withElement],
    ["an app of React", withReact],
  ])) {
    test(`builds ${what} with parcel and the README's line, and calls when the policy allows the page's own scripts, too`, async () => {
      const folder = workplace("parcel");
      change(folder);
      withPackageExports(folder);
      build(folder);
      const dist = join(folder, "dist");
      await assertAnswered(stage, dist, { policy: withInlineScriptsOf(join(dist, "index.html")) });
    });
  }

  test("builds with Next.js as it is, and calls from what `next start` serves", async () => {
    const folder = workplace("next");
    build(folder);
    const origin = await serve(stage, folder, "start", { PORT: String(await freePort()) });
    const page = join(folder, "page.html");
    writeFileSync(page, await (await fetch(origin)).text());
    await assertCalls(stage, origin, { policy: withInlineScriptsOf(page) });
  });

  test("builds with Angular and the README's line, and calls under the documented policy", async () => {
    const folder = workplace("angular");
    build(folder);
    runDocumented(folder, COPY);
    await assertCalls(stage, join(folder, "dist"));
  });

  test("is imported as it is by unit tests that Vitest runs", () => build(workplace("vitest"), "test"));

  test("is imported by unit tests that Jest runs, with the README's line", () => {
    runDocumented(workplace("jest"), /^NODE_OPTIONS=\S+ npx jest$/);
  });

  for (const [name, script, tag, isOneFile] of /** @type {const} */ ([
    ["rollup", "build", 'type="module"', false],
    ["rollup", "build:iife", "defer", true],
    ["esbuild", "build", "defer", true],
    ["esbuild", "build:esm", 'type="module"', true],
  ])) {
    test(`builds with ${name} (${script}) and the README's line, and calls under the documented policy`, async () => {
      const folder = workplace(name);
      build(folder, script);
      runDocumented(folder, COPY);
      const page = readFileSync(join(folder, "index.html"), "utf8");
      writeFileSync(join(folder, "dist", "index.html"), page.replace('type="module"', tag));
      await assertCalls(stage, join(folder, "dist"), { isOneFile });
    });
  }

  for (const [name, script, tag] of [
    ["webpack", "build", "defer"],
    ["esbuild", "build", "defer"],
    ["esbuild", "build:esm", 'type="module"'],
    ["rollup", "build", 'type="module"'],
    ["rollup", "build:iife", "defer"],
  ]) {
    test(`builds the element with ${name} (${script}), and calls under the documented policy`, async () => {
      const folder = workplace(name);
      withElement(folder);
      build(folder, script);
      if (name !== "webpack") runDocumented(folder, COPY);
      const page = readFileSync(join(folder, "index.html"), "utf8");
      writeFileSync(join(folder, "dist", "index.html"), page.replace('type="module"', tag));
      await assertAnswered(stage, join(folder, "dist"));
    });
  }

  test("calls from a page with the README's import map, whose hash its policy has", async () => {
    const folder = workplace("import-map");
    const [map] = /<script type="importmap">[^<]*<\/script>/.exec(README) ?? [];
    if (!map) throw new Error("npm/README.md has no import map");
    const page = readFileSync(join(folder, "index.html"), "utf8");
    writeFileSync(join(folder, "index.html"), page.replace("<script", `${map}\n    <script`));
    cpSync(join(folder, "node_modules", "voxrelay", "dist"), join(folder, "voxrelay"), { recursive: true });
    await assertCalls(stage, folder, { policy: withInlineScriptsOf(join(folder, "index.html")) });
  });

  test("calls by the script tag of another origin, whose Worker begins in a blob", async () => {
    const folder = workplace("script-tag");
    await assertCalls(stage, folder, {
      isElsewhere: true,
      policy: (_, relay) => {
        withScriptTag(folder, `${relay}/sdk/voxrelay.js`);
        return policyElsewhere(relay);
      },
    });
  });

  test("calls by the module of another origin, whose Worker begins in a blob", async () => {
    const folder = workplace("import-map");
    const file = join(folder, "index.html");
    const page = readFileSync(file, "utf8");
    await assertCalls(stage, folder, {
      isElsewhere: true,
      policy: (_, relay) => {
        const imports = { voxrelay: `${relay}/sdk/index.js`, "voxrelay/preflight": `${relay}/sdk/preflight.js` };
        const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`;
        writeFileSync(file, page.replace("<script", `${map}\n    <script`));
        // The README says what the module's needs besides.
        return withInlineScriptsOf(file)(policyElsewhere(relay).replace("worker-src blob:", `worker-src blob: ${relay}`));
      },
    });
  });
});

/** The README's policy for a script tag whose file is the relay's. @param {string} relay Its origin. */
function policyElsewhere(relay) {
  return documentedPolicy(new URL(relay).host, "script-src 'self' https:");
}

/** The README's line for Parcel, which by default does not look at what a package exports. @param {string} folder */
function withPackageExports(folder) {
  const [line] = /"@parcel\/resolver-default": \{[^}]*\}/.exec(README) ?? [];
  if (!line) throw new Error("npm/README.md has no line for Parcel");
  const file = join(folder, "package.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...JSON.parse(`{ ${line} }`) }));
}
