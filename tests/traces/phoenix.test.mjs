// @ts-check
// The traces of a spoken conversation, as Phoenix keeps and shows them (PyPI `arize-phoenix`): a trace of each turn with the figures of the ledger,
// and no word of what was said where nobody asked for words.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { launch } from "../browser/support/chromium.mjs";
import { ROOT } from "../browser/support/installed.mjs";
import { PROGRAM, Relay, until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { Fakes, quiet, wav } from "../providers/support/fakes.mjs";
import { Phoenix } from "./support/phoenix.mjs";

/** What the user says, in words that nobody else would. */
const SAID = ["marmalade for the heffalump", "zeppelins over the lagoon"];
const WORDS = SAID.flatMap((text) => text.split(" ")).filter((word) => word.length > 4);
/** Nobody asks for these: the user's name, and a word of the agent's instructions. */
const USER = "quagga";
const INSTRUCTED = "numbat";

const MODEL = "claude-haiku-5-5";
const ROOT_SPAN = "invoke_agent host";
const BELOW = [`chat ${MODEL}`, "speech_to_text nova-3", "text_to_speech tts-1"];

/** What the model has of each prompt in its cache, and puts there: neither costs what other tokens cost. */
const CACHED = { cache_read_input_tokens: 30, cache_write_5m_tokens: 20 };

/** The projects in Phoenix: without words, and with them. */
const WORDLESS = "voxrelay";
const WORDY = "voxrelay-words";

const RATE = 16_000;
const SPEECH_MS = 2_000;
/** Between what is said first and what is said then: longer than the first answer takes. */
const PAUSE_MS = 9_000;
const CALL_MS = 120_000;
/** Until a span is posted, taken and kept. */
const KEPT_MS = 30_000;
/** Until a page asks for nothing more. */
const REST_MS = 10_000;

/** What is taken for a voice, as `audio/src/synthetic.rs` has it: the overtones of 120 Hz, which swell four times a second. @param {number} ms */
function voice(ms) {
  const samples = Int16Array.from({ length: (ms * RATE) / 1_000 }, (_, at) => {
    const phase = (2 * Math.PI * at) / RATE;
    let tone = 0;
    for (let overtone = 1; overtone < 12; overtone++) tone += Math.sin(120 * overtone * phase) / overtone;
    return tone * (0.6 + 0.4 * Math.sin(4 * phase)) * 6_000;
  });
  return Buffer.from(samples.buffer);
}

/** A file in which is said what the stand-in hears as {@link SAID}. @param {Stage} stage */
function speech(stage) {
  const folder = mkdtempSync(join(tmpdir(), "voxrelay-test-"));
  stage.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "speech.wav");
  const sound = [quiet(500), voice(SPEECH_MS), quiet(PAUSE_MS), voice(SPEECH_MS), quiet(1_000)];
  writeFileSync(file, wav(Buffer.concat(sound), RATE));
  return file;
}

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);

