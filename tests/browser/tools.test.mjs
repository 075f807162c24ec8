// @ts-check
// A model that calls tools: the page runs them and the backend does, over lost connections and lost relays, and the answer is spoken.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Fakes } from "../providers/support/fakes.mjs";
import { launch } from "./support/chromium.mjs";
import { mindAndMouth } from "./support/mind-and-mouth.mjs";
import { Relay, until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

const BACKEND = fileURLToPath(new URL("../../examples/tools/backend.mjs", import.meta.url));
/** Of the example, and of nothing else. */
const SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const AT = `{"type":"object","properties":{"at":{"type":"string"},"table":{"type":"integer"}},"required":["at"]}`;

/** @param {string} name @param {unknown} args */
const calls = (name, args) => ({ think: { tools: [{ name, arguments: args }] } });
/** @param {string} text */
const says = (text) => ({ think: { text } });

describe("a model that calls tools", () => {
  const [stage, all] = [new Stage(), new Stage()];
  /** @type {Fakes} */
  let fakes;
  before(async () => {
    fakes = await Fakes.start();
    all.after(() => fakes.stop());
  });
  afterEach(() => stage.clear());
  after(() => all.clear());

  /** @param {Record<string, string>} [more] */
  function settings(more = {}) {
    return {
      VOXRELAY_AGENTS__DEFAULT: "host",
      VOXRELAY_AGENTS__HOST__LLM: "mind",
      VOXRELAY_AGENTS__HOST__TOOLS: "free_tables,book_table",
      ...mindAndMouth(all, fakes),
      VOXRELAY_TOOLS__FREE_TABLES__DESCRIPTION: "Says which tables are free.",
      VOXRELAY_TOOLS__FREE_TABLES__PARAMETERS: AT,
      VOXRELAY_TOOLS__BOOK_TABLE__DESCRIPTION: "Books a table.",
      VOXRELAY_TOOLS__BOOK_TABLE__PARAMETERS: AT,
      ...more,
    };
  }

  /** @param {Relay} relay @param {Partial<import("voxrelay").ConnectOptions> & { record?: boolean }} [options] */
  async function call(relay, options = {}) {
    const browser = await launch(stage);
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    await page.start({ microphone: false, ...options });
    return page;
  }

  /** Waits for the agent's words. @param {TestPage} page @param {string} text */
  const answered = (page, text) =>
    page.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last && event.text === text);

  /** What the model was told of its calls in its last request. */
  async function outputs() {
    const chats = (await fakes.requests()).filter(({ path }) => path.endsWith("/chat/completions"));
    const messages = /** @type {{ role: string, content: string }[]} */ (chats.at(-1)?.body.messages);
    return messages.filter(({ role }) => role === "tool").map(({ content }) => content);
  }

  test("the page runs a tool, whose result is told to the model and spoken", async () => {
    const relay = await Relay.start(settings({ VOXRELAY_AGENTS__HOST__TTS: "mouth" }));
    stage.after(() => relay.stop());
    await fakes.script({ "openai.chat": [calls("free_tables", { at: "20:00" }), says("Table four is free.")] });
    const page = await call(relay, { record: true });
    await page.tool({ name: "free_tables", answer: { tables: [4] } });
    assert.equal(await page.say("sendText", "Is there a table at eight?"), "taken");
    await answered(page, "Table four is free.");
    const tool = (await page.noted()).filter(({ name }) => name === "tool").map(({ event }) => event);
    assert.deepEqual(tool.map(({ args }) => args), [{ at: "20:00" }]);
    assert.deepEqual(await outputs(), ['{"tables":[4]}']);
    await until("the answer sounds", async () => (await page.heard()).samples.some((sample) => Math.abs(sample) > 0.01));
    await page.close();
  });

  test("a tool runs once and its result arrives through an outage, and what a handler throws is an error", async () => {
    const relay = await Relay.start(settings());
    stage.after(() => relay.stop());
    const asks = [calls("free_tables", { at: "20:00" }), calls("book_table", { at: "20:00" }), says("It is closed.")];
    await fakes.script({ "openai.chat": asks });
    const page = await call(relay);
    await page.tool({ name: "free_tables", answer: "four", ms: 1_000 });
    await page.tool({ name: "book_table", error: "closed" });
    await page.say("sendText", "Book one at eight.");
    await page.hears(({ name }) => name === "tool");
    await page.say("simulateOutage", 3_000);
    await answered(page, "It is closed.");
    const ran = (await page.noted()).filter(({ name }) => name === "tool").map(({ event }) => event.name);
    assert.deepEqual(ran, ["free_tables", "book_table"]);
    assert.deepEqual(await outputs(), ["four", "closed"]);
    await page.close();
  });

  test("the example's backend runs a tool by webhook, of which the page hears nothing", async () => {
    const backend = spawn(process.execPath, [BACKEND], { env: { ...process.env, PORT: "0" }, stdio: ["ignore", "pipe", "inherit"] });
    stage.after(() => backend.kill());
    const url = String((await once(backend.stdout, "data"))[0]).trim();
    const relay = await Relay.start(
      settings({ VOXRELAY_TOOLS__BOOK_TABLE__URL: `${url}/tools/book`, VOXRELAY_TOOLS__BOOK_TABLE__SECRET: SECRET }),
    );
    stage.after(() => relay.stop());
    const booking = calls("book_table", { table: 4, at: "20:00" });
    await fakes.script({ "openai.chat": [booking, booking, says("Sorry, it is taken.")] });
    const page = await call(relay);
    await page.say("sendText", "Book table four at eight.");
    await answered(page, "Sorry, it is taken.");
    assert.deepEqual(await outputs(), ['{"booked":true,"table":4,"at":"20:00"}', "Table 4 at 20:00 is booked already."]);
    assert.deepEqual(Object.keys(await (await fetch(`${url}/booked`)).json()), ["4 at 20:00"]);
    assert.ok(!(await page.noted()).some(({ name }) => name === "toolCall"));
    await page.close();
  });

  test("a relay that is killed while the page works hears the result of the one run", async () => {
    const lost = await Relay.start(settings());
    stage.after(() => lost.stop());
    await fakes.script({ "openai.chat": [calls("free_tables", { at: "20:00" }), says("Table four is free.")] });
    const page = await call(lost);
    await page.tool({ name: "free_tables", answer: "four", ms: 1_500 });
    await page.say("sendText", "Is there a table at eight?");
    await page.hears(({ name }) => name === "tool");
    await lost.crash();
    const relay = await Relay.start(settings(), lost);
    stage.after(() => relay.crash());
    await answered(page, "Table four is free.");
    assert.equal((await page.noted()).filter(({ name }) => name === "tool").length, 1);
    assert.deepEqual(await outputs(), ["four"]);
    await page.close();
  });

  test("a relay that is killed while a backend works calls it again under the same id", async () => {
    /** @type {string[]} */
    const ids = [];
    const backend = createServer((request, response) => {
      ids.push(String(request.headers["webhook-id"]));
      request.resume();
      // The first answer never comes.
      if (ids.length > 1) response.end("booked");
    }).listen(0, "127.0.0.1");
    await once(backend, "listening");
    stage.after(() => (backend.closeAllConnections(), backend.close()));
    const { port } = /** @type {import("node:net").AddressInfo} */ (backend.address());
    const hook = settings({ VOXRELAY_TOOLS__BOOK_TABLE__URL: `http://127.0.0.1:${port}/`, VOXRELAY_TOOLS__BOOK_TABLE__SECRET: SECRET });
    const lost = await Relay.start(hook);
    stage.after(() => lost.stop());
    await fakes.script({ "openai.chat": [calls("book_table", { at: "20:00" }), says("It is booked.")] });
    const page = await call(lost);
    await page.say("sendText", "Book one at eight.");
    await until("the backend is called", () => ids.length > 0);
    await lost.crash();
    const relay = await Relay.start(hook, lost);
    stage.after(() => relay.crash());
    await answered(page, "It is booked.");
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1]);
    assert.deepEqual(await outputs(), ["booked"]);
    await page.close();
  });
});
