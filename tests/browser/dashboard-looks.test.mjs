// @ts-check
// How the dashboard looks: a real relay and a real browser, with figures and lists that the test says.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { PAGES, SCREENS, adminOf, goes, open, shows } from "./support/dashboard.mjs";
import { brokenNames, unevenRows } from "./support/lines.mjs";
import { liveCall, takeStream, tellLive } from "./support/live-calls.mjs";
import { Relay } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";

/** @typedef {import("playwright-core").Page} Page */
/** What `globalThis` holds in the page. @typedef {any} Stub */

const TIME = "2026-11-28T12:00:00.000Z";
const SESSION = {
  ...{ id: "s1", user_sub: "ada", account: "acme", plan: null, agent: "echo", client: "a browser", relay: "", state: "live", started_at: TIME, ended_at: null, end_reason: null },
  ...{ cost_nano_usd: 2e6, reconnects: 0, rtt_avg_us: 20_000, rtt_max_us: 30_000, lost_samples: 0, rating: null, comment: null, recorded: true },
};
const BUDGET = { scope: "user", user_sub: "ada", account: null, period: "2026-11-28", spent_nano_usd: 8e8, reserved_nano_usd: 0, left_nano_usd: 2e8, cap_nano_usd: 1e9, set_nano_usd: 1e9 };
const DELIVERY = { id: "d1", created_at: TIME, name: "crm", event: "call.ended", session_id: "s1", state: "given_up", attempts: 12, answer: "the receiver answered 500" };
const ALERT = { id: "a1", created_at: TIME, name: "webhook", event: "budget.threshold", about: "account, 100 %", session_id: null, state: "waiting", attempts: 3, answer: "no answer" };

/** What the relay would answer if it had a row for each list. @type {Record<string, object>} */
const ANSWERS = {
  "/v1/admin/budgets": { budgets: [BUDGET, { ...BUDGET, user_sub: "ben", set_nano_usd: null }], next: null },
  "/v1/admin/alerts": { alerts: [] },
  "/v1/admin/sessions": { sessions: [SESSION, { ...SESSION, id: "s2", state: "ended", end_reason: "normal" }], next: null },
  "/v1/admin/sessions/s1": SESSION,
  "/v1/admin/sessions/s1/transcript": { turns: [], next: null },
  "/v1/admin/webhooks": { deliveries: [ALERT, DELIVERY], next: "more" },
  "/v1/admin/audit": { audit: [{ at: TIME, by: "root", what: "deny", user_sub: "ada", subject: "ada", reason: "a reason that is so long that it has several lines on every screen that there is" }], next: null },
};
/** Its pages, with the headings of theirs. */
const ALL_PAGES = { ...PAGES, "#/call/s1": "Call of ada" };

