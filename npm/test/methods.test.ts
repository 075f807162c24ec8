// Every argument of every method of a call, with values of every type that it may not have.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import { Emitter } from "../src/emitter.js";
import type { Report } from "../src/roles.js";
import { OPTIONS, browser, until } from "./support/browser.js";
import { type May, VALUES } from "./support/values.js";

beforeEach(() => browser.reset());

const NOT_PUBLIC = ["constructor", "emit", "hasListener"];
const OPTIONAL = ["undefined"];
const FLAG = [...OPTIONAL, "true", "false"];
const TEXT = ["empty", "blank", "text"];
const ANY_OBJECT = ["object", "date", "map", "circular"];

/** Each method, with an argument that is right for each of its parameters, and what else each may be. */
const METHODS: Record<string, readonly (readonly [right: unknown, may: May])[]> = {
  on: [["state", []], [() => undefined, ["function"]]],
  once: [["state", []], [() => undefined, ["function"]]],
  off: [["state", []], [() => undefined, ["function"]]],
  hold: [[true, FLAG]],
  mute: [[true, FLAG]],
  sendText: [["a", TEXT]],
  say: [["a", TEXT], [{}, [...OPTIONAL, ...ANY_OBJECT]]],
  addContext: [["a", TEXT]],
  setVariables: [[{ a: "b" }, ["object"]]],
  sendToolResult: [["a", TEXT], ["b", TEXT], [{}, [...OPTIONAL, ...ANY_OBJECT]]],
  registerTool: [["a", TEXT], [() => undefined, ["function"]]],
  correct: [[1, ["zero", "five"]], ["a", TEXT]],
  interrupt: [],
  feedback: [[{ rating: 5 }, ANY_OBJECT]],
  setMicrophone: [["a", [...OPTIONAL, ...TEXT, "false", "object", "circular"]]],
  setVolume: [[0.5, ["zero"]]],
  setSpeaker: [["a", [...OPTIONAL, ...TEXT]]],
  close: [[{}, [...OPTIONAL, ...ANY_OBJECT]]],
  connect: [],
  subscribe: [[() => undefined, ["function"]]],
  simulateOutage: [[1, ["zero", "five"]]],
};

const made: Call[] = [];
afterEach(() => Promise.all(made.splice(0).map((call) => call.close())));

/** A call that is up, and what its engine is told from there on. */
async function call(): Promise<{ made: Call; sent: unknown[] }> {
  const call = new Call(OPTIONS);
  made.push(call);
  await call.connect();
  const { sent } = browser.engine;
  await until(() => sent.length >= 3, "speaker, tap and start are told");
  sent.splice(0);
  return { made: call, sent };
}

test("every argument of every wrong type is refused by name, and nothing of it reaches the engine", async () => {
  const methods = [Call.prototype, Emitter.prototype].flatMap((prototype) =>
    Object.entries(Object.getOwnPropertyDescriptors(prototype))
      .filter(([name, { value }]) => !NOT_PUBLIC.includes(name) && typeof value === "function")
      .map(([name]) => name),
  );
  assert.deepEqual([...methods, "subscribe"].sort(), Object.keys(METHODS).sort(), "each method has its line");
  for (const [method, parameters] of Object.entries(METHODS)) {
    for (const [index, [, may]] of parameters.entries()) {
      for (const [kind, value] of Object.entries(VALUES)) {
        const said = `${method}, argument ${index}: ${kind}`;
        const { made, sent } = await call();
        const args = parameters.map(([right], at) => (at === index ? value : right));
        let error: unknown;
        try {
          const result: unknown = Reflect.apply(Reflect.get(made, method), made, args);
          const pending = new Promise((resolve) => setTimeout(resolve, 0));
          if (result instanceof Promise) await Promise.race([result, pending]);
          else if (method === "simulateOutage") (result as () => void)();
        } catch (thrown) {
          error = thrown;
        }
        const isTaken = error === undefined;
        assert.equal(isTaken, may.includes(kind), `${said}: ${String(error)}`);
        void made.close();
        if (isTaken) continue;
        assert.ok(error instanceof TypeError || error instanceof RangeError, `${said}: ${String(error)}`);
        assert.match(error.message, /^`[\w.]+` is .+, not /, said);
        assert.deepEqual(sent, [], said);
      }
    }
  }
});

test("what stands in an argument is looked at, too", async () => {
  const { made, sent } = await call();
  await assert.rejects(made.setVariables({ plan: 1 } as never), { name: "TypeError", message: /^`variables.plan` is 1, not a text/ });
  for (const value of ["yes", 1, null, {}]) {
    await assert.rejects(made.say("a", { interrupt: value } as never), { name: "TypeError", message: /^`interrupt` is / });
    await assert.rejects(made.sendToolResult("a", "b", { isError: value } as never), { name: "TypeError", message: /^`isError` is / });
    await assert.rejects(made.close({ finish: value } as never), { name: "TypeError", message: /^`finish` is / });
  }
  for (const rating of [0, 6, 2.5, Number.NaN]) {
    await assert.rejects(made.feedback({ rating }), { name: "RangeError", message: /^`rating` is .+, not (1 to 5|a whole number)$/ });
  }
  await assert.rejects(made.feedback({ comment: 5 } as never), { name: "TypeError", message: /^`comment` is 5, not a text/ });
  assert.deepEqual(sent, []);
});

test("a registered tool answers the agent, and who takes one back does not take back another of its name", async () => {
  const { made, sent } = await call();
  const hear = (report: object): void => browser.engine.say(report as Report);
  const stop = made.registerTool("look", ({ at }) => `old ${at}`);
  hear({ type: "toolCall", callId: "first", name: "look", arguments: '{"at":8}' });
  await until(() => sent.length === 1, "the first is answered");
  made.registerTool("look", () => "new");
  stop();
  hear({ type: "toolCall", callId: "second", name: "look", arguments: "{}" });
  await until(() => sent.length === 2, "the second is answered");
  const results = sent.map((command) => JSON.parse((command as [string, number, string])[2]));
  assert.deepEqual(results, [
    { type: "tool_result", call_id: "first", output: "old 8", is_error: false },
    { type: "tool_result", call_id: "second", output: "new", is_error: false },
  ]);
});

test("a call of a tool that comes again is not told again, and is answered with what the application gave", async () => {
  const { made, sent } = await call();
  const told: string[] = [];
  made.on("toolCall", ({ callId }) => told.push(callId));
  const hear = (): void => browser.engine.say({ type: "toolCall", callId: "told once", name: "fly", arguments: "{}" });
  hear();
  await until(() => told.length === 1, "the application hears of it");
  const answered = made.sendToolResult("told once", "no wings", { isError: true });
  await until(() => sent.length === 1, "it is answered");
  browser.engine.say({ type: "taken", id: (sent[0] as [string, number, string])[1] });
  await answered;
  hear();
  await until(() => sent.length === 2, "it is answered again");
  assert.deepEqual(told, ["told once"]);
  const results = sent.map((command) => JSON.parse((command as [string, number, string])[2]));
  assert.deepEqual(results, Array(2).fill({ type: "tool_result", call_id: "told once", output: "no wings", is_error: true }));
});
