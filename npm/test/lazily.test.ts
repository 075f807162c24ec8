import assert from "node:assert/strict";
import { test } from "node:test";

import { lazily } from "../src/lazily.js";

/** A module that says what it was asked for by. */
const ADDRESS = "data:text/javascript,export%20const%20by=import.meta.url;";

/** Fails to load, in a browser's words. */
function failing(words: string): { load: () => Promise<{ by: string }>; attempts: () => number } {
  let attempts = 0;
  return {
    load: async () => {
      attempts += 1;
      throw new TypeError(words);
    },
    attempts: () => attempts,
  };
}

test("a module that did not load is asked for by the address that the browser named, with a number behind it", async () => {
  for (const words of ["Failed to fetch dynamically imported module:", "error loading dynamically imported module:"]) {
    const { load, attempts } = failing(`${words} ${ADDRESS}`);
    const fetched = lazily(load, "");
    await assert.rejects(fetched(), TypeError);
    assert.match((await fetched()).by, /^data:[^#]+#\d+$/);
    assert.equal(attempts(), 1);
  }
});

test("where the browser names none, it is asked for by its own address, and otherwise as a bundler knows it", async () => {
  const own = lazily(failing("Importing a module script failed.").load, `module: ${ADDRESS}`);
  await assert.rejects(own(), TypeError);
  assert.match((await own()).by, /^data:[^#]+#\d+$/);
  const { load, attempts } = failing("Loading chunk 7 failed. (error: https://example.com/7.js)");
  const bundled = lazily(load, "https://example.com/app.js");
  await assert.rejects(bundled(), TypeError);
  await assert.rejects(bundled(), TypeError);
  assert.equal(attempts(), 2);
});

test("each attempt has an address of its own, which all share who wait for it, until the module is there", async () => {
  const fetched = lazily(failing("").load, "module: data:text/javascript,throw%20import.meta.url;");
  await assert.rejects(fetched(), TypeError);
  const addresses = [];
  for (let attempt = 0; attempt < 2; attempt++) {
    const [one, other] = await Promise.all([fetched(), fetched()].map((coming) => coming.catch(String)));
    assert.equal(one, other);
    addresses.push(one);
  }
  assert.notEqual(addresses[0], addresses[1]);
});

test("a module that is there is the same one for everybody, also after an attempt that failed", async () => {
  const fetched = lazily(failing("").load, `module: ${ADDRESS}`);
  await assert.rejects(fetched(), TypeError);
  assert.equal(await fetched(), await fetched());
});

test("a module of which nothing comes for 30 s is given up, and the next attempt asks for it by its own address", async () => {
  const { timeout } = AbortSignal;
  const late = new AbortController();
  AbortSignal.timeout = (ms) => (ms === 30_000 ? late.signal : timeout.call(AbortSignal, ms));
  try {
    const fetched = lazily<{ by: string }>(() => new Promise(() => undefined), `module: ${ADDRESS}`);
    const refused = assert.rejects(fetched(), { name: "TimeoutError" });
    late.abort(new DOMException("signal timed out", "TimeoutError"));
    await refused;
    AbortSignal.timeout = timeout;
    assert.match((await fetched()).by, /^data:[^#]+#\d+$/);
  } finally {
    AbortSignal.timeout = timeout;
  }
});
