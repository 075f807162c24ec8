// Makes dist/ of src/: `node build.mjs`, after `cargo xtask build` has put the engine into src/wasm/.
import { execFileSync } from "node:child_process";
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";
import { minify } from "terser";

const here = dirname(fileURLToPath(import.meta.url));
const src = join(here, "src");
const dist = join(here, "dist");
const wasm = join(src, "wasm", "voxrelay_wasm_bg.wasm");
const voice = join(src, "voice", "voice.wasm");
const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));

if (!existsSync(wasm) || !existsSync(voice)) {
  process.stderr.write("npm/src/wasm or npm/src/voice is empty: run `cargo xtask build`, which makes it and then runs this.\n");
  process.exit(1);
}

const MODULES = ["index.js", "later.js", "react.js", "element.js", "element-call.js", "preflight.js"];

const common = {
  absWorkingDir: here,
  outdir: dist,
  bundle: true,
  minify: true,
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
  define: { VERSION: JSON.stringify(version) },
};

/** Names of parts that nobody outside sees are shortened, those that `Call` and its `Course` share among them. */
const own = { mangleProps: /^(own|want|constraints|before|failed|handlers|choose|look|use|sound|wantsMicrophone|devicesChanged|hasListener|onbreak|measured|rebuild|sounds|letGo|isHeard|isOpen|isLive|isWatched|isBack|place|ask|answer|callOptions|changes|loudness|shown|callPage|pageTools|isOver|begin|hangUp|tellMuted|openPage|handOver|command|emit|show|showDevices|outage|alive|told|run)$/ };

/** The script tag finds its files in another way. */
const scriptAssets = {
  name: "script-assets",
  setup: (plugin) =>
    plugin.onResolve({ filter: /\/assets\.js$/ }, () => ({ path: join(src, "assets-script.ts") })),
};

/** What is fetched later is a file of its own where there are modules. */
const laterFile = {
  name: "later-file",
  setup: (plugin) => plugin.onResolve({ filter: /\/later\.js$/ }, () => ({ path: "./later.js", external: true })),
};

/** What is another entry has the SDK in the file beside it, and so has the element what it fetches later; it has its style in itself. */
const entryFiles = {
  name: "entry-files",
  setup: (plugin) => {
    plugin.onResolve({ filter: /\/(index|element-call)\.js$/ }, ({ path }) => ({ path: path.replace(/^.*\//, "./"), external: true }));
    plugin.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(readFileSync(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim().replace(/(--[\w-]+): /g, "$1:"), loader: "text" };
    });
  },
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

await Promise.all([
  // The Worker's is whole: what is split, or imported while it runs, several bundlers cannot put into a Worker.
  build({ ...common, ...own, entryPoints: ["src/index.ts"], format: "esm", plugins: [laterFile] }),
  build({ ...common, entryPoints: ["src/later.ts"], format: "esm" }),
  build({ ...common, entryPoints: ["src/react.ts"], format: "esm", external: ["react"], plugins: [entryFiles] }),
  element(),
  // Whole, too: a page that only looks loads nothing else.
  build({ ...common, entryPoints: ["src/preflight.ts"], format: "esm" }),
  // A Worker of its own.
  build({ ...common, entryPoints: ["src/http.ts"], format: "iife" }),
  build({ ...common, ...own, entryPoints: ["src/worker.ts"], format: "iife" }),
  build({ ...common, ...own, entryPoints: { voxrelay: "src/script.ts" }, format: "iife", plugins: [scriptAssets] }),
]);
await Promise.all([...MODULES, "http.js", "worker.js", "voxrelay.js"].map(shorten));
// A bundler puts what is small into a `data:` URL, which strict policies forbid: as large as the Worker's, it is a file like that one.
appendFileSync(join(dist, "http.js"), `/*${" ".repeat(8_192)}*/\n`);
copyFileSync(wasm, join(dist, "voxrelay.wasm"));
copyFileSync(voice, join(dist, "voice.wasm"));
for (const name of ["index.js", "element.js"]) leaveToTheBrowser(join(dist, name));
// Servers that render components look for this: what is in the module runs in the page.
writeFileSync(join(dist, "react.js"), `"use client";\n${readFileSync(join(dist, "react.js"), "utf8")}`);
// What events and errors are made of is declared there. Nobody outside frees its classes, and older libraries of types have no `dispose`.
mkdirSync(join(dist, "wasm"));
const declared = readFileSync(join(src, "wasm", "voxrelay_wasm.d.ts"), "utf8");
writeFileSync(join(dist, "wasm", "voxrelay_wasm.d.ts"), declared.replace(/^.*\[Symbol\.dispose\].*\n/gm, ""));

// The compiler is a native program behind a small launcher.
const launcher = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
try {
  execFileSync(
    process.execPath,
    [launcher, "-p", here, "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--rootDir", src, "--outDir", dist],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
} catch {
  process.exit(1);
}
const address = "/** Where the file is: what most bundlers give to whoever imports it. */\ndeclare const address: string;\nexport default address;\n";
for (const file of ["voxrelay", "voice"]) writeFileSync(join(dist, `${file}.wasm.d.ts`), address);

/** The element, and then what it fetches when a call is about to be made: each name of their own is short, and the same in both. */
async function element() {
  const options = { ...common, format: "esm", plugins: [entryFiles], mangleProps: /Parts?$|^(is|can|asks)[A-Z]/, reserveProps: /^isConnected$/ };
  // Neither a browser nor a page has names like these.
  const { mangleCache } = await build({ ...options, entryPoints: ["src/element.ts"], mangleCache: {} });
  await build({ ...options, entryPoints: ["src/element-call.ts"], mangleCache });
}

/** Makes a bundle smaller than esbuild does, by 300 bytes of what is fetched. */
async function shorten(name) {
  const file = join(dist, name);
  // Nobody calls a function of ours with `new` or looks at its `prototype`, and no getter of ours does anything.
  const compress = { ecma: 2022, passes: 5, unsafe_arrows: true, unsafe_methods: true, pure_getters: true };
  const options = { module: MODULES.includes(name), toplevel: true, ecma: 2022, compress };
  // The engine's imports live as long as the page does, and keep alive whatever is in the scope that they are made in: none of a call's.
  const source = readFileSync(file, "utf8").replace(/[\w$]+\(\{module:[\w$]+\}\)/, "/*@__NOINLINE__*/$&");
  const { code } = await minify(source, options);
  // The same as what esbuild makes of an import of what is in the same file, and shorter.
  writeFileSync(file, code.replace(/Promise\.resolve\(\)\.then\(\(\)=>(\([\w$]+\(\),[\w$]+\))\)/g, "(async()=>$1)()"));
}

/** Says to bundlers, in comments that the minifier drops, that an import is of an address that is known only while the page runs. */
function leaveToTheBrowser(file) {
  const module = readFileSync(file, "utf8");
  const parts = module.split(/(?<=\bimport\()(?=[(\w`])/);
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} imports by address instead of one`);
  writeFileSync(file, parts.join("/* webpackIgnore: true *//* @vite-ignore */"));
}
