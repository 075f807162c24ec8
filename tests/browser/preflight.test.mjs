// @ts-check
// Whether a call would work is known before it is made, and each thing that keeps it from working is named.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { isCurable, openLooking, short } from "./support/looking-page.mjs";
import { NoWebSockets } from "./support/no-websockets.mjs";
import { Relay, until } from "./support/relay.mjs";
import { SlowLine } from "./support/slow-line.mjs";
import { Stage } from "./support/stage.mjs";

/** How long it takes on a good line, even on a busy machine. */
const A_FEW_SECONDS_MS = 20_000;

const NONE = { microphone: /** @type {const} */ (false) };

/** A WAV file for the microphone, in the rate of the browser's own. @param {string} folder @param {string} name @param {string[]} sound */
function wav(folder, name, ...sound) {
  const file = join(folder, `${name}.wav`);
  execFileSync("sox", ["-D", "-n", "-r", "44100", "-b", "16", "-c", "1", file, ...sound]);
  return file;
}

describe("a preflight", () => {
  const stage = new Stage();
  /** @type {Relay} */
  let relay;
  /** @type {import("playwright-core").Browser} */
  let browser;
  /** @type {string} */
  let folder;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "voxrelay-preflight-"));
    stage.after(() => rmSync(folder, { recursive: true }));
    relay = await Relay.start({ VOXRELAY_API__PREFLIGHTS_PER_MINUTE: "1000", VOXRELAY_LIMITS__SESSIONS_PER_USER: "1" });
    stage.after(() => relay.stop());
    browser = await launch(stage, { microphone: wav(folder, "tone", "synth", "5", "sine", "440", "vol", "0.3") });
  });
  after(() => stage.clear());

  const origin = () => `http://127.0.0.1:${relay.port}`;

  /** A page that looks, and what it leaves. @param {Partial<Parameters<typeof openLooking>[2]>} [where] */
  const open = (where) => openLooking(stage, relay, { browser, ...where });

  test("finds everything well, writes nothing and leaves nothing", async () => {
    const { look, alive } = await open();
    const begin = Date.now();
    const report = await look();
    assert.ok(Date.now() - begin < A_FEW_SECONDS_MS, "as the README says");
    const good = { permission: "good", microphone: "good", address: "good", token: "good", connection: "good", throughput: "good", roundTrip: "good" };
    assert.deepEqual(short(report), good, JSON.stringify(report, null, 1));
    assert.equal(report.grade, "good");
    const { microphone, throughput, roundTrip } = report.checks;
    assert.ok(Number(throughput.value) > 32_000 && Number(roundTrip.value) < 300, JSON.stringify(report));
    assert.ok(Number(microphone.value) < 0 && Number(microphone.value) > -40, JSON.stringify(microphone));
    assert.deepEqual(relay.sessions(), []);
    assert.equal(await alive(), 0, "no track, no context, no socket");
  });

  test("asks nobody for the microphone who was not asked before, unless it is to, and names one that is refused", async () => {
    const denying = await launch(stage, { allowMicrophone: false });
    const { page, look, alive } = await open({ browser: denying, granted: false });
    // Playwright's contexts refuse what they do not grant, so the browser's word for a user who was not asked is put in.
    await page.page.evaluate(() => {
      navigator.permissions.query = async () => /** @type {any} */ ({ state: "prompt" });
    });
    const asked = () => page.page.evaluate(() => /** @type {any} */ (globalThis).asked());
    const { checks, grade } = await look();
    assert.deepEqual([checks.permission.grade, checks.microphone.grade, grade], ["skipped", "skipped", "good"]);
    assert.equal(await asked(), 0);
    const denied = await look({ ask: true });
    assert.deepEqual([denied.checks.permission.code, denied.checks.microphone.grade, denied.grade], ["microphone_denied", "skipped", "failed"]);
    assert.deepEqual([await asked(), await alive()], [1, 0]);
    isCurable(denied);
    await denying.close();
  });

  test("names an origin that is not listed, under the policy that the README has", async () => {
    const from = `http://localhost:${relay.port}`;
    const host = `127.0.0.1:${relay.port}`;
    const policy = `default-src 'none'; script-src 'self' ${origin()} 'wasm-unsafe-eval'; connect-src 'self' http://${host} ws://${host}`;
    const { look } = await open({ from, policy });
    const report = await look(NONE);
    assert.deepEqual([report.grade, report.checks.address.code, report.checks.connection.grade], ["failed", "origin_refused", "skipped"]);
    assert.match(report.checks.address.cure ?? "", /can add it to `origins`/);
  });

  test("names a token that is refused, one that is not there, an agent that is unknown", async () => {
    const { look, alive } = await open();
    const refused = await look({ ...NONE, token: "no.good.token" });
    assert.deepEqual(short(refused), {
      permission: "skipped", microphone: "skipped", address: "good", token: "failed: unauthorized", connection: "good", throughput: "skipped", roundTrip: "skipped",
    });
    const failing = await look({ ...NONE, tokenFails: true });
    assert.deepEqual([failing.checks.token.code, failing.checks.connection.grade], ["token_unavailable", "good"]);
    assert.match(failing.checks.token.message, /the shop is closed/);
    const unknown = await look({ ...NONE, agent: "nobody" });
    assert.deepEqual([unknown.checks.token.grade, unknown.checks.connection.code], ["good", "agent_unknown"]);
    for (const report of [refused, failing, unknown]) isCurable(report);
    assert.equal(await alive(), 0);
  });

  test("names a limit that is reached, and when to come back", async () => {
    const { page, look } = await open();
    await page.start(NONE);
    const report = await look(NONE);
    assert.deepEqual([report.checks.token.grade, report.checks.connection.code], ["good", "session_limit"]);
    assert.ok(Number(report.checks.connection.retryAfterMs) > 0);
    isCurable(report);
    await page.close();
  });

  test("names what is no relay, a relay that is away, and a proxy that refuses WebSockets", async () => {
    const { look } = await open();
    const elsewhere = await look({ ...NONE, url: `ws://127.0.0.1:${relay.port}/v2/call` });
    assert.equal(elsewhere.checks.address.code, "no_relay", JSON.stringify(elsewhere));
    const away = await look({ ...NONE, url: "ws://127.0.0.1:9/v1/call" });
    assert.deepEqual([away.grade, away.checks.address.code, away.checks.token.grade], ["failed", "unreachable", "skipped"]);
    const network = await NoWebSockets.start(relay.port);
    stage.after(() => network.stop());
    const blocked = await open({ from: network.url });
    const report = await blocked.look({ ...NONE, url: `${network.url}/v1/call`, transport: "websocket" });
    assert.deepEqual([report.grade, short(report).address, short(report).connection], ["failed", "good", "failed: not_a_websocket"], JSON.stringify(report));
    for (const each of [elsewhere, away, report]) isCurable(each);
  });

  test("looks whether plain requests get through where the call is to go over HTTP", async () => {
    const { page, look, alive } = await open();
    const over = /** @type {const} */ ({ ...NONE, transport: "http" });
    const before = relay.sessions().length;
    assert.deepEqual([(await look(over)).grade, relay.sessions().length], ["good", before]);
    // As a proxy does that was not told of them.
    await page.page.route("**/v1/call/http/**", (route) => route.fulfill({ status: 404, body: "Not here." }));
    const cut = await look(over);
    assert.deepEqual([cut.grade, cut.checks.address.grade, cut.checks.connection.code], ["failed", "good", "gave_up"], JSON.stringify(cut));
    isCurable(cut);
    assert.equal((await look(NONE)).grade, "good", "a call that may choose needs none of them");
    assert.equal(await alive(), 0);
  });

  test("measures a line that is too slow for a call", async () => {
    const line = await SlowLine.start(relay.port, 20_000);
    stage.after(() => line.stop());
    const from = `http://127.0.0.1:${line.port}`;
    const { look, alive } = await open({ from });
    const report = await look({ ...NONE, url: `${from}/v1/call` });
    assert.deepEqual([report.grade, report.checks.connection.grade, report.checks.throughput.grade], ["poor", "good", "poor"], JSON.stringify(report));
    const { value } = report.checks.throughput;
    assert.ok(Number(value) > 0 && Number(value) < 32_000, String(value));
    isCurable(report);
    assert.equal(await alive(), 0);
  });

  test("names a microphone that is missing or silent", async () => {
    const { page, look, alive } = await open();
    await page.page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = async () => Promise.reject(new DOMException("Requested device not found", "NotFoundError"));
    });
    const missing = await look();
    assert.deepEqual([missing.checks.permission.grade, missing.checks.microphone.code, await alive()], ["good", "microphone_missing", 0]);

    const mute = await launch(stage, { microphone: wav(folder, "silence", "trim", "0", "5") });
    const silence = await open({ browser: mute });
    const silent = await silence.look();
    assert.deepEqual([silent.grade, silent.checks.microphone.code, await silence.alive()], ["poor", "microphone_silent", 0]);
    await mute.close();

    for (const report of [missing, silent]) isCurable(report);
  });

  test("names a microphone that opens and is not heard, since the browser's sound does not run", async () => {
    const { page, look, alive } = await open();
    await page.page.evaluate(() => void Object.defineProperty(BaseAudioContext.prototype, "currentTime", { get: () => 0 }));
    const deaf = await look();
    assert.deepEqual([deaf.grade, deaf.checks.permission.grade, deaf.checks.microphone.grade, deaf.checks.microphone.code], ["poor", "good", "poor", "audio_unavailable"]);
    isCurable(deaf);
    assert.equal(await alive(), 0);
  });

  test("that is given up leaves nothing", async () => {
    const line = await SlowLine.start(relay.port, 200_000);
    stage.after(() => line.stop());
    const from = `http://127.0.0.1:${line.port}`;
    const { look, alive } = await open({ from });
    await assert.rejects(look({ url: `${from}/v1/call`, abortMs: 300 }), /TimeoutError|timed out/);
    await until("nothing of it lives on", async () => (await alive()) === 0);
    await assert.rejects(look({ url: "ftp://a" }), /TypeError: `url` is/);
  });

  test("that is given up while its token is fetched asks the relay for nothing any more", async () => {
    const { page, look } = await open();
    const asked = page.page.evaluate(() => {
      const asked = /** @type {string[]} */ ([]);
      for (const name of /** @type {const} */ (["WebSocket", "fetch"])) {
        const own = /** @type {any} */ (globalThis)[name];
        /** @param {unknown[]} args */
        const noted = (...args) => void asked.push(`${name} ${args[0]}`);
        /** @type {any} */ (globalThis)[name] = new Proxy(own, {
          apply: (target, self, args) => (noted(...args), Reflect.apply(target, self, args)),
          construct: (target, args) => (noted(...args), Reflect.construct(target, args)),
        });
      }
      return new Promise((resolve) => setTimeout(resolve, 2_500, asked));
    });
    await assert.rejects(look({ token: "any.old.token", tokenMs: 1_000, abortMs: 300 }), /TimeoutError|timed out/);
    assert.deepEqual(await asked, []);
  });

  test("lets the microphone go before the browser has closed what it listened with", async () => {
    const { page, look } = await open();
    await page.page.evaluate(() => void (AudioContext.prototype.close = () => new Promise(() => {})));
    await assert.rejects(look({ abortMs: 3_000 }), /TimeoutError|timed out/);
    const { asked, tracks } = await page.page.evaluate(() => ({ asked: /** @type {any} */ (globalThis).asked(), tracks: /** @type {any} */ (globalThis).tracks() }));
    assert.deepEqual([asked, tracks], [1, 0]);
  });

  test("that is given up before the browser has said whether it may asks for no microphone any more", async () => {
    const { page, look } = await open();
    const answered = page.page.evaluate(
      () =>
        new Promise((resolve) => {
          navigator.permissions.query = () =>
            new Promise((answer) =>
              setTimeout(() => {
                answer(/** @type {any} */ ({ state: "granted" }));
                setTimeout(resolve, 200);
              }, 1_500),
            );
        }),
    );
    await assert.rejects(look({ abortMs: 300 }), /TimeoutError|timed out/);
    await answered;
    assert.equal(await page.page.evaluate(() => /** @type {any} */ (globalThis).asked()), 0);
  });
});
