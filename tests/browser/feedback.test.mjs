// @ts-check
// What the user thinks of a call is told by the SDK while it goes on and after it is over, and is in the relay's record.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

describe("feedback", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("is stored, the later in place of the earlier, also after the call; and a refusal is an error in words", async () => {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const page = await TestPage.open(await launch(stage), `http://127.0.0.1:${relay.port}`);
    await page.start({ microphone: false });
    const stored = () => relay.sessions().map(({ rating, comment }) => ({ rating, comment }));
    assert.equal(await page.say("feedback", { rating: 2, comment: "It was slow." }), "taken");
    assert.deepEqual(stored(), [{ rating: 2, comment: "It was slow." }]);
    await page.hangUp();
    await relay.endedSession();
    assert.equal(await page.say("feedback", { rating: 5 }), "taken");
    assert.deepEqual(stored(), [{ rating: 5, comment: null }]);
    assert.equal(await page.say("feedback", { comment: "a".repeat(2_001) }), "bad_body");
    assert.match(await page.say("feedback", { rating: 6 }), /RangeError/);
    await page.page.route("**/feedback", (route) => route.abort());
    assert.equal(await page.say("feedback", { rating: 1 }), "link_lost");
    assert.deepEqual(stored(), [{ rating: 5, comment: null }]);
  });
});
