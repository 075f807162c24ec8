// @ts-check
// A conversation in text with a language model that is somebody else's program: Eliza behind OpenAI's chat API (PyPI `eliza-gpt`), asked by
// the real relay, by the command line and by a page, and billed to the last token.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import { launch } from "../browser/support/chromium.mjs";
import { freePort } from "../browser/support/free-port.mjs";
import { pricesFile } from "../browser/support/prices.mjs";
import { PROGRAM, Relay, until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { TestPage } from "../browser/support/test-page.mjs";

const ELIZA = process.env.E2E_ELIZA;
const START_MS = 60_000;

/** A dollar for a million tokens of the prompt, five for those of the answer: a thousand and five thousand nano-dollars each. */
const PRICES = `version = "eliza-1"
item = [
  { name = "eliza/eliza", unit = "input_token", usd = "1", per = 1000000 },
  { name = "eliza/eliza", unit = "output_token", usd = "5", per = 1000000 },
]
`;

/** @param {Stage} stage @returns {Promise<number>} The port at which Eliza listens. */
async function eliza(stage) {
  if (!ELIZA) throw new Error("E2E_ELIZA is the path of eliza-gpt: run `cargo xtask test --only conversation`");
  const port = await freePort();
  const child = spawn(ELIZA, ["--port", String(port), "--avg-response-time", "0.2"], { stdio: "ignore" });
  stage.after(() => child.kill());
  const end = Date.now() + START_MS;
  while (Date.now() < end) {
    const there = await fetch(`http://127.0.0.1:${port}/v1/models`).then(() => true, () => false);
    if (there) return port;
    await sleep(200);
  }
  throw new Error("Eliza did not start");
}

describe("a conversation with Eliza", () => {
  const stage = new Stage();
  /** @type {Relay} */
  let relay;

  before(async () => {
    const port = await eliza(stage);
    relay = await Relay.start({
      VOXRELAY_AGENTS__DEFAULT: "doctor",
      VOXRELAY_AGENTS__DOCTOR__LLM: "eliza",
      VOXRELAY_AGENTS__DOCTOR__INSTRUCTIONS: "You are a doctor who listens.",
      VOXRELAY_PROVIDERS__ELIZA__URL: `http://127.0.0.1:${port}/v1`,
      VOXRELAY_PROVIDERS__ELIZA__MODEL: "eliza",
      VOXRELAY_PRICES__FILE: pricesFile(stage, PRICES),
    });
    stage.after(() => relay.stop());
  });
  after(() => stage.clear());

  /** What the newest session has cost is what its rows say, each with its turn and the request's own name. */
  async function billed() {
    const session = await until("the newest session has ended", () => relay.sessions().slice(0, 1).find((row) => row.state === "ended"));
    const rows = relay.ledger(session.id).filter((row) => row.item === "eliza/eliza");
    assert.ok(rows.length >= 2, "each answer has a row for its prompt and one for itself");
    for (const row of rows) {
      assert.equal(row.cost_nano_usd, row.quantity * (row.unit === "input_token" ? 1_000 : 5_000));
      assert.equal(row.estimated, 1, "Eliza does not say what it has used");
      assert.ok(row.turn !== null && row.request_id, JSON.stringify(row));
    }
    const sum = rows.reduce((sum, row) => sum + row.cost_nano_usd, 0);
    assert.ok(sum > 0);
    assert.equal(session.cost_nano_usd, sum);
    assert.equal(session.agent, "doctor");
    return sum;
  }

  test("by the command line: each text is answered, and the bill is told", async () => {
    const texts = ["Hello", "I am sad about my computer", "My mother never calls"];
    const args = ["call", "--json", "--token", relay.token("ada"), ...texts.flatMap((text) => ["--text", text])];
    const { stdout } = await promisify(execFile)(PROGRAM, [...args, `ws://127.0.0.1:${relay.port}/v1/call`]);
    const report = JSON.parse(stdout);
    assert.deepEqual([report.typed, report.answered], [3, 3]);
    const turns = /** @type {{ role: string, text: string }[]} */ (report.turns);
    assert.deepEqual(turns.filter(({ role }) => role === "user").map(({ text }) => text), texts);
    const answers = turns.filter(({ role }) => role === "agent").map(({ text }) => text);
    assert.equal(answers.length, 3);
    assert.match(answers.join(" "), /sad|computer|mother|calls/i, "it has read what was said");
    assert.equal(report.cost_nano_usd, await billed());
  });

  test("by a page without a microphone: words come as they are thought, and the transcript is what was said", async () => {
    const browser = await launch(stage);
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    await page.start({ microphone: false });
    assert.equal(await page.say("sendText", "I need some help"), "taken");
    await page.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
    const told = (await page.noted()).filter(({ name }) => name === "transcript").map(({ event }) => event);
    assert.equal(told.find(({ role }) => role === "user")?.text, "I need some help");
    assert.ok(told.at(-1)?.text.length > 0);
    await page.hangUp();
    await billed();
  });

  test("by the demo page: typed with the keyboard alone, answered in the conversation, and billed as it is shown", async () => {
    const browser = await launch(stage);
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${relay.port}/`);
    await page.locator("#text").focus();
    const answers = () => page.locator("#lines li.agent[data-last=true] span").allTextContents();
    for (const [index, text] of ["I am sad about my computer", "My mother never calls"].entries()) {
      await page.keyboard.type(text);
      await page.keyboard.press("Enter");
      await until("it is answered", async () => (await answers()).length > index);
      assert.equal(await page.evaluate(() => document.activeElement?.id), "text", "the field kept the focus");
    }
    assert.match((await answers()).join(" "), /sad|computer|mother|calls/i);
    const typed = await page.locator("#lines li.user span").allTextContents();
    assert.deepEqual(typed, ["I am sad about my computer", "My mother never calls"], "each is there once");
    await page.locator("#call").click();
    await until("it has ended", async () => (await page.locator("#pill-text").textContent()) === "Ended");
    assert.equal(await page.locator("#cost").textContent(), `$${((await billed()) / 1e9).toFixed(6)}`);
    assert.match(String(await page.locator("#seconds").textContent()), /^[1-9]\d*$/, "tokens are shown");
  });
});
