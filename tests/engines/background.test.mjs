// @ts-check
// In every engine: the tab is hidden, or its page is busy, and the call goes on.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";

const HIDDEN_MS = 5_000;
const BLOCK_MS = 2_000;
const CHUNK_MS = 100;
/** Engines whose Workers send nothing while the page's main thread is busy. */
const STANDS_STILL = ["firefox", "webkit"];

describe("a page that nobody looks at", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const name of ENGINES) {
    test(`is heard while its tab is hidden, also over a connection that has to come back, in ${name}`, async (t) => {
      const { call, proxy, tab, relay } = await openPage(stage, name);
      const visibility = () => tab.evaluate(() => document.visibilityState, undefined);
      await call.start();
      await sleep(1_000);
      await tab.hide();
      const hidden = Date.now();
      assert.equal(await visibility(), "hidden");
      await sleep(HIDDEN_MS);
      const sent = proxy.audioUp(hidden).length;
      t.diagnostic(`${sent} chunks in ${Date.now() - hidden} ms`);
      assert.ok(sent > (0.8 * HIDDEN_MS) / CHUNK_MS, `${sent} chunks in ${HIDDEN_MS} ms`);
      proxy.drop();
      const cut = Date.now();
      await until("it is heard again", () => proxy.audioUp(cut).length > 20);
      assert.equal(await visibility(), "hidden");
      await tab.show();
      assert.equal(await visibility(), "visible");
      await call.close();
      const session = await relay.endedSession();
      assert.equal(session.reconnects, 1);
      assert.ok(!(await call.noted()).some(({ name }) => name === "gap"));
    });

    const others = STANDS_STILL.includes(name) ? "late, and all of them," : "in time";
    test(`whose main thread is busy for 2 s sends its chunks ${others} in ${name}`, async (t) => {
      const { call, proxy, relay } = await openPage(stage, name);
      await call.start();
      await sleep(1_000);
      const { begin, end } = await call.block(BLOCK_MS);
      const meanwhile = proxy.audioUp(begin, end).length;
      t.diagnostic(`${meanwhile} chunks in ${end - begin} ms`);
      const due = BLOCK_MS / CHUNK_MS;
      if (STANDS_STILL.includes(name)) {
        assert.ok(meanwhile < due / 2, `${meanwhile} chunks: docs/browsers.md says that ${name} cannot do this`);
      } else {
        assert.ok(meanwhile >= due - 1, `${meanwhile} chunks`);
      }
      await sleep(1_000);
      await call.close();
      const session = await relay.endedSession();
      assert.equal(session.reconnects, 0, "a page that is busy is no dead link");
      const spoken = proxy.audioUp().length * CHUNK_MS;
      assert.ok(spoken >= Date.now() - begin - 1_500, `${spoken} ms of audio`);
      assert.ok(!(await call.noted()).some(({ name }) => name === "gap"));
    });
  }
});