describe("traces in Phoenix", () => {
  const stage = new Stage();
  /** @type {Phoenix} */
  let phoenix;
  /** @type {Fakes} */
  let fakes;

  before(async () => {
    fakes = await Fakes.start();
    stage.after(() => fakes.stop());
    phoenix = await Phoenix.start(stage);
  });
  after(() => stage.clear());

  /** A relay whose turns are traced into this project. @param {string} project @param {Record<string, string>} [more] */
  async function traced(project, more = {}) {
    const provider = (/** @type {string} */ name, /** @type {string} */ kind, /** @type {string} */ path, /** @type {string} */ model, /** @type {string} */ price) => ({
      [`VOXRELAY_PROVIDERS__${name}__KIND`]: kind,
      [`VOXRELAY_PROVIDERS__${name}__URL`]: `${fakes.url}${path}`,
      [`VOXRELAY_PROVIDERS__${name}__KEY`]: fakes.key,
      [`VOXRELAY_PROVIDERS__${name}__MODEL`]: model,
      [`VOXRELAY_PROVIDERS__${name}__PRICE`]: price,
    });
    const relay = await Relay.start({
      VOXRELAY_AGENTS__DEFAULT: "host",
      VOXRELAY_AGENTS__HOST__STT: "ears",
      VOXRELAY_AGENTS__HOST__LLM: "mind",
      VOXRELAY_AGENTS__HOST__TTS: "mouth",
      VOXRELAY_AGENTS__HOST__INSTRUCTIONS: `You are a ${INSTRUCTED}.`,
      ...provider("EARS", "deepgram", "", "nova-3", "deepgram/nova-3"),
      ...provider("MIND", "anthropic", "/v1", MODEL, `anthropic/${MODEL}`),
      ...provider("MOUTH", "openai-speech", "/v1", "tts-1", "openai/tts-1"),
      VOXRELAY_TRACES__ENDPOINT: `${phoenix.url}/v1/traces`,
      VOXRELAY_TRACES__HEADERS: `x-project-name=${project}`,
      ...more,
    });
    stage.after(() => relay.stop());
    return relay;
  }

  /** A call by the command line. @param {Relay} relay @param {string[]} says */
  async function call(relay, ...says) {
    const args = ["call", "--json", "--token", relay.token(USER), ...says, `ws://127.0.0.1:${relay.port}/v1/call`];
    const { stdout } = await promisify(execFile)(PROGRAM, args, { timeout: CALL_MS });
    return /** @type {{ turns: { role: string, text: string }[] }} */ (JSON.parse(stdout));
  }

  test("two turns are two traces of one session, with what was heard, thought and spoken, the ledger's figures and no word", async () => {
    await fakes.script({
      "deepgram.listen": [{ times: 4, hear: { texts: SAID } }],
      "anthropic.messages": [{ times: 4, think: { usage: CACHED } }],
    });
    const relay = await traced(WORDLESS);
    const { turns } = await call(relay, "--audio", speech(stage));
    assert.deepEqual(turns.filter(({ role }) => role === "user").map(({ text }) => text), SAID);
    const answers = turns.filter(({ role }) => role === "agent").map(({ text }) => text);
    assert.ok(answers.length === 2 && answers.every((answer, at) => answer.includes(SAID[at])), JSON.stringify(turns));
    const session = await relay.endedSession();
    const ledger = relay.ledger(session.id);
    const billed = (/** @type {(unit: string) => boolean} */ isCounted) =>
      sum(ledger.filter(({ unit }) => isCounted(unit)).map(({ quantity }) => quantity));
    const characters = billed((unit) => unit === "character");
    const output = billed((unit) => unit.endsWith("output_token"));
    const input = billed((unit) => unit.endsWith("_token")) - output;
    assert.ok(characters > 0 && output > 0 && input > 0, JSON.stringify(ledger));

    const spans = await until("all that was spoken is in Phoenix", async () => {
      const spans = await phoenix.spans(WORDLESS);
      const spoken = sum(spans.map(({ attributes }) => attributes["voxrelay.usage.character"] ?? 0));
      return spoken === characters && spans;
    }, KEPT_MS);
    const roots = spans.filter(({ parent_id }) => parent_id === null);
    assert.equal(roots.length, 2, JSON.stringify(spans));
    assert.equal(new Set(roots.map(({ context }) => context.trace_id)).size, 2);
    for (const { name, span_kind, context, attributes } of roots) {
      assert.deepEqual([name, span_kind, attributes["session.id"]], [ROOT_SPAN, "AGENT", session.id]);
      const trace = spans.filter((span) => span.context.trace_id === context.trace_id && span.context.span_id !== context.span_id);
      assert.ok(trace.every(({ parent_id }) => parent_id === context.span_id), JSON.stringify(trace));
      assert.deepEqual([...new Set(trace.map(({ name }) => name))].toSorted(), BELOW);
    }
    const models = spans.filter(({ span_kind }) => span_kind === "LLM");
    assert.equal(models.length, 2, JSON.stringify(spans));
    for (const { attributes } of models) {
      assert.deepEqual([attributes["llm.model_name"], attributes["llm.provider"]], [MODEL, "anthropic"]);
    }
    const told = (/** @type {string} */ key) => sum(models.map(({ attributes }) => attributes[key]));
    assert.deepEqual([told("llm.token_count.prompt"), told("llm.token_count.completion")], [input, output]);
    const cached = ["cache_read", "cache_write"].map((part) => told(`llm.token_count.prompt_details.${part}`));
    assert.deepEqual(cached, [2 * CACHED.cache_read_input_tokens, 2 * CACHED.cache_write_5m_tokens]);
    const sessions = await phoenix.sessions(WORDLESS);
    assert.deepEqual(
      sessions.map(({ session_id, traces, token_count_total }) => [session_id, traces.length, token_count_total]),
      [[session.id, 2, input + output]],
    );

    const table = await phoenix.shown(WORDLESS);
    const rows = table.rootSpans.edges.map(({ node }) => node);
    assert.deepEqual(rows.map(({ name, spanKind }) => [name, spanKind]), [[ROOT_SPAN, "agent"], [ROOT_SPAN, "agent"]]);
    assert.ok(rows.every(({ latencyMs, input, output }) => Number(latencyMs) > 0 && input === null && output === null), JSON.stringify(rows));
    assert.equal(sum(rows.map(({ trace }) => trace.numSpans)), spans.length);
    assert.equal(sum(rows.map((row) => row.cumulativeTokenCountTotal)), input + output);
    const below = rows.flatMap((row) => row.descendants.edges.map(({ node }) => node));
    const shown = below.filter(({ spanKind }) => spanKind === "llm");
    assert.deepEqual(shown.map(({ name }) => name), [BELOW[0], BELOW[0]]);
    assert.deepEqual([sum(shown.map((row) => row.tokenCountPrompt ?? 0)), sum(shown.map((row) => row.tokenCountCompletion ?? 0))], [input, output]);
    // It is reckoned from the tokens by a price list of its own, which has the same prices for this model.
    const thought = sum(ledger.filter(({ item }) => item === `anthropic/${MODEL}`).map((row) => row.cost_nano_usd));
    const cost = sum(rows.map(({ trace }) => trace.costSummary.total.cost ?? 0));
    assert.ok(Math.abs(cost * 1e9 - thought) < 1, `${cost} dollars are shown for ${thought} nano-dollars`);

    const all = JSON.stringify([spans, sessions, table]);
    for (const word of [...WORDS, USER, INSTRUCTED, fakes.key]) {
      assert.ok(!all.includes(word), `Phoenix shows "${word}"`);
      assert.ok(!phoenix.keeps(word), `Phoenix keeps "${word}"`);
    }
  });

  test("words are shown and kept where they are asked for, but no prompt and no name", async () => {
    const relay = await traced(WORDY, { VOXRELAY_TRACES__CONTENT: "true" });
    await call(relay, "--text", SAID[0]);
    const root = await until("the turn is in Phoenix", async () => {
      const spans = await phoenix.spans(WORDY);
      return spans.find(({ parent_id }) => parent_id === null);
    }, KEPT_MS);
    assert.equal(root.attributes["input.value"], SAID[0]);
    assert.ok(String(root.attributes["output.value"]).includes(SAID[0]), JSON.stringify(root));
    const [row] = (await phoenix.shown(WORDY)).rootSpans.edges;
    assert.equal(row.node.input?.truncatedValue, SAID[0]);
    assert.ok(phoenix.keeps(SAID[0]), "what is kept is found");
    for (const word of [USER, INSTRUCTED, fakes.key]) assert.ok(!phoenix.keeps(word), `Phoenix keeps "${word}"`);
  });

  test("its pages show the traces, and pictures of them are taken", async () => {
    const folder = join(ROOT, "target", "pictures", "phoenix");
    mkdirSync(folder, { recursive: true });
    const { id, rootSpans } = await phoenix.shown(WORDLESS);
    const [{ node: newest }] = rootSpans.edges;
    const model = newest.descendants.edges.map(({ node }) => node).find(({ spanKind }) => spanKind === "llm");
    assert.ok(model, "the turn was thought about");
    const browser = await launch(stage);
    const context = await browser.newContext({ viewport: { width: 1600, height: 1000 }, colorScheme: "light", reducedMotion: "reduce" });
    const page = await context.newPage();
    const traces = `${phoenix.url}/projects/${encodeURIComponent(id)}/traces`;
    const trace = `${traces}/${newest.trace.traceId}?selectedSpanNodeId=${encodeURIComponent(model.id)}`;
    for (const [name, address, texts] of /** @type {const} */ ([
      ["traces", traces, [ROOT_SPAN]],
      ["trace", trace, [ROOT_SPAN, ...BELOW]],
    ])) {
      await page.goto(address);
      for (const text of texts) await page.getByText(text).filter({ visible: true }).first().waitFor();
      // Whatever is still being fetched, such as the span that is chosen, is in the picture; a page that never rests is taken as it is.
      await page.waitForLoadState("networkidle", { timeout: REST_MS }).catch(() => {});
      const picture = join(folder, `${name}.png`);
      await page.screenshot({ path: picture });
      assert.ok(statSync(picture).size > 10_000, picture);
    }
    await context.close();
  });
});
