// Writes the reference of the built package into a folder: `node npm/reference/write.mjs FOLDER`. What is not documented, and a link that leads
// nowhere, is an error.

import { spawnSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { CACHE, install } from "../../tests/browser/support/installed.mjs";

const [, , folder] = process.argv;
if (!folder) throw new Error("say into which folder");
const here = fileURLToPath(new URL(".", import.meta.url));
const tools = join(CACHE, "reference");
install(here, tools);
// It finds what it imports only beside what was installed.
const plugin = join(tools, "own-names.mjs");
copyFileSync(join(here, "own-names.mjs"), plugin);
const options = ["--options", join(here, "typedoc.json"), "--plugin", plugin, "--out", folder];
const { status } = spawnSync(process.execPath, [join(tools, "node_modules/typedoc/bin/typedoc"), ...options], { stdio: "inherit" });
process.exitCode = status ?? 1;