describe("the looks of the dashboard", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** The overview. @param {import("playwright-core").BrowserContextOptions} [screen] @param {(page: Page) => Promise<unknown>} [prepare] What is done before the page is asked for. */
  async function begin(screen, prepare) {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const { page, complaints } = await open(browser, `http://127.0.0.1:${relay.port}/dashboard#token=${adminOf(relay)}`, screen, prepare);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    return { page, complaints };
  }

  for (const [name, viewport] of Object.entries(SCREENS)) {
    test(`on ${name} the texts of a row stand on one line, and no button's name is broken`, async () => {
      const { page } = await begin({ viewport }, async (opened) => {
        await takeStream(opened);
        for (const [path, json] of Object.entries(ANSWERS)) await opened.route((address) => address.pathname === path, (route) => route.fulfill({ json }));
      });
      await tellLive(page, liveCall("anna"), liveCall("ben"));
      let buttons = 0;
      for (const [hash, title] of Object.entries(ALL_PAGES)) {
        await goes(page, hash);
        await shows(page, title);
        for (const details of await page.locator("details").all()) await details.evaluate((element) => element.setAttribute("open", ""));
        assert.deepEqual(await unevenRows(page), [], hash);
        assert.deepEqual(await brokenNames(page), [], hash);
        buttons += await page.locator("td button").count();
      }
      assert.equal(buttons, 7, "two calls end, two budgets are set and one of them is reset, and two messages are sent again");
    });
  }

  test("a list and a transcript say how many rows cannot be read, and not that there are none", async () => {
    const { page, complaints } = await begin({}, async (opened) => {
      const some = { ...ANSWERS, "/v1/admin/audit": { audit: [], next: null, damaged: 1 }, "/v1/admin/sessions/s1/transcript": { turns: [], next: null, damaged: 2 } };
      for (const [path, json] of Object.entries(some)) await opened.route((address) => address.pathname === path, (route) => route.fulfill({ json }));
    });
    for (const [hash, title, words] of [["#/audit", "Audit", "1 cannot be read, and is left out"], ["#/call/s1", "Call of ada", "2 cannot be read, and are left out"]]) {
      await goes(page, hash);
      await shows(page, title);
      await page.locator("p.wrong", { hasText: words }).waitFor();
      assert.equal(await page.getByText(/^(Nothing was said|There is no such)/).count(), 0, hash);
    }
    assert.deepEqual(complaints, []);
  });

  test("no axis of a chart has the same words at two marks, however little or much there is to show", async () => {
    let most = 0;
    const { page, complaints } = await begin({}, async (opened) => {
      await opened.addInitScript(noteMarks);
      await opened.route((address) => address.pathname === "/v1/admin/overview", (route) => route.fulfill({ json: figuresUpTo(most) }));
    });
    for (const [at, next] of [0.004, 0.15, 0.4, 1, 1.2, 3, 7, 40, 2_000, 0].entries()) {
      most = next;
      const days = at % 2 === 0 ? "30" : "90";
      await page.getByLabel("Days (UTC)").selectOption(days);
      await page.locator("#told", { hasText: `${days} days are shown.` }).waitFor({ state: "attached" });
      await shows(page, "Overview");
      // Each chart is painted in a frame of its own.
      await page.waitForFunction(() => {
        const painted = [...document.querySelectorAll(".card .plot canvas")];
        return painted.length === 5 && painted.every((canvas) => /** @type {Stub} */ (globalThis).marksOf(canvas).length > 0);
      });
      const charts = await page.locator(".card:has(.plot)").evaluateAll((cards) =>
        cards.map((card) => ({ title: card.querySelector("h2")?.textContent, marks: /** @type {string[]} */ (/** @type {Stub} */ (globalThis).marksOf(card.querySelector("canvas"))) })),
      );
      assert.equal(charts.length, 5);
      for (const { title, marks } of charts) {
        assert.ok(marks.length >= 2, `${title}, up to ${most}: ${marks.join()}`);
        assert.deepEqual(marks, [...new Set(marks)], `${title}, up to ${most}`);
      }
    }
    assert.deepEqual(complaints, []);
  });

  test("the legend of a chart has no lines but around its colours", async () => {
    const { page } = await begin({}, (opened) => opened.route((address) => address.pathname === "/v1/admin/overview", (route) => route.fulfill({ json: figuresUpTo(7) })));
    await page.locator(".u-legend .u-marker").first().waitFor({ state: "attached" });
    const lined = await page.locator(".u-legend, .u-legend *:not(.u-marker)").evaluateAll((parts) =>
      parts.filter((part) => /[1-9]/.test(getComputedStyle(part).borderWidth)).map((part) => `${part.tagName} ${part.textContent}`),
    );
    assert.deepEqual(lined, []);
    assert.ok((await page.locator(".u-legend .u-marker").count()) > 0, "there is a legend");
  });
});

/** Has the page keep what is written at the marks of upright axes: to the left of them, so that it ends there. */
function noteMarks() {
  const { clearRect, fillText } = CanvasRenderingContext2D.prototype;
  /** @type {WeakMap<HTMLCanvasElement, string[]>} */
  const marks = new WeakMap();
  Object.assign(CanvasRenderingContext2D.prototype, {
    /** @this {CanvasRenderingContext2D} @param {Parameters<typeof clearRect>} place */
    clearRect(...place) {
      marks.set(this.canvas, []);
      clearRect.apply(this, place);
    },
    /** @this {CanvasRenderingContext2D} @param {[text: string, x: number, y: number]} written */
    fillText(...written) {
      if (this.textAlign === "right") marks.get(this.canvas)?.push(written[0]);
      fillText.apply(this, written);
    },
  });
  Object.assign(globalThis, { marksOf: (/** @type {HTMLCanvasElement} */ canvas) => marks.get(canvas) ?? [] });
}

/** What the overview is made of: calls, minutes, hundredths of a cent and milliseconds, none of which is more than this. @param {number} most */
function figuresUpTo(most) {
  const series = [0, 0.5, 1].map((part, at) => ({
    at: `2026-11-2${at}T00:00:00.000Z`,
    calls: Math.ceil(part * most),
    failed: 0,
    reconnects: 0,
    seconds: 60 * part * most,
    cost_nano_usd: Math.round(100_000 * part * most),
    stages: [{ stage: "total", turns: 1, p50_ms: part * most, p95_ms: part * most, p99_ms: part * most }],
  }));
  const { calls, seconds, cost_nano_usd } = series[2];
  return { total: { calls, seconds, cost_nano_usd, failed: 0, reconnects: 0, interrupted: 0, answers: 0, stages: [] }, series, endings: [] };
}
