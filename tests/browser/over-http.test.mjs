// @ts-check
// Something on the way lets no WebSocket through. The call is made over HTTP, by itself, and loses as little as any other. `more/over-http.test.mjs`
// has WebSockets that are not refused, and of no use all the same.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, before, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { NoWebSockets } from "./support/no-websockets.mjs";
import { Relay } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";
import { readWav } from "./support/wav.mjs";
import { STORY, assertWhole } from "./support/whole-talk.mjs";
import { withoutInWorkers } from "./support/workers.mjs";

/** What a call was told of its transport. @param {import("./support/test-page.mjs").Noted[]} noted */
const transports = (noted) => noted.filter(({ name }) => name === "transport").map(({ event }) => event.transport);

describe("while somebody speaks where WebSockets are refused, and the network is cut twice", () => {
  const stage = new Stage();
  /** @type {import("./support/speech.mjs").Speech} */
  let speech;
  /** @type {Relay} */
  let relay;
  /** @type {NoWebSockets} */
  let network;
  /** @type {import("./support/relay.mjs").SessionRow} */
  let session;
  /** @type {import("./support/test-page.mjs").Noted[]} */
  let noted;
  /** @type {Awaited<ReturnType<TestPage["heard"]>>} */
  let heard;

  before(async () => {
    speech = speak(stage, [0.5, STORY, 3]);
    relay = await Relay.start();
    stage.after(() => relay.stop());
    network = await NoWebSockets.start(relay.port);
    stage.after(() => network.stop());
    const browser = await launch(stage, { microphone: speech.file });
    const page = await TestPage.open(browser, network.url);
    await page.start({ record: true });
    const begin = Date.now();
    for (const moment of [4_000, 8_000]) {
      await sleep(moment - (Date.now() - begin));
      const before = (await page.noted()).length;
      network.drop();
      const lost = await page.hears(({ name, event }) => name === "state" && event.state === "reconnecting", before);
      await page.hears(({ name, event }) => name === "state" && event.state === "connected", lost);
    }
    await sleep(Math.max(0, speech.seconds * 1000 - (Date.now() - begin)));
    await page.close();
    noted = await page.noted();
    heard = await page.heard();
    session = await relay.endedSession();
  });
  after(() => stage.clear());

  test("it is told once that the call goes over HTTP, after two WebSockets, and stays there", () => {
    assert.deepEqual(transports(noted), ["http"]);
    assert.equal(network.refused, 2);
    // Each connection is a Worker of its own.
    assert.equal(network.passed.filter((request) => request === "GET /sdk/http.js").length, 1 + session.reconnects);
    assert.equal(network.passed.filter((request) => request === "GET /v1/call/http/…").length, 1 + session.reconnects);
    assert.equal(session.end_reason, "normal");
    assert.equal(session.epoch, 0);
    assert.ok(session.reconnects >= 2);
  });

  test("every chunk arrived, and once", async (t) => {
    assert.deepEqual(noted.filter(({ name }) => name === "gap"), []);
    assertWhole(t, speech, readWav(await relay.recording(session.id)));
  });

  test("what arrived was metered once, and the agent was heard", () => {
    const rows = relay.ledger(session.id);
    assert.equal(rows.reduce((sum, row) => sum + row.quantity, 0), session.audio_samples);
    assert.ok(heard.samples.some((sample) => Math.abs(sample) > 0.1), "the echo sounds");
  });
});

describe("a call over HTTP", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  async function open() {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const network = await NoWebSockets.start(relay.port);
    stage.after(() => network.stop());
    const browser = await launch(stage);
    return { relay, network, page: await TestPage.open(browser, network.url) };
  }

  test("is made at once where the page asks for it, with the engine on the page, too", async () => {
    for (const worker of /** @type {const} */ (["auto", "never"])) {
      const { relay, network, page } = await open();
      await page.start({ microphone: false, transport: "http", worker });
      assert.equal(await page.say("sendText", "Is there a table at eight?"), "taken");
      await page.hangUp();
      assert.deepEqual([network.refused, transports(await page.noted())], [0, ["http"]]);
      const session = await relay.endedSession();
      assert.deepEqual([session.end_reason, session.reconnects], ["normal", 0]);
      await stage.clear();
    }
  });

  test("has no Worker within the engine's: of two of which one has begun the other Chromium does not always end both", async () => {
    const { page } = await open();
    await withoutInWorkers(page.page, "Worker");
    assert.equal((await page.start({ microphone: false, transport: "http" })).engine, "worker");
    assert.equal(await page.say("sendText", "Is there a table at eight?"), "taken");
    await page.hangUp();
  });

  test("is made by a file of another origin, as where the script tag is of one", async () => {
    for (const worker of /** @type {const} */ (["auto", "never"])) {
      const { network, page } = await open();
      const host = `http://localhost:${network.port}`;
      await page.context.grantPermissions(["local-network-access"], { origin: host });
      await page.start({ microphone: false, transport: "http", httpUrl: `${host}/sdk/http.js`, worker });
      assert.equal(await page.say("sendText", "Is there a table at eight?"), "taken");
      await page.hangUp();
      await stage.clear();
    }
  });

  test("is not made where the page wants a WebSocket alone, and is told why there is none", async () => {
    const { network, page } = await open();
    await assert.rejects(page.start({ microphone: false, transport: "websocket", giveUpAfterMs: 4_000 }), /gave_up.*refuse WebSockets/);
    assert.ok(network.passed.every((request) => !request.includes("http")), network.passed.join());
  });

  test("is made from a page of another origin, under the policy that the README has", async () => {
    const network = await NoWebSockets.start(0);
    stage.after(() => network.stop());
    const relay = await Relay.start({ VOXRELAY_ORIGINS: network.url });
    stage.after(() => relay.stop());
    network.relay = relay.port;
    const browser = await launch(stage);
    // The same relay under another name: another origin.
    const host = `localhost:${network.port}`;
    const policy = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' http://${host} ws://${host}`;
    const page = await TestPage.open(browser, network.url, { policy });
    await page.context.grantPermissions(["local-network-access"], { origin: `http://${host}` });
    await page.start({ microphone: false, url: `http://${host}/v1/call` });
    assert.deepEqual(transports(await page.noted()), ["http"]);
    assert.equal(await page.say("sendText", "Is there a table at eight?"), "taken");
    await page.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
    await page.hangUp();
    assert.equal((await relay.endedSession()).end_reason, "normal");
    assert.ok(network.passed.every((request) => !request.startsWith("OPTIONS /v1/call")), "no request needs leave of the browser");
  });

  test("goes on in another wire when a request came to a relay that has none of it", async () => {
    const { relay, network, page } = await open();
    const other = await Relay.start();
    stage.after(() => other.stop());
    await page.start({ microphone: false, transport: "http" });
    const before = (await page.noted()).length;
    network.astray = other.port;
    assert.equal(await page.say("sendText", "Is there a table at eight?"), "taken");
    await page.hears(({ name, event }) => name === "state" && event.state === "reconnecting", before);
    network.astray = undefined;
    await page.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last, before);
    await page.hangUp();
    const session = await relay.endedSession();
    const said = relay.turns(session.id).filter(({ role }) => role === "user").map(({ text }) => text);
    assert.deepEqual([session.end_reason, said], ["normal", ["Is there a table at eight?"]]);
  });
});
