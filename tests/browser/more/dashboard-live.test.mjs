// @ts-check
// The dashboard while things change beneath whoever uses it: what they are at stays, and what is old is said to be old.

import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "../support/chromium.mjs";
import { adminOf, goes, held, holds, open, settles, shows } from "../support/dashboard.mjs";
import { breakStream, liveCall, mendStream, setHasty, takeStream, tellLive } from "../support/live-calls.mjs";
import { Relay, until } from "../support/relay.mjs";
import { Stage } from "../support/stage.mjs";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {import("playwright-core").Route} Route */
/** What `globalThis` holds in the page. @typedef {any} Stub */

/** When what is shown was read or was live last. */
const TIME = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(UTC\)`;
const NOT_LIVE = new RegExp(`^Not live any more, since ${TIME}\\. `);
const OF_BEFORE = new RegExp(`What is shown was read before, at ${TIME}\\.`);

describe("the dashboard, while things change", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** The overview, whose stream of live calls the test tells. @param {boolean} [isHasty] See `takeStream`. */
  async function begin(isHasty = false) {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const browser = await launch(stage);
    const address = `http://127.0.0.1:${relay.port}/dashboard#token=${adminOf(relay)}`;
    const { page, complaints } = await open(browser, address, {}, (opened) => takeStream(opened, isHasty));
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    return { page, complaints };
  }

  /** @param {Page} page @param {string} name */
  const endOf = (page, name) => page.getByRole("button", { name: `End the call of user-${name}`, exact: true });

  /** Of requests at this address, whatever they ask for. @param {string} path @returns {(address: URL) => boolean} */
  const at = (path) => (address) => address.pathname === path;

  /** Answers what is asked for in the place of the relay, or not at all while there is nothing to answer. */
  function answers() {
    const given = {
      /** @type {object | undefined} */
      json: undefined,
      asked: 0,
      /** Resolved when what waits may be answered. */
      until: Promise.resolve(),
      /** Has whoever asks wait until what this gives is called. @returns {() => void} */
      hold() {
        let release = () => {};
        given.until = new Promise((resolve) => (release = resolve));
        return release;
      },
      /** @param {Route} route @returns {Promise<void>} */
      async route(route) {
        given.asked += 1;
        await given.until;
        if (given.json === undefined) await route.abort();
        else await route.fulfill({ json: given.json });
      },
    };
    return given;
  }

  test("the list of live calls keeps focus and selection while it changes", async () => {
    const { page, complaints } = await begin();
    const [anna, ben, cleo] = ["anna", "ben", "cleo"].map((name) => liveCall(name));
    await tellLive(page, anna, ben);
    await page.evaluate(() => getSelection()?.selectAllChildren(/** @type {Element} */ (document.querySelector("a[data-of='call live-ben']"))));
    // A call begins above it, one ends, and its own row has another cost.
    await tellLive(page, cleo, liveCall("ben", 3_000_000));
    assert.equal(await page.evaluate(() => getSelection()?.toString()), "user-ben");
    await endOf(page, "ben").focus();
    await page.evaluate(() => void Object.assign(/** @type {Element} */ (document.activeElement), { isSame: true }));
    await tellLive(page, anna, cleo, liveCall("ben", 4_000_000));
    assert.ok(await page.evaluate(() => /** @type {Stub} */ (document.activeElement).isSame), "it is not even made anew");
    await tellLive(page, anna, cleo);
    await holds(page, /^main$/, "what had it is gone");
    assert.deepEqual(complaints, []);
  });

  test("the list of live calls stays when its stream breaks, with a question that is open over it, and is said to be old", async () => {
    const { page, complaints } = await begin();
    const [anna, ben, cleo] = ["anna", "ben", "cleo"].map((name) => liveCall(name));
    await tellLive(page, anna, ben);
    const note = page.getByRole("alert").filter({ hasText: NOT_LIVE });
    await endOf(page, "ben").focus();
    await breakStream(page);
    await note.filter({ hasText: "The connection to the relay broke off. It is asked for again." }).waitFor();
    await holds(page, /^End the call of user-ben$/, "the list is there still");
    const since = String(await note.textContent()).slice(0, 50);
    await note.filter({ hasText: "The relay does not answer." }).waitFor();
    assert.equal(String(await note.textContent()).slice(0, 50), since, "it was live until the first time");
    await mendStream(page);
    await note.waitFor({ state: "detached" });

    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByText("The call of user-ben ends at once").waitFor();
    await breakStream(page);
    await page.locator("[role=alert]", { hasText: NOT_LIVE }).waitFor();
    assert.equal(await page.locator("[aria-labelledby='live-title'] tbody tr").count(), 2);
    await page.keyboard.press("Escape");
    await holds(page, /^End the call of user-ben$/, "it comes back from the question");
    await mendStream(page);
    await note.waitFor({ state: "detached" });

    // What is asked about is another one's, and gone, when the question is answered.
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await tellLive(page, cleo, anna);
    assert.ok(await page.getByRole("dialog").getByText("The call of user-ben ends at once").isVisible());
    await page.keyboard.press("Escape");
    await holds(page, /^main$/, "what had it is gone");
    assert.deepEqual(complaints, []);
  });

  test("a stream that is silent for too long is broken, and asked for again", async () => {
    const { page } = await begin(true);
    const note = page.getByRole("alert").filter({ hasText: "The relay has said nothing for too long." });
    await page.getByText("The live calls cannot be read at the moment.").waitFor();
    const asked = await setHasty(page, false);
    await page.waitForFunction((before) => /** @type {Stub} */ (globalThis).live.asked > before, asked);
    await tellLive(page, liveCall("anna"));
    await setHasty(page, true);
    // The silence is counted from the last line on.
    await tellLive(page, liveCall("anna", 5_000_000));
    await note.filter({ hasText: NOT_LIVE }).waitFor();
    await endOf(page, "anna").waitFor();
  });

  test("a question does not take the place of one that is open", async () => {
    const { page } = await begin();
    const end = answers();
    const release = end.hold();
    await page.route(at("/v1/admin/sessions/live-anna/end"), end.route);
    await tellLive(page, liveCall("anna"), liveCall("ben"));
    const dialog = page.getByRole("dialog");
    await endOf(page, "anna").click();
    await dialog.getByRole("button", { name: "End the call" }).click();
    await until("the order is given", async () => end.asked === 1);
    await endOf(page, "ben").click();
    await dialog.getByText("The call of user-ben ends at once").waitFor();
    release();
    // Its answer is lost, and whoever is asked about another call is not told in the middle of it.
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 500)));
    assert.ok(await dialog.getByText("The call of user-ben ends at once").isVisible());
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.getByRole("heading", { name: "It may not have been done" }).waitFor();
    await dialog.getByRole("button", { name: "Understood" }).click();
    await dialog.waitFor({ state: "hidden" });
    assert.equal(end.asked, 1, "the other call is not ended by that");
  });

  /** The page of a live call whose row the test changes. */
  async function beginCall() {
    const session = { ...liveCall("anna"), state: "live", end_reason: /** @type {string | null} */ (null), ended_at: /** @type {string | null} */ (null), reconnects: 0, rtt_avg_us: 40_000, rtt_max_us: 90_000, lost_samples: 0, client: "web", relay: "r1", recorded: true };
    const row = answers();
    row.json = session;
    const { page } = await begin();
    await page.route(at("/v1/admin/sessions/live-anna"), row.route);
    await goes(page, "#/call/live-anna");
    await page.getByRole("heading", { level: 1, name: "Call of user-anna" }).waitFor();
    await settles(page);
    const tile = (/** @type {string} */ name, /** @type {string} */ value) => page.locator("dl.tiles > div", { hasText: name }).getByText(value, { exact: true }).waitFor();
    return { page, session, row, tile };
  }

  test("the page of a live call goes on with it, and what is written there stays when the relay is away and when the call ends", async () => {
    const { page, session, row, tile } = await beginCall();
    await page.getByLabel("To say, word by word").pressSequentially("We close in ");
    session.reconnects = 3;
    await tile("Reconnects", "3");
    const isHere = async () => {
      assert.equal(await held(page), "tell-say");
      assert.equal(await page.getByLabel("To say, word by word").inputValue(), "We close in ");
    };
    await isHere();
    await page.getByText("It can be heard once the call is over.").waitFor();
    row.json = undefined;
    const note = page.getByRole("alert").filter({ hasText: NOT_LIVE });
    await note.waitFor();
    await tile("Reconnects", "3");
    await isHere();
    row.json = session;
    await note.waitFor({ state: "detached" });
    Object.assign(session, { state: "ended", end_reason: "client_gone", ended_at: "2026-11-28T12:05:00.000Z" });
    await tile("State", "client gone");
    await page.getByText("This call is over: its agent can be told nothing more.").waitFor();
    await isHere();
    await page.getByRole("button", { name: "Load the recording" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "End the call" }).count(), 0);
    assert.equal(await page.getByRole("button", { name: "Listen in" }).count(), 0, "nobody listened");
  });

  for (const [what, status] of Object.entries({ "takes long": 204, "gets no answer": 0 })) {
    test(`a call whose order to end ${what} is not shown as live once it is over`, async () => {
      const { page, session, row, tile } = await beginCall();
      /** @type {(string | undefined)[]} */
      const keys = [];
      await page.route(at("/v1/admin/sessions/live-anna/end"), async (route) => {
        keys.push(route.request().headers()["idempotency-key"]);
        if (status === 0) await route.abort();
        else await route.fulfill({ status });
      });
      const end = page.getByRole("button", { name: "End the call", exact: true });
      await end.click();
      await page.getByRole("dialog").getByRole("button", { name: "End the call" }).click();
      if (status === 0) {
        await page.getByRole("dialog").getByRole("heading", { name: "It may not have been done" }).waitFor();
        await page.getByRole("dialog").getByRole("button", { name: "Understood" }).click();
      }
      await until("it is ordered", async () => keys.length === 1);
      assert.match(String(keys[0]), /^[0-9a-f]{32}$/, "a proxy may send it twice");
      const asked = row.asked;
      await until("the call is looked at again", async () => row.asked > asked);
      await tile("State", "live");
      Object.assign(session, { state: "ended", end_reason: "ended_by_operator", ended_at: "2026-11-28T12:05:00.000Z" });
      await tile("State", "ended by operator");
      await end.waitFor({ state: "detached" });
      await page.getByRole("heading", { level: 2, name: "Tell the agent" }).waitFor({ state: "detached" });
    });
  }

  test("a credit of which nobody knows whether it was given is given again under its key, with its words in the question", async () => {
    const { page } = await begin();
    await tellLive(page);
    // Its answer gets lost; then the token is too old, which says nothing of the time before; then it is given, and so is the same once more.
    const statuses = [0, 401, 201, 201];
    /** @type {{ key: string, header: string | undefined, credit: object }[]} */
    const asked = [];
    await page.route(at("/v1/admin/credits"), async (route) => {
      const { key, account, amount_nano_usd, reason } = route.request().postDataJSON();
      asked.push({ key, header: route.request().headers()["idempotency-key"], credit: { account, amount_nano_usd, reason } });
      const status = statuses[asked.length - 1];
      if (status === 0) await route.abort();
      else await route.fulfill({ status, json: {} });
    });
    await page.getByRole("link", { name: "Spend" }).click();
    await shows(page, "Spend");
    const dialog = page.getByRole("dialog");
    const fields = { Account: "acme", "US dollars": "1.25", "Why, for administrators": "a cough" };
    /** @param {string} [refused] The heading of what is said if it is not known to be given. @param {boolean} [isWritten] Whether its words stand there. */
    const give = async (refused, isWritten = false) => {
      const before = asked.length;
      await page.getByRole("button", { name: "Give credit" }).click();
      for (const [label, value] of Object.entries(fields)) {
        const field = dialog.getByLabel(label);
        assert.equal(await field.inputValue(), isWritten ? value : "", label);
        await field.fill(value);
      }
      await dialog.getByRole("button", { name: "Give it" }).click();
      await until("it is asked for", async () => asked.length > before);
      if (refused) {
        await dialog.getByRole("heading", { name: refused }).waitFor();
        await dialog.getByRole("button", { name: "Understood" }).click();
      }
      await dialog.waitFor({ state: "hidden" });
    };
    await give("It may not have been done");
    await give("It was not done", true);
    await give(undefined, true);
    await page.locator("#told", { hasText: "The credit is given." }).waitFor({ state: "attached" });
    await give();
    const [first, ...others] = asked.map(({ key }) => key);
    assert.deepEqual(others.map((key) => key === first), [true, true, false], "what is known to be given is over");
    for (const { key, header, credit } of asked) {
      assert.equal(header, key);
      assert.deepEqual(credit, { account: "acme", amount_nano_usd: 1_250_000_000, reason: "a cough" });
    }
  });

  test("a list that cannot be read anew stays, is said to be of before, and has the focus where it was when it can", async () => {
    const { page } = await begin();
    const list = answers();
    list.json = { sessions: ["anna", "ben"].map((name) => ({ ...liveCall(name), state: "ended", end_reason: "normal", reconnects: 0 })), next: null };
    await page.route(at("/v1/admin/sessions"), list.route);
    await page.getByRole("link", { name: "Sessions" }).click();
    await shows(page, "Sessions");
    const ben = page.getByRole("link", { name: /^user-ben, 2026-11-28 12:00:00 UTC$/ });
    await ben.waitFor();
    const given = list.json;
    list.json = undefined;
    await page.getByLabel("Account").fill("account-b");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: OF_BEFORE }).waitFor();
    assert.equal(await page.locator("tbody tr").count(), 2);
    assert.equal(await held(page), "by-account");
    list.json = given;
    const release = list.hold();
    await page.keyboard.press("Enter");
    await ben.focus();
    release();
    await page.getByRole("alert").filter({ hasText: OF_BEFORE }).waitFor({ state: "detached" });
    await holds(page, /^user-ben, /, "the row is there again");
    assert.equal(await page.getByLabel("Account").inputValue(), "account-b");
  });

  test("budgets are shown without the thresholds, and a question stays open while they are read anew", async () => {
    const { page } = await begin();
    const [list, alerts] = [answers(), answers()];
    const budget = { scope: "user", user_sub: "ada", account: null, period: "2026-11-28", spent_nano_usd: 8e8, reserved_nano_usd: 0, left_nano_usd: 2e8, cap_nano_usd: 1e9, set_nano_usd: null };
    list.json = { budgets: [budget], next: null };
    await page.route(at("/v1/admin/budgets"), list.route);
    await page.route(at("/v1/admin/alerts"), alerts.route);
    await page.getByRole("link", { name: "Budgets" }).click();
    await shows(page, "Budgets");
    await page.getByRole("alert").filter({ hasText: "The relay does not answer." }).waitFor();
    const set = page.getByRole("button", { name: "Set the budget of user ada", exact: true });
    await set.waitFor();
    const release = list.hold();
    const asked = list.asked;
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await until("the list is asked for", async () => list.asked > asked);
    await set.click();
    await page.getByLabel("Why, for administrators").fill("a good customer");
    list.json = { budgets: [{ ...budget, spent_nano_usd: 9e8 }], next: null };
    release();
    await page.locator("tbody tr", { hasText: "$0.9000" }).waitFor();
    assert.equal(await page.getByLabel("Why, for administrators").inputValue(), "a good customer");
    await page.keyboard.press("Escape");
    await holds(page, /^Set the budget of user ada$/, "what was pressed was replaced meanwhile");
  });

  test("the figures of other days that cannot be read leave those that are shown, with the choice that belongs to them", async () => {
    const { page } = await begin();
    await tellLive(page);
    await shows(page, "Overview");
    const days = page.getByLabel("Days (UTC)");
    await page.locator("summary[data-of='summary Minutes']").click();
    const table = page.getByRole("group", { name: "Minutes", exact: true });
    await table.waitFor();
    const figures = at("/v1/admin/overview");
    await page.route(figures, (route) => route.abort());
    await days.selectOption("30");
    await page.getByRole("alert").filter({ hasText: OF_BEFORE }).waitFor();
    assert.equal(await days.inputValue(), "7");
    await page.unroute(figures);
    await days.selectOption("30");
    await page.locator("#told", { hasText: "30 days are shown." }).waitFor({ state: "attached" });
    await page.getByRole("alert").filter({ hasText: OF_BEFORE }).waitFor({ state: "detached" });
    assert.ok(await table.isVisible(), "what was opened is open");
  });

  test("on a small phone the names of the pages scroll away, and cover nothing that has the focus", async () => {
    const { page } = await begin();
    await page.setViewportSize({ width: 320, height: 568 });
    await tellLive(page, ...Array.from({ length: 20 }, (_, at) => liveCall(String(at))));
    await endOf(page, "19").focus();
    assert.ok((await page.locator("header.top").evaluate((header) => header.getBoundingClientRect().bottom)) <= 0);
  });
});
