// Draws the pictures of the docs with Graphviz, which comes as WebAssembly from npm: each `*.dot` of this folder becomes an `.svg` beside it.
// With `--check` nothing is written, and a picture that is not what its text says is an error.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { instance } from "@viz-js/viz";

const folder = dirname(fileURLToPath(import.meta.url));
const check = process.argv.includes("--check");
const viz = await instance();
for (const name of readdirSync(folder).filter((name) => name.endsWith(".dot"))) {
  const text = readFileSync(join(folder, name), "utf8");
  const drawn = viz.renderString(text, { format: "svg", engine: "dot" }).replace(/<!--[\s\S]*?-->\n?/g, "");
  const file = join(folder, name.replace(/\.dot$/, ".svg"));
  let before = "";
  try {
    before = readFileSync(file, "utf8");
  } catch {
    // It is drawn for the first time.
  }
  if (before === drawn) continue;
  if (check) {
    console.error(`${file} is stale: run \`cargo xtask codegen\` and commit it`);
    process.exitCode = 1;
  } else {
    writeFileSync(file, drawn);
    console.error(`✓ ${file} (drawn)`);
  }
}
