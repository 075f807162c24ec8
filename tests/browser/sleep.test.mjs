// @ts-check
// The machine sleeps and wakes in mid-call. Nobody tells the page so: it finds out by its clock.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { Proxy } from "./support/proxy.mjs";
import { Relay } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/** What stands before the samples of a frame: docs/protocol.md. */
const HEADER_BYTES = 12;

/** Talks for longer than the call takes. */
const STORY = "North wind and sun were disputing which was the stronger, when a traveller came along wrapped in a warm cloak, and they agreed that the one who first succeeded in making the traveller take his cloak off should be considered stronger than the other.";

describe("a machine that sleeps while somebody speaks", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("is noticed by the jump of the clock when it wakes: the call is back at once, and no word is lost", async (t) => {
    const speech = speak(stage, [0.5, STORY, 3]);
    // A connection is taken for dead after two of these, and the machine sleeps for longer.
    const relay = await Relay.start({ VOXRELAY_HEARTBEAT_SECONDS: "4" });
    stage.after(() => relay.stop());
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());
    const browser = await launch(stage, { microphone: speech.file });
    const page = await TestPage.open(browser, proxy.url);
    await page.start();
    await page.hears(({ name }) => name === "quality");
    const cdp = await browser.newBrowserCDPSession();
    const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
    const pids = processInfo.map(({ id }) => id);
    assert.ok(pids.length > 2, "browser, page and network at least");
    const before = (await page.noted()).length;
    assert.equal(await page.say("sendText", "said before the sleep"), "taken");
    // Nobody tells the page that it sleeps, or that its socket is dead.
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    proxy.forget();
    await sleep(10_000);
    const woke = Date.now();
    for (const pid of pids) process.kill(pid, "SIGCONT");
    await page.hears(({ name, event }) => name === "state" && event.state === "connected", before);
    const told = (await page.noted()).slice(before);
    const states = told.filter(({ name }) => name === "state");
    t.diagnostic(`back ${Number(states[1]?.time) - woke} ms after the sleep`);
    assert.deepEqual(states.map(({ event }) => [event.state, event.attempt]), [["reconnecting", 1], ["connected", 0]], "one attempt is enough");
    assert.ok(states[0].event.retryInMs <= 1_000, "the backoff's first wait is a second at most");
    // While there is sound, the engine tells each 2 s how the line does: once when it wakes, and one may have been on its way when it fell asleep.
    // By the answer that is due to a `ping` of after the sleep, it would have noticed 5 s later, and by two heartbeats 8 s later.
    const unnoticed = told.slice(0, told.indexOf(states[0])).filter(({ name, time }) => name === "quality" && time >= woke);
    assert.ok(unnoticed.length <= 2, `the sleep is noticed before anything else is waited for: ${JSON.stringify(unnoticed)}`);
    assert.equal(new Set(proxy.frames.map(({ connection }) => connection)).size, 2, "one connection before the sleep, and one after it");
    assert.equal(await page.say("sendText", "said after the sleep"), "taken");
    await sleep(2_000);
    await page.hangUp();
    const noted = await page.noted();
    const session = await relay.endedSession();
    assert.deepEqual([session.end_reason, session.epoch, relay.sessions().length], ["normal", 0, 1]);
    assert.deepEqual(noted.filter(({ name }) => name === "gap"), []);
    const texts = relay.turns(session.id).filter(({ role, text }) => role === "user" && /sleep/.test(text)).map(({ text }) => text);
    assert.deepEqual(texts, ["said before the sleep", "said after the sleep"]);
    const ends = proxy.audioUp().map(({ position, length }) => position + (length - HEADER_BYTES) / 2);
    assert.equal(session.audio_samples, Math.max(...ends), "all that the page said was heard, each sample once");
  });
});
