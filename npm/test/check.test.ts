import assert from "node:assert/strict";
import { test } from "node:test";
import { unlessAborted } from "../src/abort.js";
import { checkOptions, checkText, checkTurn, checkVariables, tokenOf } from "../src/check.js";
import type { ConnectOptions } from "../src/options.js";

const GOOD = { url: "wss://voice.example.com/v1/call", token: () => "a.b.c" };

function refused(changes: Record<string, unknown>): Error | undefined {
  try {
    checkOptions({ ...GOOD, ...changes } as unknown as ConnectOptions);
  } catch (thrown) {
    return thrown as Error;
  }
  return undefined;
}

test("options that can be meant are taken", () => {
  for (const changes of [
    {},
    { url: new URL("https://voice.example.com/v1/call") },
    { chunkMs: 20, bufferSeconds: 60, giveUpAfterMs: 1 },
    { onState: () => undefined, onError: undefined },
    { conversation: "019a", agent: "concierge" },
  ]) {
    assert.equal(refused(changes), undefined);
  }
});

test("options that cannot be meant are refused by name, with what may be", () => {
  const numbers = ["chunkMs", "bufferSeconds", "giveUpAfterMs"];
  for (const name of numbers) {
    for (const value of [Number.NaN, -1, 0, Infinity, -Infinity, 1e12]) {
      const error = refused({ [name]: value });
      assert.ok(error instanceof RangeError && error.message.includes(`\`${name}\` is ${value}`), `${name} ${value}`);
    }
    for (const value of ["100", null, {}, true]) assert.ok(refused({ [name]: value }) instanceof TypeError, name);
  }
  assert.ok(refused({ chunkMs: 1_000 }) instanceof RangeError);
  for (const url of ["", undefined, null, 7, "ftp://example.com", "javascript:alert(1)", "http://["]) {
    assert.ok(refused({ url }) instanceof TypeError, String(url));
  }
  for (const token of [undefined, null, "a.b.c", {}]) assert.ok(refused({ token }) instanceof TypeError);
  assert.ok(refused({ onTranscript: "log" }) instanceof TypeError);
  for (const name of ["conversation", "agent"]) assert.ok(refused({ [name]: 7 }) instanceof TypeError, name);
});

test("what is said among the audio is of the right type or refused by name", () => {
  checkText("text", "");
  checkVariables({ name: "Ada" });
  checkTurn(0);
  for (const value of [undefined, null, 7, {}, ["a"]]) {
    assert.throws(() => checkText("callId", value), { name: "TypeError", message: /^`callId` is / });
  }
  for (const value of [undefined, null, "a", 7]) {
    assert.throws(() => checkVariables(value), { name: "TypeError", message: /^`variables` is / });
  }
  assert.throws(() => checkVariables({ plan: 1 }), { name: "TypeError", message: /^`variables.plan` is / });
  for (const value of [-1, 0.5, Number.NaN, 2 ** 32]) assert.throws(() => checkTurn(value), { name: "RangeError" });
  assert.throws(() => checkTurn("1"), { name: "TypeError" });
});

test("whatever a token function gives is a token or an error in words", () => {
  assert.equal(tokenOf("a.b.c\r\n"), "a.b.c");
  for (const given of [undefined, null, 7, {}, [], "", " \n", "a b", "a\nb", "a\u0000b", "<!doctype html>\n<p>", "Unauthorized", '{"error":"busy"}', "a.b", "a.b.c.d.e", "a..c"]) {
    assert.throws(() => tokenOf(given), { name: "TypeError", message: /^`token` gave / });
  }
});

test("an abort at any moment rejects with its reason, gives back what comes late, and leaves no listener", async () => {
  for (const when of ["before", "while", "after"] as const) {
    const controller = new AbortController();
    let listeners = 0;
    const signal = controller.signal;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    const here = new Set<unknown>();
    signal.addEventListener = ((name: "abort", listener: () => void, options: AddEventListenerOptions) => {
      here.add(listener);
      listeners += 1;
      add(name, listener, options);
    }) as typeof signal.addEventListener;
    signal.removeEventListener = ((name: "abort", listener: () => void) => {
      here.delete(listener);
      remove(name, listener);
    }) as typeof signal.removeEventListener;
    if (when === "before") controller.abort("why");
    let finish = (_: string): void => undefined;
    const late: string[] = [];
    const work = new Promise<string>((resolve) => (finish = resolve));
    const raced = unlessAborted(signal, work, (value) => void late.push(value));
    if (when === "while") controller.abort("why");
    finish("engine");
    if (when === "after") {
      assert.equal(await raced, "engine");
      controller.abort("why");
    } else {
      await assert.rejects(raced, (thrown) => thrown === "why");
      await work;
      await new Promise((resolve) => setTimeout(resolve, 0));
      assert.deepEqual(late, ["engine"]);
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(here.size, 0, `${when}: ${listeners}`);
  }
});
