// @ts-check
// The example's Edge Function in Deno, beside a server that answers as Supabase does, and asked from a page by supabase-js: run by `cargo xtask test --all`.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, rmSync } from "node:fs";
import { createServer, request as requestOf } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, test } from "node:test";

import { launch } from "../browser/support/chromium.mjs";
import { freePort } from "../browser/support/free-port.mjs";
import { CACHE, ROOT, install } from "../browser/support/installed.mjs";
import { Relay, until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";

const SECRET = "an example's secret, which everybody knows";
const ADA = "7d9c3c4e-0000-4000-8000-000000000001";

/** What the example is, and what a page is told to ask it by. */
const FUNCTION = join(ROOT, "examples", "supabase", "functions", "voice-token");
const ASKED_BY = /by `(\(await supabase\.[^`]+)`/.exec(readFileSync(join(FUNCTION, "index.ts"), "utf8"))?.[1];

describe("the Edge Function of the Supabase example", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  test("gives a signed-in user a token with the plan that the database names, which the relay takes, and nobody else one", async () => {
    const { port } = await start(stage);
    const ask = (/** @type {string} */ token) => fetch(`http://127.0.0.1:${port}`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
    assert.equal((await ask("nobody")).status, 401);
    const answer = await ask("ada");
    const token = await answer.text();
    assert.equal(answer.status, 200, token);
    const claims = JSON.parse(String(Buffer.from(String(token.split(".")[1]), "base64url")));
    assert.deepEqual([claims.sub, claims.app_metadata], [ADA, { account: "lovelace", plan: "pro" }]);

    const relay = await Relay.start({ VOXRELAY_AUTH__HS256_SECRET: SECRET });
    stage.after(() => relay.stop());
    const sessions = (/** @type {string} */ bearer) =>
      fetch(`http://127.0.0.1:${relay.port}/v1/sessions`, { headers: { authorization: `Bearer ${bearer}` } });
    assert.equal((await sessions(token)).status, 200);
    assert.equal((await sessions(`${token}x`)).status, 401);
  });

  test("is asked by a page of the origin that it names, as the example says, and by no page of another one", async () => {
    assert.ok(ASKED_BY, "index.ts says what a page asks by");
    const client = join(CACHE, "supabase");
    install(fileURLToPath(new URL("../tools/supabase", import.meta.url)), client);
    const script = readFileSync(join(client, "node_modules", "@supabase", "supabase-js", "dist", "umd", "supabase.js"));
    const pages = await serve(stage, (request, response) => {
      const isScript = request.url === "/supabase.js";
      response.setHeader("content-type", `text/${isScript ? "javascript" : "html"}; charset=utf-8`);
      response.end(isScript ? script : '<!doctype html><title>A page</title><script src="/supabase.js"></script>');
    });
    const { supabase, asked } = await start(stage, { PAGE_ORIGIN: pages });
    const browser = await launch(stage);
    /** What a page of this origin gets whose user has this token. @param {string} origin @param {string} user */
    const got = async (origin, user) => {
      const page = await browser.newPage();
      await page.goto(origin);
      const made = `globalThis.supabase.createClient(${JSON.stringify(supabase)}, "anon", { accessToken: async () => ${JSON.stringify(user)} })`;
      return page.evaluate(`(async () => { const supabase = ${made}; return ${ASKED_BY}; })()`);
    };
    const token = String(await got(pages, "ada"));
    assert.equal(JSON.parse(String(Buffer.from(String(token.split(".")[1]), "base64url"))).sub, ADA, token);
    assert.deepEqual(asked, ["OPTIONS", "POST"], "a page of another origin than Supabase's is asked for first");
    assert.equal(await got(pages, "nobody"), null);
    assert.equal(await got(pages.replace("127.0.0.1", "localhost"), "ada"), null);
  });
});

/**
 * Starts the function, and what stands for Supabase before it. `asked` are the methods by which it was asked from there.
 * @param {Stage} stage
 * @param {Record<string, string>} [secrets]
 */
async function start(stage, secrets = {}) {
  const deno = join(CACHE, "deno");
  install(fileURLToPath(new URL("deno", import.meta.url)), deno);
  const program = join(deno, "node_modules", ".bin", "deno");
  const folder = join(CACHE, "voice-token");
  rmSync(folder, { recursive: true, force: true });
  cpSync(FUNCTION, folder, { recursive: true });
  const checked = spawnSync(program, ["check", "index.ts"], { cwd: folder, encoding: "utf8" });
  assert.equal(checked.status, 0, checked.stderr);

  const port = await freePort();
  /** @type {string[]} */
  const asked = [];
  const supabase = await stubOfSupabase(stage, port, asked);
  const server = spawn(program, ["run", "--allow-env", "--allow-net", "index.ts"], {
    cwd: folder,
    env: {
      ...process.env,
      DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
      SUPABASE_URL: supabase,
      SUPABASE_ANON_KEY: "anon",
      VOXRELAY_AUTH__HS256_SECRET: SECRET,
      ...secrets,
    },
    stdio: "ignore",
    detached: true,
  });
  const over = once(server, "exit");
  stage.after(async () => {
    // What npm installs may be a program that starts Deno: both are one group.
    if (server.exitCode === null && server.pid) process.kill(-server.pid);
    await over;
  });
  await until("the function answers", () => fetch(`http://127.0.0.1:${port}`, { method: "OPTIONS" }).then(() => true, () => false));
  return { port, supabase, asked };
}

/**
 * Ada's token is `ada`, and she reads her own row. The function has its path, as there.
 * @param {Stage} stage
 * @param {number} port Where the function is.
 * @param {string[]} asked
 */
function stubOfSupabase(stage, port, asked) {
  return serve(stage, (request, response) => {
    const isAda = request.headers.authorization === "Bearer ada";
    const { pathname, searchParams } = new URL(String(request.url), "http://localhost");
    if (pathname === "/functions/v1/voice-token") {
      asked.push(String(request.method));
      return void passOn(request, response, port);
    }
    response.setHeader("content-type", "application/json");
    if (pathname === "/auth/v1/user" && isAda) return response.end(JSON.stringify({ id: ADA, aud: "authenticated" }));
    const isHers = isAda && searchParams.get("user_id") === `eq.${ADA}`;
    if (pathname === "/rest/v1/subscriptions" && isHers) return response.end('[{"plan": "pro", "account": "lovelace"}]');
    response.writeHead(401).end('{"message": "invalid JWT"}');
  });
}

/** @param {import("node:http").IncomingMessage} request @param {import("node:http").ServerResponse} response @param {number} port */
function passOn(request, response, port) {
  const { method, headers } = request;
  const passed = requestOf({ host: "127.0.0.1", port, path: "/", method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => response.destroy());
  request.pipe(passed);
}

/** A server of the test's, and where it is. @param {Stage} stage @param {import("node:http").RequestListener} listener @returns {Promise<string>} */
async function serve(stage, listener) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
}
