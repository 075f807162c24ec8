// What the page's own server answers to the element's question for a token.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fetchToken } from "../src/element/token.js";

const ADDRESS = "https://app.example.com/voice-token";

/** What becomes of an answer of this status and type. */
async function answered(status: number, type: string, body: string): Promise<unknown> {
  const { fetch } = globalThis;
  globalThis.fetch = async (address, init) => {
    assert.deepEqual([address, init], [ADDRESS, { cache: "no-store" }]);
    return new Response(body, { status, headers: { "content-type": type } });
  };
  try {
    return await fetchToken(ADDRESS);
  } catch (thrown) {
    const { message, retryable } = thrown as Error & { retryable: unknown };
    return [message, retryable];
  } finally {
    globalThis.fetch = fetch;
  }
}

test("a token is the text of an answer, or what its JSON says", async () => {
  assert.equal(await answered(200, "text/plain; charset=utf-8", "a.b.c"), "a.b.c");
  // What several frameworks call any text.
  assert.equal(await answered(200, "text/html; charset=utf-8", "a.b.c"), "a.b.c");
  assert.equal(await answered(201, "application/json", '{"token":"d.e.f"}'), "d.e.f");
});

test("a page in place of a token is where people sign in, which asking again does not", async () => {
  for (const page of ["<!doctype html>", "\n  <html>"]) {
    assert.deepEqual(await answered(200, "text/html; charset=utf-8", page), [`${ADDRESS} answered 200 text/html; charset=utf-8`, false]);
  }
});

test("a refusal is final unless it is one of the moment, whatever it is written in", async () => {
  for (const [status, retryable] of [[400, false], [401, false], [403, false], [404, false], [422, false], [408, true], [425, true], [429, true], [500, true], [503, true]] as const) {
    for (const type of ["text/html", "application/json"]) {
      assert.deepEqual(await answered(status, type, "{}"), [`${ADDRESS} answered ${status} ${type}`, retryable]);
    }
  }
});
