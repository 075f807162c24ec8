// @ts-check
// In every engine: a page that demands trusted types has its call, and where the engine of the call runs is what docs/browsers.md says.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { PageServer } from "../browser/support/page-server.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { TestCall } from "../browser/support/test-call.mjs";

/** Which browsers know trusted types; one that does not passes over a policy that demands them. @type {Record<string, boolean>} */
const KNOWS = { chromium: true, firefox: true, webkit: true };

describe("a page that demands trusted types", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const [name, consents] of ENGINES.flatMap((name) => [false, true].map((consents) => /** @type {const} */ ([name, consents])))) {
    test(`${consents ? "and consents by a policy of its own" : "and does not consent"} has its call, in ${name}`, async () => {
      const { engine, server, proxy } = await openPage(stage, name);
      server.policy = "require-trusted-types-for 'script'";
      const tab = await engine.open(`${proxy.url}${PageServer.path}?demanding`);
      await tab.click();
      const knows = await tab.evaluate((isConsenting) => {
        const { trustedTypes } = /** @type {any} */ (globalThis);
        if (isConsenting) trustedTypes?.createPolicy("default", { createScriptURL: (/** @type {string} */ url) => url });
        return trustedTypes !== undefined;
      }, consents);
      assert.equal(knows, KNOWS[name], "docs/browsers.md says which browsers know them");
      const call = new TestCall(tab);
      const inWorker = consents || !knows;
      assert.equal((await call.start()).engine, inWorker ? "worker" : "page");
      await call.hears(({ name, event }) => name === "usage" && event.audioMs > 0);
      await call.close();
      const errors = (await call.noted()).filter(({ name }) => name === "error").map(({ event }) => event.code);
      assert.deepEqual(errors, inWorker ? [] : ["worker_unavailable"]);
    });
  }
});
