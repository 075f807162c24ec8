// @ts-check
// The example's Edge Function in Deno, beside a server that answers as Supabase does: run by `cargo xtask test --all`.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, describe, test } from "node:test";

import { freePort } from "../browser/support/free-port.mjs";
import { CACHE, ROOT, install } from "../browser/support/installed.mjs";
import { Relay, until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";

const SECRET = "an example's secret, which everybody knows";
const ADA = "7d9c3c4e-0000-4000-8000-000000000001";

describe("the Edge Function of the Supabase example", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("gives a signed-in user a token with the plan that the database names, which the relay takes, and nobody else one", async () => {
    const deno = join(CACHE, "deno");
    install(fileURLToPath(new URL("deno", import.meta.url)), deno);
    const program = join(deno, "node_modules", ".bin", "deno");
    const folder = join(CACHE, "voice-token");
    rmSync(folder, { recursive: true, force: true });
    cpSync(join(ROOT, "examples", "supabase", "functions", "voice-token"), folder, { recursive: true });
    const checked = spawnSync(program, ["check", "index.ts"], { cwd: folder, encoding: "utf8" });
    assert.equal(checked.status, 0, checked.stderr);

    const supabase = await stubOfSupabase(stage);
    const port = await freePort();
    const server = spawn(program, ["run", "--allow-env", "--allow-net", "index.ts"], {
      cwd: folder,
      env: {
        ...process.env,
        DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
        SUPABASE_URL: supabase,
        SUPABASE_ANON_KEY: "anon",
        VOXRELAY_AUTH__HS256_SECRET: SECRET,
      },
      stdio: "ignore",
    });
    stage.after(() => server.kill());
    const ask = (/** @type {string} */ token) => fetch(`http://127.0.0.1:${port}`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
    await until("the function answers", () => ask("nobody").then(() => true, () => false));
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
});

/** Ada's token is `ada`, and she reads her own row. @param {Stage} stage */
async function stubOfSupabase(stage) {
  const server = createServer((request, response) => {
    const isAda = request.headers.authorization === "Bearer ada";
    const { pathname, searchParams } = new URL(String(request.url), "http://localhost");
    response.setHeader("content-type", "application/json");
    if (pathname === "/auth/v1/user" && isAda) return response.end(JSON.stringify({ id: ADA, aud: "authenticated" }));
    const isHers = isAda && searchParams.get("user_id") === `eq.${ADA}`;
    if (pathname === "/rest/v1/subscriptions" && isHers) return response.end('[{"plan": "pro", "account": "lovelace"}]');
    response.writeHead(401).end('{"message": "invalid JWT"}');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
}
