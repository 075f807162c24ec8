// @ts-check
// Anthropic's `v1/messages`, by its official client.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import Anthropic, { APIError, AuthenticationError, RateLimitError } from "@anthropic-ai/sdk";

import { Fakes } from "./support/fakes.mjs";

const WEATHER = { name: "weather", description: "The weather of a town", input_schema: { type: /** @type {const} */ ("object"), properties: { town: { type: "string" } } } };

/** The version of the wire that the client speaks by itself. */
const NEWEST = "2026-10-21";
/** The one that a relay asks for, with the key in a header of its own. */
const RELAYS = "2023-06-01";

/** Why an answer ends that neither is whole nor calls a tool. */
const STOPS = ["max_tokens", "stop_sequence", "pause_turn", "refusal", "model_context_window_exceeded"];

/** The names of errors, each with the status of a refusal. */
const ERRORS = Object.entries({
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
});

/** @param {string} content @returns {Anthropic.MessageCreateParamsNonStreaming} */
const asked = (content) => ({ model: "claude-haiku-5-5", max_tokens: 200, messages: [{ role: "user", content }] });

for (const version of [NEWEST, RELAYS]) describe(`anthropic's model, version ${version}`, () => answersIn(version));

/** @param {string} version */
function answersIn(version) {
  /** @type {Fakes} */
  let fakes;
  /** @type {Anthropic} */
  let client;
  before(async () => {
    fakes = await Fakes.start();
    client = connected(fakes.key);
  });
  after(() => fakes.stop());

  /** @param {string} key */
  function connected(key) {
    const options = { baseURL: fakes.url, maxRetries: 0 };
    if (version === NEWEST) return new Anthropic({ ...options, apiKey: key });
    const defaultHeaders = { "anthropic-version": version, "x-api-key": key, authorization: null };
    return new Anthropic({ ...options, apiKey: "none", defaultHeaders });
  }

  /** @param {object} act */
  const script = (act) => fakes.script({ "anthropic.messages": [act] });

  test("without a script it answers what was said, in deltas of five words", async () => {
    await fakes.script({});
    const stream = client.messages.stream(asked("one two three four five six"));
    /** @type {string[]} */
    const deltas = [];
    stream.on("text", (text) => deltas.push(text));
    const message = await stream.finalMessage();
    assert.deepEqual(deltas, ["You said: one two three ", "four five six"]);
    assert.equal(message.stop_reason, "end_turn");
    const { bill, headers, ended, key } = await fakes.request();
    assert.equal(message.usage.input_tokens, bill.input_tokens);
    assert.equal(message.usage.output_tokens, bill.output_tokens);
    assert.deepEqual([headers["anthropic-version"], key], [version, "right"]);
    assert.equal(ended, "done");
    assert.equal(stream.request_id, "req_fake");
  });

  test("thinking, text and two tools come as blocks of their own; the usage has every kind of token", async () => {
    const usage = { input_tokens: 10, output_tokens: 40, cache_read_input_tokens: 900, cache_write_5m_tokens: 50, cache_write_1h_tokens: 7 };
    const tools = [{ id: "toolu_1", name: "weather", arguments: { town: "Zürich" } }, { name: "weather", arguments: { town: "Bern" } }];
    await script({ think: { thinking: "Where is it?", text: "I look.", tools, usage, usage_times: 2, quirks: ["crlf", "comments"] } });
    const message = await client.messages.stream({ ...asked("How is the weather?"), tools: [WEATHER] }).finalMessage();
    assert.deepEqual(message.content.map(({ type }) => type), ["thinking", "text", "tool_use", "tool_use"]);
    assert.deepEqual(message.content.flatMap((block) => (block.type === "tool_use" ? [[block.id, block.input]] : [])), [
      ["toolu_1", { town: "Zürich" }],
      ["call_1", { town: "Bern" }],
    ]);
    assert.equal(message.stop_reason, "tool_use");
    assert.equal(message.usage.output_tokens, 40, "the later one counts");
    assert.equal(message.usage.cache_read_input_tokens, 900);
    assert.deepEqual(message.usage.cache_creation, { ephemeral_5m_input_tokens: 50, ephemeral_1h_input_tokens: 7 });

    await fakes.script({});
    /** @type {Anthropic.MessageParam[]} */
    const messages = [{ role: "user", content: "How is the weather?" }, { role: "assistant", content: message.content }];
    /** @param {string} id */
    const result = (id) => ({ type: /** @type {const} */ ("tool_result"), tool_use_id: id, content: `${id} is sunny` });
    const whole = [...messages, { role: /** @type {const} */ ("user"), content: [result("toolu_1"), result("call_1")] }];
    const answer = await client.messages.create({ ...asked(""), messages: whole });
    assert.deepEqual(answer.content, [{ type: "text", text: "You said: toolu_1 is sunny call_1 is sunny", citations: null }]);
    const half = [...messages, { role: /** @type {const} */ ("user"), content: [result("call_1")] }];
    await assert.rejects(client.messages.create({ ...asked(""), messages: half }), /tool_use.*toolu_1/);
  });

  test("a body that is cut anywhere is the same body", async () => {
    await script({ think: { text: "Grüezi, schön! 你好。", split_bytes: 3 } });
    const message = await client.messages.stream(asked("Hello")).finalMessage();
    assert.deepEqual(message.content, [{ type: "text", text: "Grüezi, schön! 你好。", citations: null }]);
    await script({ think: { text: "Grüezi" }, faults: [{ at: 3, kind: "cut" }] });
    assert.deepEqual((await client.messages.stream(asked("Hello")).finalMessage()).content, [{ type: "text", text: "Grüezi", citations: null }]);
  });

  test("each reason to stop is told in the provider's word, behind what was said until then", async () => {
    for (const stop of STOPS) {
      await script({ think: { text: "As far as it goes.", stop } });
      const { content, stop_reason } = await client.messages.stream(asked("Hello")).finalMessage();
      assert.deepEqual([stop_reason, content], [stop, [{ type: "text", text: "As far as it goes.", citations: null }]]);
    }
  });

  test("each error is told under its name: in mid-stream, and by its status", async () => {
    for (const [name, status] of ERRORS) {
      await script({ faults: [{ at: 4, kind: "error", error: name }] });
      const stream = client.messages.stream(asked("Hello"));
      await assert.rejects(stream.finalMessage(), (error) => error instanceof APIError && error.type === name, name);
      assert.equal((await fakes.request()).ended, "closed");
      await script({ refuse: { status } });
      const refused = client.messages.stream(asked("Hello"));
      await assert.rejects(refused.finalMessage(), (error) => error instanceof APIError && error.status === status && error.type === name, name);
      assert.equal((await fakes.request()).ended, "refused");
    }
  });

  test("who cancels gets no more, and the log says how much it got", async () => {
    await script({ pace: { between_ms: 100 }, think: { text: "word ".repeat(500) } });
    const stream = client.messages.stream(asked("Talk"));
    stream.once("text", () => stream.abort());
    await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
    const { ended, sent_pieces } = await fakes.request();
    assert.equal(ended, "cancelled");
    assert.ok(sent_pieces >= 4 && sent_pieces < 100, `${sent_pieces}`);
  });

  test("a break, a stall and a missing end are seen", async () => {
    await script({ faults: [{ at: 4, kind: "drop" }] });
    await assert.rejects(client.messages.stream(asked("Hello")).finalMessage());
    await script({ faults: [{ at: 4, kind: "stall" }] });
    const stalled = client.messages.stream(asked("Hello"));
    stalled.once("text", () => setTimeout(() => stalled.abort(), 100));
    await assert.rejects(stalled.finalMessage(), Anthropic.APIUserAbortError);
    assert.equal((await fakes.request()).sent_pieces, 4);
    await script({ think: { omit_done: true } });
    const types = [];
    for await (const { type } of await client.messages.create({ ...asked("Hello"), stream: true })) types.push(type);
    assert.equal(types.at(-1), "message_delta");
  });

  test("a wrong key, a limit and a prefill are refused as the provider does it", async () => {
    await fakes.script({});
    const stranger = connected("another");
    await assert.rejects(stranger.messages.create(asked("Hello")), (error) => error instanceof AuthenticationError && error.type === "authentication_error");
    assert.equal((await fakes.requests())[0].key, "wrong");
    await script({ refuse: { status: 429, headers: { "retry-after": "7" } } });
    await assert.rejects(client.messages.create(asked("Hello")), (error) => error instanceof RateLimitError && error.headers.get("retry-after") === "7");
    const prefill = [...asked("Hello").messages, { role: /** @type {const} */ ("assistant"), content: "Well" }];
    await assert.rejects(client.messages.create({ ...asked(""), messages: prefill }), /prefill/);

    // What the version before takes, the newest one and the newest models refuse.
    const sampled = /** @type {any} */ ({ ...asked("Hello"), temperature: 0.2 });
    await assert.rejects(client.messages.create(sampled), /temperature/);
    const older = client.messages.create({ ...sampled, model: "claude-haiku-4-5" });
    if (version === NEWEST) await assert.rejects(older, /temperature/);
    else assert.equal((await older).stop_reason, "end_turn");
  });
}
