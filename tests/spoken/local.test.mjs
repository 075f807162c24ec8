// @ts-check
// A spoken conversation with somebody else's parts and nobody's account: what flite says into Chromium's microphone is recognised by
// pocketsphinx, answered by Eliza, and spoken by flite; and the bill has every second, token and character.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";

import { launch } from "../browser/support/chromium.mjs";
import { Relay } from "../browser/support/relay.mjs";
import { speak } from "../browser/support/speech.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { TestPage } from "../browser/support/test-page.mjs";

const PYTHON = process.env.E2E_LOCAL;
const FOLDER = fileURLToPath(new URL("../../examples/local/", import.meta.url));
/** Pocketsphinx takes half as long as was spoken, on an idle core. */
const PATIENCE_MS = 60_000;

const FIRST = "hello my name is john and i am very sad";
const SECOND = "i need some help with my computer";

/** @param {Stage} stage @param {NodeJS.ProcessEnv} [env] @returns {Promise<string>} The base address of the providers. */
async function providers(stage, env = process.env) {
  if (!PYTHON) throw new Error("E2E_LOCAL is a Python with the local providers: run `cargo xtask test --only spoken`");
  const child = spawn(PYTHON, [`${FOLDER}serve.py`, "--port", "0", "--with-parent"], { env, stdio: ["ignore", "pipe", "inherit"] });
  stage.after(() => child.kill());
  const [line] = await once(child.stdout.setEncoding("utf8"), "data");
  const url = /http:\S+\/v1/.exec(String(line))?.[0];
  if (!url) throw new Error(`the local providers did not start: ${line}`);
  return url;
}

describe("a spoken conversation with the local providers", () => {
  const stage = new Stage();
  /** @type {Relay} */
  let relay;

  before(async () => {
    const url = await providers(stage);
    relay = await Relay.start({
      VOXRELAY_CONFIG: `${FOLDER}voxrelay.toml`,
      VOXRELAY_PRICES__FILE: `${FOLDER}prices.toml`,
      VOXRELAY_PROVIDERS__EARS__URL: url,
      VOXRELAY_PROVIDERS__ELIZA__URL: url,
      VOXRELAY_PROVIDERS__VOICE__URL: url,
    });
    stage.after(() => relay.stop());
  });
  after(() => stage.clear());

  test("each sentence is heard word for word, answered in words and sound, and billed", async () => {
    const speech = speak(stage, [7, FIRST, 12, SECOND, 30], { flite: "slt" });
    const browser = await launch(stage, { microphone: speech.file });
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    await page.start({ record: true });
    /** @param {"user" | "agent"} role @param {number} from */
    const turn = (role, from) =>
      page.hears(({ name, event }) => name === "transcript" && event.role === role && event.last, from, PATIENCE_MS);
    const greeted = await turn("agent", 0);
    let at = greeted;
    for (const _ of [FIRST, SECOND]) {
      at = await turn("user", at);
      at = await turn("agent", at);
    }
    await page.hears(({ name, event }) => name === "agent" && event.state === "listening", at, PATIENCE_MS);
    await page.hangUp();
    const turns = new Map();
    for (const { name, event } of await page.noted()) if (name === "transcript") turns.set(event.turn, event);
    const said = [...turns.values()];
    assert.equal(said[0].text, "Hello. How are you feeling today?");
    assert.deepEqual(said.filter(({ role }) => role === "user").map(({ text }) => text), [FIRST, SECOND]);
    const answers = said.filter(({ role }) => role === "agent").slice(1);
    assert.equal(answers.length, 2);
    for (const answer of answers) {
      assert.ok(answer.text.trim().length > 0);
      assert.ok(answer.end > answer.start, JSON.stringify(answer));
    }
    const heard = await page.heard();
    const loud = heard.samples.filter((sample) => Math.abs(sample) > 0.02).length / heard.rate;
    assert.ok(loud > 1, `${loud} s of sound are loud`);

    const session = await relay.endedSession();
    const rows = relay.ledger(session.id);
    const sum = (/** @type {string} */ item, /** @type {string} */ unit) =>
      rows.filter((row) => row.item === item && row.unit === unit).reduce((sum, row) => sum + row.quantity, 0);
    const spoken = said.filter(({ role }) => role === "agent").map(({ text }) => text.trim());
    assert.ok(Math.abs(sum("voice/flite", "character") - spoken.join("").length) <= 4, JSON.stringify([spoken, rows]));
    assert.ok(sum("eliza/eliza", "output_token") > 0);
    const heardSeconds = sum("ears/pocketsphinx", "utterance_sample") / 16_000;
    assert.ok(heardSeconds > 3 && heardSeconds < 12, `${heardSeconds} s were to be recognised`);
    assert.equal(sum("relay/audio", "sample"), session.audio_samples);
    assert.equal(rows.reduce((sum, row) => sum + row.cost_nano_usd, 0), session.cost_nano_usd);
    assert.ok(session.cost_nano_usd > 0);
  });

  test("where there is only eSpeak NG, that speaks, whichever of flite's voices is asked for", async () => {
    const folder = mkdtempSync(join(tmpdir(), "voxrelay-programs-"));
    stage.after(() => rmSync(folder, { recursive: true, force: true }));
    symlinkSync(execFileSync("which", ["espeak-ng"], { encoding: "utf8" }).trim(), join(folder, "espeak-ng"));
    const url = await providers(stage, { ...process.env, PATH: folder });
    for (const voice of ["slt", "alloy"]) {
      const response = await fetch(`${url}/audio/speech`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "flite", input: "How are you feeling today?", voice }),
      });
      assert.deepEqual([response.status, response.headers.get("content-type")], [200, "audio/wav"], voice);
      // A second of 16 bits at 22,050 Hz, at least.
      assert.ok((await response.arrayBuffer()).byteLength > 44_100, voice);
    }
  });
});
