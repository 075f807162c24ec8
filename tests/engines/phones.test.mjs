// @ts-check
// The demo page on emulated phones: their screens, a finger, and a processor that is four times as slow.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, test } from "node:test";

import { devices } from "playwright-core";

import { launch, rawMicrophone } from "../browser/support/chromium.mjs";
import { Proxy } from "../browser/support/proxy.mjs";
import { Relay, until } from "../browser/support/relay.mjs";
import { compare, median } from "../browser/support/signal.mjs";
import { speak } from "../browser/support/speech.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { readWav } from "../browser/support/wav.mjs";

const PHONES = ["iPhone SE", "iPhone 15", "Pixel 7", "Galaxy S24"];
/** Of the page's thread; DevTools do not slow Workers. */
const SLOWER = 4;
const UPLINK_SNR_DB = 55;

describe("a call on a phone", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const phone of PHONES) {
    test(`is tapped, spoken, cut, muted and hung up on ${phone}`, async (t) => {
      const speech = speak(stage, [3, "Good morning from a phone that is rather slow.", 30]);
      const relay = await Relay.start();
      stage.after(() => relay.stop());
      const proxy = await Proxy.start(relay.port);
      stage.after(() => proxy.stop());
      const browser = await launch(stage, { microphone: speech.file });
      const { defaultBrowserType: _, ...screen } = devices[phone];
      const context = await browser.newContext(screen);
      await rawMicrophone(context);
      const page = await context.newPage();
      const devtools = await context.newCDPSession(page);
      await devtools.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
      await page.goto(proxy.url);
      assert.ok(await page.evaluate(() => navigator.maxTouchPoints > 0), "it has a touch screen");
      /** @param {string} selector @param {RegExp} wanted */
      const shows = (selector, wanted) =>
        until(`${selector} shows ${wanted}`, async () => wanted.test((await page.locator(selector).textContent()) ?? ""));

      const tapped = Date.now();
      await page.locator("#call").tap();
      await shows("#pill-text", /^Connected$/);
      t.diagnostic(`connected ${Date.now() - tapped} ms after the tap`);
      await shows("#captions", /You spoke for \d\.\d s/);

      const cut = Date.now();
      proxy.drop();
      await until("it is heard again", () => proxy.audioUp(cut).length > 10);
      await shows("#pill-text", /^Connected$/);

      await page.locator("#mute").tap();
      await sleep(1_500);
      const muted = Date.now();
      await sleep(2_000);
      assert.equal(proxy.audioUp(muted).length, 0, "nothing is sent while it is muted");
      await page.locator("#mute").tap();
      await until("it is heard again", () => proxy.audioUp(muted).length > 10);

      const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(width <= 0, `${width} pixels do not fit`);
      await page.locator("#call").tap();
      await shows("#pill-text", /^Ended$/);
      const session = await relay.endedSession();
      assert.equal(session.end_reason, "normal");
      assert.equal(session.reconnects, 1);
      const { samples, rate } = readWav(await relay.recording(session.id));
      const [{ begin, end }] = speech.words;
      const snr = compare(speech.reference.subarray(begin, end), samples, rate).map((match) => match.snrDb);
      t.diagnostic(`${snr.length} windows, SNR median ${median(snr).toFixed(1)} dB`);
      assert.ok(median(snr) >= UPLINK_SNR_DB, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
    });
  }
});
