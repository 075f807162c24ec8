// @ts-check
// Pages with a strict content security policy, and people who say no.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { launch } from "./support/chromium.mjs";
import { otherSite } from "./support/other-site.mjs";
import { Relay } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";
import { withoutInWorkers } from "./support/workers.mjs";

describe("a page that allows little", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  test("a policy of own files and wasm is enough for a call", async () => {
    const speech = speak(stage, ["hello", 5]);
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage, { microphone: speech.file });
    const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`, { policy });
    /** @type {string[]} */
    const complaints = [];
    page.page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    assert.equal((await page.start()).engine, "worker");
    await page.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
    await page.close();
    assert.deepEqual(complaints, []);
  });

  test("a policy that forbids WebAssembly is told as an engine that does not start, with what the policy needs, and nobody is billed", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const policy = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'";
    const page = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`, { policy });
    await assert.rejects(page.start(), /engine_unavailable: .*'wasm-unsafe-eval'.*CompileError/);
    assert.deepEqual(relay.sessions(), []);
  });

  test("a browser without WebAssembly is told as an engine that does not start, also by a preload, and nobody is billed", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const page = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
    await page.page.addInitScript(() => void Reflect.deleteProperty(globalThis, "WebAssembly"));
    await page.page.reload();
    assert.equal(await page.page.evaluate(() => typeof WebAssembly), "undefined");
    await assert.rejects(page.start(), /engine_unavailable: .*WebAssembly is not defined/);
    const preloaded = await page.page.evaluate(() => /** @type {any} */ (globalThis).Voxrelay.VoiceClient.preload().catch((/** @type {any} */ { code, retryable }) => [code, retryable]));
    assert.deepEqual(preloaded, ["engine_unavailable", false]);
    assert.deepEqual(relay.sessions(), []);
  });

  test("a Worker without WebAssembly is done without: the engine runs on the page, which is said", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const page = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
    await withoutInWorkers(page.page, "WebAssembly");
    assert.equal((await page.start()).engine, "page");
    await page.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
    await page.close();
    const [error, ...others] = (await page.noted()).filter(({ name }) => name === "error").map(({ event }) => event);
    assert.deepEqual([error?.code, others], ["worker_unavailable", []]);
    assert.match(error.message, /WebAssembly is not defined/);
  });

  test("under trusted types a call has its engine on the page and says so, and in a Worker where the page consents by a policy of its own", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; require-trusted-types-for 'script'";
    for (const consents of [false, true]) {
      const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`, { policy });
      if (consents) {
        await page.page.evaluate(() => /** @type {any} */ (globalThis).trustedTypes.createPolicy("default", { createScriptURL: (/** @type {string} */ url) => url }));
      }
      assert.equal((await page.start()).engine, consents ? "worker" : "page");
      await page.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
      await page.close();
      const errors = (await page.noted()).filter(({ name }) => name === "error").map(({ event }) => event.code);
      assert.deepEqual(errors, consents ? [] : ["worker_unavailable"]);
    }
  });

  for (const [file, workers] of /** @type {const} */ ([["voxrelay.js", "blob:"], ["index.js", "blob: RELAY"]])) {
    test(`under trusted types ${file} of another origin has its engine on the page and says so, and in a Worker, also over HTTP, where the page consents`, async () => {
      const origin = await otherSite(stage, () => ({ headers: { "content-security-policy": policy }, body: `<script src="${host}/sdk/voxrelay.js"></script>` }));
      const relay = await Relay.start({ VOXRELAY_ORIGINS: origin });
      stage.after(() => relay.stop());
      const host = `http://127.0.0.1:${relay.port}`;
      const allowed = `script-src ${host} 'wasm-unsafe-eval'; worker-src ${workers.replace("RELAY", host)}; connect-src ${host} ${host.replace("http", "ws")}`;
      const policy = `default-src 'none'; ${allowed}; require-trusted-types-for 'script'`;
      const secret = relay.token("alice");
      const browser = await launch(stage);
      for (const [consents, transport] of /** @type {const} */ ([[false, "websocket"], [true, "websocket"], [true, "http"]])) {
        const page = await browser.newPage();
        await page.goto(origin);
        if (consents) {
          await page.evaluate(() => /** @type {any} */ (globalThis).trustedTypes.createPolicy("default", { createScriptURL: (/** @type {string} */ url) => url }));
        }
        const made = await page.evaluate(
          async ({ file, host, secret, transport }) => {
            const sdk = file === "index.js" ? await import(`${host}/sdk/index.js`) : /** @type {any} */ (globalThis).Voxrelay;
            /** @type {string[]} */
            const told = [];
            const call = new sdk.Call({
              url: `${host}/v1/call`,
              token: () => secret,
              microphone: false,
              transport,
              onError: (/** @type {Error & { code: string }} */ { code, message }) => told.push(code === "worker_unavailable" ? code : message),
            });
            await call.connect();
            const made = [call.engine, call.snapshot.transport, told];
            await call.close();
            return made;
          },
          { file, host, secret, transport },
        );
        assert.deepEqual(made, [consents ? "worker" : "page", transport, consents ? [] : ["worker_unavailable"]]);
        await page.close();
      }
    });
  }

  test("a script tag with the hash that the relay prints is run, and one with another hash is not", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const printed = execFileSync(String(process.env.E2E_RELAY), ["sdk"], { encoding: "utf8" });
    const [, hash] = /^\/sdk\/voxrelay\.js +(sha384-\S+)$/m.exec(printed) ?? [];
    assert.ok(hash, printed);
    const browser = await launch(stage);
    for (const [integrity, runs] of /** @type {const} */ ([[hash, true], [hash.replace(/.{4}$/, "AAAA"), false]])) {
      const context = await browser.newContext();
      await context.grantPermissions(["local-network-access"], { origin: "http://localhost" });
      const page = await context.newPage();
      await page.route("http://localhost/", (route) =>
        route.fulfill({ contentType: "text/html", body: `<script src="http://127.0.0.1:${relay.port}/sdk/voxrelay.js" integrity="${integrity}" crossorigin></script>` }),
      );
      await page.goto("http://localhost/");
      assert.equal(await page.evaluate(() => "Voxrelay" in globalThis), runs);
    }
  });

  test("an engine file that was not copied is said in words, whatever the server sends in its place", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    for (const answer of [
      { status: 200, contentType: "text/html; charset=utf-8", body: "<!doctype html><title>Home</title>" },
      { status: 404, contentType: "text/html", body: "<!doctype html><title>Not found</title>" },
    ]) {
      const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
      await page.page.route("**/voxrelay.wasm", (route) => route.fulfill(answer));
      await assert.rejects(page.start(), new RegExp(`engine_unavailable: .*voxrelay\\.wasm answered ${answer.status} with text/html.*, not WebAssembly`));
    }
    assert.deepEqual(relay.sessions(), []);
  });

  test("a refused microphone is said with its code, and nobody is billed", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage, { allowMicrophone: false });
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    await assert.rejects(page.start(), /microphone_denied: /);
    assert.deepEqual(relay.sessions(), []);
  });

  test("a microphone that the user takes back within the call is said with its code, once, and the call goes on", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const origin = `http://127.0.0.1:${relay.port}`;
    const page = await TestPage.open(await launch(stage, { allowMicrophone: false }), origin);
    await page.context.grantPermissions(["microphone", "local-network-access"], { origin });
    await page.start();
    await page.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
    const { length } = await page.noted();
    await page.context.clearPermissions();
    await page.hears(({ name, event }) => name === "microphone" && !event.live, length);
    await page.hears(({ name, event }) => name === "error" && event.code === "microphone_denied", length);
    // A microphone that gives nothing is told of after 3 s, if nothing is known of it.
    await sleep(5_000);
    const errors = (await page.noted()).filter(({ name }) => name === "error").map(({ event }) => event.code);
    assert.deepEqual(errors, ["microphone_denied"]);
    assert.equal(relay.sessions()[0].state, "live");
    await page.close();
  });
});
