// @ts-check
// Bundles what a page needs of each peer to make a call, as an app's build would: `node tests/tools/peers/bundle.mjs FOLDER`. Prints what it made. What a
// peer fetches while it runs, by an address of its own, is not in it.

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";

import { CACHE, install } from "../../browser/support/installed.mjs";

/** What makes a call, by package. */
const CALLS = {
  "@elevenlabs/client": "Conversation",
  "@elevenlabs/convai-widget-core": "registerWidget",
  "@openai/agents-realtime": "RealtimeAgent, RealtimeSession",
  "@twilio/voice-sdk": "Device",
  "@vapi-ai/web": "default as Vapi",
  "livekit-client": "Room",
};

const folder = process.argv[2];
if (!folder) throw new Error("bundle.mjs FOLDER");
const installed = join(CACHE, "peers");
install(fileURLToPath(new URL(".", import.meta.url)), installed);
mkdirSync(folder, { recursive: true });

const made = [];
for (const [name, calls] of Object.entries(CALLS)) {
  const file = `${name.replaceAll(/[@/]+/g, "-").replace(/^-/, "")}.js`;
  await build({
    stdin: { contents: `export { ${calls} } from ${JSON.stringify(name)};`, resolveDir: installed },
    outfile: join(folder, file),
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    logLevel: "error",
    define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
  });
  const { version } = JSON.parse(readFileSync(join(installed, "node_modules", name, "package.json"), "utf8"));
  made.push({ name, version, brotli: brotli(readFileSync(join(folder, file))) });
}
process.stdout.write(JSON.stringify(made));

/** As `cargo xtask size` measures the package's own files, which a debug build of it would do for minutes. @param {Buffer} content */
function brotli(content) {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_LGBLOCK, BROTLI_PARAM_SIZE_HINT } = constants;
  const params = { [BROTLI_PARAM_QUALITY]: 11, [BROTLI_PARAM_LGWIN]: 22, [BROTLI_PARAM_LGBLOCK]: 16, [BROTLI_PARAM_SIZE_HINT]: content.length };
  return brotliCompressSync(content, { params }).length;
}
