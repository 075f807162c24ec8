// Tools that the page runs: once for each call, whatever comes, and never without a result.

import assert from "node:assert/strict";
import { test } from "node:test";

import { VoxrelayError } from "../src/error.js";
import { type ToolHandler, Tools } from "../src/tools.js";

type Sent = [callId: string, output: string, isError: boolean];

let calls = 0;

/** Tools with one that is named `look`, what they send, and how they are called. */
function bench(handler: ToolHandler, refuse: (sent: Sent) => unknown = () => undefined) {
  const sent: Sent[] = [];
  const tools = new Tools(async (...result) => {
    const refused = refuse(result);
    if (refused) throw refused;
    sent.push(result);
  });
  tools.handlers.set("look", handler);
  const call = (name = "look", text = "{}", { callId = `c${calls++}`, answers = false } = {}) =>
    tools.call({ callId, name, arguments: text }, answers);
  return { tools, sent, call };
}

test("a handler's result is sent as text or as JSON, and what it throws as an error", async () => {
  for (const [handler, output, isError] of [
    [() => "four", "four", false],
    [({ at }) => ({ at, free: [4] }), '{"at":8,"free":[4]}', false],
    [async () => [1], "[1]", false],
    [() => undefined, "", false],
    [() => Promise.reject(new Error("closed")), "closed", true],
    [() => { throw "closed"; }, "closed", true],
    [() => { throw undefined; }, "undefined", true],
    [() => 5n, "Do not know how to serialize a BigInt", true],
  ] as [ToolHandler, string, boolean][]) {
    const { call, sent } = bench(handler);
    await call("look", '{"at":8}');
    assert.deepEqual(sent.map(([, ...rest]) => rest), [[output, isError]]);
  }
  const { call, sent } = bench(() => assert.fail("it is not run"));
  await call("look", '{"at":');
  assert.equal(sent[0]?.[2], true, "arguments that are no JSON are an error");
});

test("a call is run once for the life of the page, and its result is sent again also by another call of the SDK", async () => {
  let runs = 0;
  const one = bench(() => ++runs);
  const other = bench(() => ++runs);
  await Promise.all([one.call("look", "{}", { callId: "same" }), one.call("look", "{}", { callId: "same" })]);
  await other.call("look", "{}", { callId: "same" });
  assert.deepEqual([runs, one.sent, other.sent], [1, [["same", "1", false]], [["same", "1", false]]]);
});

test("a call that comes again is answered with what came of it, whoever is registered by then", async () => {
  let runs = 0;
  const { call, sent, tools } = bench(() => (runs++, "booked"));
  const callId = "again";
  for (const answers of [false, false, true]) {
    await call("look", "{}", { callId, answers });
    if (sent.length === 2) tools.handlers.clear();
  }
  assert.equal(runs, 1);
  assert.deepEqual(sent, Array(3).fill([callId, "booked", false]));
});

test("a call that comes again while its handler runs is answered once, when that is through, also if nobody waited for it in between", async () => {
  for (const isCancelled of [false, true]) {
    let runs = 0;
    let give = (_: string): void => undefined;
    const { call, sent, tools } = bench(() => {
      runs++;
      return new Promise((resolve) => (give = resolve));
    });
    const callId = `under way, cancelled: ${isCancelled}`;
    const first = call("look", "{}", { callId });
    if (isCancelled) tools.cancel(callId);
    const second = call("look", "{}", { callId });
    give("booked");
    await Promise.all([first, second]);
    assert.equal(runs, 1);
    assert.deepEqual(sent, [[callId, "booked", false]]);
  }
});

test("what an application has answered itself is sent again, and nothing while it has not", async () => {
  const { call, sent, tools } = bench(() => assert.fail("it is not run"));
  const callId = "its own";
  assert.equal(tools.knows(callId), false);
  for (let time = 0; time < 2; time++) await call("fly", "{}", { callId, answers: true });
  assert.equal(tools.knows(callId), true);
  assert.deepEqual(sent, []);
  tools.answered(callId, "flown", false);
  await call("fly", "{}", { callId, answers: true });
  assert.deepEqual(sent, [[callId, "flown", false]]);
});

test("of a long call the results of the newest calls are kept, and none is run again", async () => {
  let runs = 0;
  const { call, sent } = bench(() => ++runs);
  for (let n = 0; n < 100; n++) await call("look", "{}", { callId: `long ${n}` });
  assert.equal(sent.length, 100);
  for (const callId of ["long 0", "long 99"]) await call("look", "{}", { callId });
  assert.deepEqual(sent.slice(100), [["long 99", "100", false]]);
  assert.equal(runs, 100);
});

test("a tool that nobody has registered is an error, unless the application answers itself", async () => {
  const { call, sent, tools } = bench(() => "four");
  await call("fly");
  assert.deepEqual(sent.map(([, ...rest]) => rest), [["The page has no tool fly.", true]]);
  await call("fly", "{}", { answers: true });
  assert.equal(sent.length, 1);
  await call("look", "{}", { answers: true });
  assert.equal(sent[1]?.[1], "four");
  tools.handlers.clear();
  await call();
  assert.equal(sent[2]?.[2], true);
});

test("what is cancelled is told so, and its result is not sent", async () => {
  for (const one of [true, false]) {
    const signals: AbortSignal[] = [];
    let give = (_: string): void => undefined;
    const { call, sent, tools } = bench((_, { signal }) => {
      signals.push(signal);
      return new Promise((resolve) => (give = resolve));
    });
    const over = call("look", "{}", { callId: `of ${one}` });
    assert.equal(signals[0]?.aborted, false);
    tools.cancel("another");
    assert.equal(signals[0]?.aborted, false);
    tools.cancel(one ? `of ${one}` : undefined);
    assert.equal(signals[0]?.aborted, true);
    give("late");
    await over;
    assert.deepEqual(sent, []);
  }
});

test("a result for which there is no room is sent when there is, and one that is too long is an error", async () => {
  let full = 2;
  const waits = bench(() => "four", () => full-- > 0 && new VoxrelayError("messages_full", "full", true));
  await waits.call();
  assert.equal(waits.sent[0]?.[1], "four");
  const long = bench(() => "x".repeat(20_000), ([, output]) => output.length > 16_000 && new VoxrelayError("text_too_long", "long", false));
  await long.call();
  assert.match(long.sent[0]?.[1] ?? "", /long/);
  assert.equal(long.sent[0]?.[2], true);
});
