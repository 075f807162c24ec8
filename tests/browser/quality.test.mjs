// @ts-check
// How well the line does is told while a call goes on, and what is to be warned of is raised and clears. `more/quality.test.mjs` has the warnings that
// take a whole story.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { launch } from "./support/chromium.mjs";
import { Proxy } from "./support/proxy.mjs";
import { told, warned } from "./support/quality.mjs";
import { Relay } from "./support/relay.mjs";
import { SlowLine } from "./support/slow-line.mjs";
import { Stage } from "./support/stage.mjs";
import { TestPage } from "./support/test-page.mjs";

/** @typedef {import("voxrelay").QualityEvent} QualityEvent */

describe("the quality of a call", () => {
  const stage = new Stage();
  /** @type {Relay} */
  let relay;
  /** @type {import("playwright-core").Browser} */
  let browser;
  let folder = "";
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "voxrelay-quality-"));
    stage.after(() => rmSync(folder, { recursive: true }));
    // Bursts of a voice, which the echo agent answers.
    const file = join(folder, "voice.wav");
    execFileSync("espeak-ng", ["-v", "en-us", "-w", join(folder, "a.wav"), "One two three four five."]);
    execFileSync("sox", [join(folder, "a.wav"), "-r", "44100", "-b", "16", "-c", "1", file, "pad", "0.5", "2"]);
    relay = await Relay.start();
    stage.after(() => relay.stop());
    browser = await launch(stage, { microphone: file });
  });
  after(() => stage.clear());

  /** A call from a page whose relay is found there. @param {string} url */
  async function call(url) {
    const page = await TestPage.open(browser, url);
    stage.after(() => page.context.close());
    await page.start();
    return page;
  }

  test("is told every two seconds, and of a good line nothing is warned of", async () => {
    const page = await call(`http://127.0.0.1:${relay.port}`);
    await page.hears(({ name, event }) => name === "quality" && event.jitterMs !== undefined);
    await sleep(4_000);
    const events = (await page.noted()).filter(({ name }) => name === "quality");
    const first = events[0]?.time ?? 0;
    const seconds = ((events.at(-1)?.time ?? 0) - first) / 1_000;
    assert.ok(events.length <= seconds / 2 + 2, `${events.length} in ${seconds} s`);
    const last = /** @type {QualityEvent} */ (events.at(-1)?.event);
    // A single sample says how busy the machine is; what is warned of takes several.
    assert.ok(Number(last.roundTripMs) > 0 && last.waitingMs >= 0, JSON.stringify(last));
    assert.deepEqual([last.reconnects, last.droppedMs], [0, 0]);
    const raised = (await told(page)).flatMap(({ changed }) => changed).map(({ name }) => name);
    assert.ok(!raised.includes("high-rtt") && !raised.includes("uplink-backlog"), raised.join());
    await page.close();
  });

  test("warns of a relay that is far away, and no more when it is near again", async () => {
    const line = await SlowLine.start(relay.port, 1_000_000, 300);
    stage.after(() => line.stop());
    const page = await call(`http://127.0.0.1:${line.port}`);
    await warned(page, "high-rtt", true, 60_000);
    const event = (await told(page)).find(({ changed }) => changed.length > 0);
    assert.ok(Number(event?.roundTripMs) >= 600, JSON.stringify(event));
    assert.deepEqual(event?.changed.map(({ threshold }) => threshold), [400]);
    line.delayMs = 0;
    await warned(page, "high-rtt", false, 60_000);
    await page.close();
  });

  test("warns of words that do not get through, and of them no more when they have", async () => {
    const proxy = await Proxy.start(relay.port);
    stage.after(() => proxy.stop());
    const page = await call(proxy.url);
    proxy.freeze();
    await warned(page, "uplink-backlog", true, 60_000);
    proxy.thaw();
    await warned(page, "uplink-backlog", false, 60_000);
    const last = (await told(page)).at(-1);
    assert.ok(Number(last?.waitingMs) < 2_000, JSON.stringify(last));
    assert.ok(!last?.warnings.includes("uplink-backlog"));
    await page.close();
  });
});
