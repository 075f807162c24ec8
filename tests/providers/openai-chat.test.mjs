// @ts-check
// OpenAI's `v1/chat/completions`, by its official client.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import OpenAI, { APIError, AuthenticationError, RateLimitError } from "openai";

import { Fakes } from "./support/fakes.mjs";

/** @param {string} content @returns {OpenAI.Chat.ChatCompletionCreateParamsStreaming} */
const asked = (content) => ({
  model: "gpt-4o-mini",
  stream: true,
  stream_options: { include_usage: true },
  messages: [{ role: "user", content }],
});

describe("openai's model", () => {
  /** @type {Fakes} */
  let fakes;
  /** @type {OpenAI} */
  let client;
  before(async () => {
    fakes = await Fakes.start();
    client = new OpenAI({ apiKey: fakes.key, baseURL: `${fakes.url}/v1`, maxRetries: 0 });
  });
  after(() => fakes.stop());

  /** @param {object} act */
  const script = (act) => fakes.script({ "openai.chat": [act] });

  /** All chunks of an answer. @param {OpenAI.Chat.ChatCompletionCreateParamsStreaming} request */
  async function chunks(request) {
    const all = [];
    for await (const chunk of await client.chat.completions.create(request)) all.push(chunk);
    return all;
  }

  /** @param {OpenAI.Chat.ChatCompletionChunk[]} chunks */
  const text = (chunks) => chunks.map(({ choices }) => choices[0]?.delta?.content ?? "").join("");

  test("without a script it answers what was said; the last chunk has the usage and nothing else", async () => {
    await fakes.script({});
    const all = await chunks(asked("one two three four"));
    assert.equal(text(all), "You said: one two three four");
    assert.equal(all.at(-2)?.choices[0].finish_reason, "stop");
    assert.deepEqual(all.at(-1)?.choices, []);
    const { bill, ended } = await fakes.request();
    assert.deepEqual([all.at(-1)?.usage?.prompt_tokens, all.at(-1)?.usage?.completion_tokens], [bill.input_tokens, bill.output_tokens]);
    assert.ok(all.slice(0, -1).every(({ usage }) => usage === null));
    assert.equal(ended, "done");
    const { stream_options, ...plain } = asked("Hello");
    assert.ok((await chunks(plain)).every((chunk) => !("usage" in chunk)), "nobody asked for it");
  });

  test("tools are called in pieces, and each call wants one output", async () => {
    const tools = [{ id: "call_a", name: "weather", arguments: { town: "Zürich" } }, { id: "call_b", name: "time", arguments: {} }];
    await script({ think: { tools, usage: { input_tokens: 50, output_tokens: 9, cache_read_input_tokens: 30 } } });
    const stream = client.chat.completions.stream({
      ...asked("Well?"),
      tools: [{ type: "function", function: { name: "weather", parameters: {} } }],
    });
    const completion = await stream.finalChatCompletion();
    const [choice] = completion.choices;
    const calls = choice.message.tool_calls ?? [];
    assert.equal(choice.finish_reason, "tool_calls");
    assert.deepEqual(calls.map((call) => call.type === "function" && [call.id, call.function.name, JSON.parse(call.function.arguments)]), [
      ["call_a", "weather", { town: "Zürich" }],
      ["call_b", "time", {}],
    ]);
    assert.equal(completion.usage?.prompt_tokens_details?.cached_tokens, 30);
    assert.deepEqual(await fakes.request().then(({ bill }) => [bill.input_tokens, bill.cache_read_input_tokens, bill.output_tokens]), [20, 30, 9]);

    await fakes.script({});
    /** @param {string} tool_call_id */
    const result = (tool_call_id) => ({ role: /** @type {const} */ ("tool"), tool_call_id, content: "sunny" });
    const said = [...asked("Well?").messages, { role: /** @type {const} */ ("assistant"), tool_calls: calls }];
    const whole = await client.chat.completions.create({ model: "gpt-4o-mini", messages: [...said, result("call_a"), result("call_b")] });
    assert.equal(whole.choices[0].message.content, "You said: sunny");
    await assert.rejects(client.chat.completions.create({ model: "gpt-4o-mini", messages: [...said, result("call_a")] }), /call_b/);
  });

  test("what local servers do differently is valid for the client, too", async () => {
    const quirks = ["crlf", "comments", "empty_choices", "no_delta"];
    await script({ think: { thinking: "So, so.", text: "Grüezi 你好", quirks, split_bytes: 2, omit_done: true, usage_times: 2, usage: { output_tokens: 8 } } });
    const all = await chunks(asked("Hello"));
    assert.equal(text(all), "Grüezi 你好");
    assert.deepEqual(all.filter(({ usage }) => usage).map(({ usage }) => usage?.completion_tokens), [4, 8]);
    assert.deepEqual(all[0].choices, []);
    const thoughts = all.map(({ choices }) => /** @type {any} */ (choices[0]?.delta)?.reasoning_content ?? "").join("");
    assert.equal(thoughts, "So, so.");
    await script({ think: { quirks: ["local_tools"], tools: [{ name: "a", arguments: { x: 1 } }, { name: "b", arguments: {} }] } });
    const calls = (await chunks(asked("Hello"))).flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
    assert.deepEqual(calls.map(({ index, function: called }) => [index, called?.name, called?.arguments]), [[0, "a", { x: 1 }], [0, "b", {}]]);
    await script({ think: { usage_times: 0 } });
    assert.ok((await chunks(asked("Hello"))).every(({ usage }) => !usage));
  });

  test("an error in mid-stream, a break and garbage reject the answer", async () => {
    await script({ faults: [{ at: 2, kind: "error", error: "server_error" }] });
    await assert.rejects(chunks(asked("Hello")), (error) => error instanceof APIError && error.type === "server_error");
    for (const kind of ["drop", "garbage"]) {
      await script({ faults: [{ at: 2, kind }] });
      await assert.rejects(chunks(asked("Hello")), Error, kind);
    }
  });

  test("pieces come when the script says so", async () => {
    await script({ pace: { head_ms: 50, first_ms: 50, between_ms: 5 }, think: { deltas: ["a", "b"] } });
    assert.equal(text(await chunks(asked("Hello"))), "ab");
    const { at_ms, first_sent_ms, ended_ms } = await fakes.request();
    // A timer is never early.
    assert.ok(first_sent_ms - at_ms >= 100 && ended_ms - first_sent_ms >= 20, JSON.stringify([at_ms, first_sent_ms, ended_ms]));
  });

  test("a wrong key and limits are refused as the provider does it", async () => {
    await fakes.script({});
    const stranger = new OpenAI({ apiKey: "another", baseURL: `${fakes.url}/v1`, maxRetries: 0 });
    await assert.rejects(stranger.chat.completions.create(asked("Hello")), (error) => error instanceof AuthenticationError && error.code === "invalid_api_key");
    await script({ refuse: { status: 429 } });
    await assert.rejects(client.chat.completions.create(asked("Hello")), (error) => error instanceof RateLimitError && error.code === "rate_limit_exceeded");
    await script({ refuse: { status: 503, body: "<html>upstream</html>" } });
    await assert.rejects(client.chat.completions.create(asked("Hello")), (error) => error instanceof APIError && error.status === 503);
    assert.equal(text(await chunks(asked("Hello"))), "You said: Hello", "the next request is not scripted");
  });
});
