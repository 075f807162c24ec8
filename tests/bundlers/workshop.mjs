// @ts-check
// Builds the app with a bundler that is installed on demand, from the package as npm packs it, and makes a call with what was built.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect } from "node:net";
import { extname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

import { launch } from "../browser/support/chromium.mjs";
import { CACHE, ROOT, install, npm } from "../browser/support/installed.mjs";
import { Relay, until } from "../browser/support/relay.mjs";
import { speak } from "../browser/support/speech.mjs";

/** @typedef {import("../browser/support/stage.mjs").Stage} Stage */

const HERE = fileURLToPath(new URL(".", import.meta.url));
export const README = readFileSync(join(ROOT, "npm", "README.md"), "utf8");

const TYPES = /** @type {Record<string, string>} */ ({
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
});

/** The folder of an unpacked package; packed once a process. @type {string | undefined} */
let unpacked;

/** The package as a stranger gets it. */
export function packedPackage() {
  if (unpacked) return unpacked;
  const folder = join(CACHE, "packed");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const listing = npm(ROOT, "pack", "--workspace", "npm", "--json", "--pack-destination", folder);
  const [{ filename }] = JSON.parse(listing);
  execFileSync("tar", ["-xzf", join(folder, filename), "-C", folder]);
  unpacked = join(folder, "package");
  return unpacked;
}

/**
 * A fresh folder with the app, the bundler of `tests/bundlers/<name>` and the packed package.
 * @param {string} name
 */
export function workplace(name) {
  const folder = join(CACHE, name);
  mkdirSync(folder, { recursive: true });
  // What was installed may stay; what was built, or remembered while building, may not.
  for (const old of readdirSync(folder)) {
    if (old !== "node_modules") rmSync(join(folder, old), { recursive: true });
  }
  cpSync(join(HERE, "app"), folder, { recursive: true });
  const own = join(HERE, name);
  if (existsSync(own)) {
    cpSync(own, folder, { recursive: true });
    install(own, folder);
  }
  const installed = join(folder, "node_modules", "voxrelay");
  for (const old of [installed, join(folder, "node_modules", ".vite"), join(folder, "node_modules", ".cache")]) {
    rmSync(old, { recursive: true, force: true });
  }
  cpSync(packedPackage(), installed, { recursive: true });
  return folder;
}

/** Makes it an app with the element in place of a call of its own. @param {string} folder */
export function withElement(folder) {
  cpSync(join(folder, "element.js"), join(folder, "main.js"));
  const page = readFileSync(join(folder, "index.html"), "utf8");
  writeFileSync(join(folder, "index.html"), page.replace("<button", "<voice-call></voice-call>\n    <button"));
}

/** Makes it an app of React with a call of its own. @param {string} folder */
export function withReact(folder) {
  const react = join(CACHE, "react");
  install(fileURLToPath(new URL("../tools/react", import.meta.url)), react);
  for (const name of ["react", "react-dom", "scheduler"]) cpSync(join(react, "node_modules", name), join(folder, "node_modules", name), { recursive: true });
  cpSync(join(folder, "react.js"), join(folder, "main.js"));
  const page = readFileSync(join(folder, "index.html"), "utf8");
  writeFileSync(join(folder, "index.html"), page.replace('<button id="call">Call</button>', '<div id="app"></div>'));
}

/**
 * Runs a script of the folder's package.json.
 * @param {string} folder
 * @param {string} [script]
 */
export function build(folder, script = "build") {
  npm(folder, "run", script);
}

/**
 * Makes it an app of the script tag's file, which lies beside the page or where `script` says.
 * @param {string} folder
 * @param {string} [script]
 */
export function withScriptTag(folder, script = "voxrelay.js") {
  const page = readFileSync(join(folder, "index.html"), "utf8");
  writeFileSync(join(folder, "index.html"), page.replace("<script", `<script src="${script}"></script>\n    <script`));
  const main = readFileSync(join(folder, "main.js"), "utf8");
  const global = main.replace('import { VoiceClient } from "voxrelay";', "const { VoiceClient } = Voxrelay;");
  // A page without a bundler imports the module by its address, beside the script.
  const preflight = script.includes("/") ? script.replace("voxrelay.js", "preflight.js") : "./preflight.js";
  writeFileSync(join(folder, "main.js"), global.replace('"voxrelay/preflight"', `"${preflight}"`));
}

/**
 * Runs the line of the README that says what this bundler needs.
 * @param {string} folder
 * @param {RegExp} line
 */
export function runDocumented(folder, line) {
  const found = README.split(/[\n`]/).find((part) => line.test(part));
  if (!found) throw new Error(`npm/README.md has no line like ${line}`);
  execFileSync("sh", ["-c", found], { cwd: folder });
}

/**
 * A policy of the README, by default that for files of one's own, with `relay` in the place of its example.
 * @param {string} relay Its host.
 * @param {string} begins What the policy begins with.
 */
export function documentedPolicy(relay, begins = "script-src 'self' 'wasm-unsafe-eval'") {
  const found = README.split("\n").find((line) => line.startsWith(begins));
  if (!found) throw new Error(`npm/README.md has no policy that begins with ${begins}`);
  return found.replaceAll("https://voice.example.com", `http://${relay}`).replaceAll("wss://voice.example.com", `ws://${relay}`);
}

/**
 * A policy that also allows the scripts that stand in the page itself.
 * @param {string} file The page.
 */
export function withInlineScriptsOf(file) {
  const scripts = [...readFileSync(file, "utf8").matchAll(/<script(?![^>]*\ssrc=)[^>]*>([^]*?)<\/script>/g)];
  const hashes = scripts.map(([, script]) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`);
  return (/** @type {string} */ policy) => policy.replace("script-src", `script-src ${hashes.join(" ")}`);
}

/**
 * Runs a script of the folder's package.json that serves the app at `PORT`, and waits until it does. Returns where.
 * @param {Stage} stage
 * @param {string} folder
 * @param {string} script
 * @param {{ PORT: string } & Record<string, string>} settings
 */
export async function serve(stage, folder, script, settings) {
  const server = spawn("npm", ["run", script], { cwd: folder, env: { ...process.env, ...settings }, stdio: "ignore", detached: true });
  const over = once(server, "exit");
  stage.after(async () => {
    // npm and what it started are one group.
    if (server.exitCode === null && server.pid) process.kill(-server.pid);
    await over;
  });
  const origin = `http://127.0.0.1:${settings.PORT}`;
  await until(`npm run ${script} serves the app`, () => fetch(origin).then(({ ok }) => ok, () => false));
  return origin;
}

/** What is fetched when it is needed: how it is known in what is served, whatever a bundler calls it. @type {Record<string, (content: Buffer) => boolean>} */
const LATER = {
  "http.js": (content) => content.includes("EventSource"),
  "later.js": (content) => content.includes("high-rtt"),
  preflight: (content) => content.includes("askForMicrophone"),
  "voice.wasm": (content) => content.equals(readFileSync(join(packedPackage(), "dist", "voice.wasm"))),
};

/** Every call fetches this, as soon as it has something to measure. */
const OF_EVERY_CALL = "later.js";

/**
 * Where the app is served.
 * @typedef {object} Site
 * @property {number} port
 * @property {string} policy
 * @property {string} token
 * @property {string[]} later What of {@link LATER} was fetched from it so far.
 */

/**
 * @typedef {object} CallOptions
 * @property {(policy: string, relay: string) => string} [policy] Adds what the page itself needs. It is asked before the page is opened, and knows where
 *   the relay is.
 * @property {boolean} [isOneFile] The bundler puts `preflight` into the bundle, which is fetched at once.
 * @property {boolean} [isElsewhere] The package's files come from another server, which counts nothing.
 */

/**
 * Makes the app's calls: one as most are, for which nothing is fetched that it does not need, and one that needs all that is fetched later.
 * @param {Stage} stage
 * @param {string} folder
 * @param {CallOptions} [options]
 */
export async function assertCalls(stage, folder, options = {}) {
  const { page, site, complaints } = await assertAnswered(stage, folder, options);
  const early = site.later.filter((name) => name !== OF_EVERY_CALL && !(options.isOneFile && name === "preflight"));
  assert.deepEqual(early, [], "nothing is fetched before it is needed");
  await assertRareCall(page, complaints);
  if (!options.isElsewhere) assert.deepEqual([...new Set(site.later)].sort(), Object.keys(LATER));
}

/**
 * Presses the button for the call that needs what is fetched later, and waits until it is over.
 * @param {import("playwright-core").Page} page
 * @param {string[]} complaints What is on the page's console.
 */
export async function assertRareCall(page, complaints) {
  await page.locator("#rare").click();
  const found = await until("the rare call is over", () => page.evaluate(() => document.documentElement.dataset.rare)).catch((error) => {
    throw new Error(`${error.message}; the page complains: ${complaints.join("; ")}`);
  });
  const expected = { preflight: "good good good", answered: true, engine: "worker", transport: "http" };
  assert.deepEqual(JSON.parse(found), expected, complaints.join("; "));
  assert.deepEqual(complaints, []);
}

/**
 * Serves `folder`, or what another server at `http://…` serves, under the README's policy, presses the button in a browser, and waits for the agent's answer.
 * @param {Stage} stage
 * @param {string} folder
 * @param {CallOptions} [options]
 */
export async function assertAnswered(stage, folder, { policy = (given) => given } = {}) {
  /** @type {Site} */
  const site = { port: 0, policy: "", token: "", later: [] };
  const server = createServer((request, response) => void answer(site, folder, request, response));
  if (folder.startsWith("http:")) server.on("upgrade", (request, socket, head) => upgrade(folder, request, socket, head));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.after(() => {
    server.closeAllConnections();
    server.close();
  });
  site.port = /** @type {import("node:net").AddressInfo} */ (server.address()).port;
  const origin = `http://127.0.0.1:${site.port}`;
  const relay = await Relay.start({ VOXRELAY_ORIGINS: origin });
  stage.after(() => relay.stop());
  const host = `127.0.0.1:${relay.port}`;
  site.policy = policy(documentedPolicy(host), `http://${host}`);
  site.token = relay.token("alice");
  const speech = speak(stage, [0.5, "hello", 6]);
  const browser = await launch(stage, { microphone: speech.file });
  const page = await browser.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(`${origin}/?relay=${encodeURIComponent(`ws://${host}/v1/call`)}`);
  await page.locator("#call").click();
  const said = await until("the agent answers", async () => (await page.locator("#said").textContent()) || complaints[0]);
  if (!/^You spoke for \d/.test(said)) throw new Error(`instead of an answer came: ${said}`);
  const engine = await page.evaluate(() => document.documentElement.dataset.engine);
  if (engine !== "worker") throw new Error(`the engine runs on the ${engine}; the page complains: ${complaints.join("; ")}`);
  if (complaints.length > 0) throw new Error(`the page complains: ${complaints.join("; ")}`);
  return { page, site, complaints };
}

/**
 * @param {Site} site
 * @param {string} folder
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 */
async function answer({ policy, token, later }, folder, request, response) {
  /** @param {Buffer} content */
  const send = (content) => {
    later.push(...Object.keys(LATER).filter((name) => LATER[name](content)));
    response.end(content);
  };
  // On every answer, as most servers are set up: the Worker's file has a policy of its own then.
  response.setHeader("content-security-policy", policy);
  const { pathname } = new URL(String(request.url), "http://localhost");
  if (pathname === "/voice-token") return response.end(token);
  if (folder.startsWith("http:")) {
    const other = await fetch(new URL(String(request.url), folder));
    response.writeHead(other.status, { "content-type": other.headers.get("content-type") ?? "" });
    return send(Buffer.from(await other.arrayBuffer()));
  }
  const file = resolve(folder, `.${pathname.endsWith("/") ? `${pathname}index.html` : pathname}`);
  try {
    if (!file.startsWith(resolve(folder) + sep)) throw new Error("outside of the folder");
    const content = await readFile(file);
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    send(content);
  } catch {
    response.statusCode = 404;
    response.end();
  }
}

/**
 * Passes a WebSocket on, which a dev server has with its page.
 * @param {string} origin
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:stream").Duplex} page
 * @param {Buffer} head
 */
function upgrade(origin, request, page, head) {
  const { hostname, port } = new URL(origin);
  const other = connect(Number(port), hostname);
  const lines = request.rawHeaders.reduce((text, part, i) => text + part + (i % 2 ? "\r\n" : ": "), "");
  other.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines}\r\n`);
  other.write(head);
  for (const [from, to] of [[page, other], [other, page]]) {
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
    from.pipe(to);
  }
}
