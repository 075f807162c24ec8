// From the press of the button to the call, where what shows it does not come.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Caller, type Plan } from "../src/element/caller.js";

test("an attempt that waits for what shows a call is given up at once, and the next one is another one", async () => {
  const caller = new Caller({ changed: () => undefined, made: () => undefined, agreed: () => undefined, waiting: () => undefined });
  const prepare = (): Promise<Plan> => new Promise(() => undefined);
  const first = assert.rejects(caller.connect(prepare), { code: "call_over" });
  await caller.close();
  await first;
  assert.deepEqual([caller.phase, caller.isBusy], ["idle", false]);
  const second = caller.connect(prepare);
  assert.ok(caller.isBusy);
  const refused = assert.rejects(second, { code: "call_over" });
  await caller.close();
  await refused;
});
