// @ts-check
// The dashboard, as an administrator sees and uses it: a real relay, real calls, a real browser.

import assert from "node:assert/strict";
import { readFileSync, renameSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, describe, test } from "node:test";

import { PAGES, SCREENS, adminOf, callThatGoesOn, goes, holds, open, overlaps, settles, shows } from "../support/dashboard.mjs";
import { CACHE, install } from "../support/installed.mjs";
import { until } from "../support/relay.mjs";
import { Stage } from "../support/stage.mjs";
import { storyTeller } from "../support/story-teller.mjs";

/** @typedef {import("playwright-core").Page} Page */
/** What `globalThis` holds in the page. @typedef {any} Stub */

describe("the dashboard", () => {
  const stage = new Stage();
  let axe = "";
  before(() => {
    const folder = join(CACHE, "axe");
    install(fileURLToPath(new URL("../../tools/axe", import.meta.url)), folder);
    axe = readFileSync(join(folder, "node_modules", "axe-core", "axe.min.js"), "utf8");
  });
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** A relay with a call that goes on. @param {Record<string, string>} [settings] @param {import("../support/speech.mjs").Part[]} [said] */
  const begin = (settings, said = ["hello", 20]) => callThatGoesOn(stage, said, settings);

  /** What axe finds wrong. @param {Page} page @returns {Promise<string[]>} */
  async function faults(page) {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => /** @type {Stub} */ (globalThis).axe.run());
    return violations.map((/** @type {Stub} */ { id, nodes }) => `${id}: ${nodes.map((/** @type {Stub} */ node) => node.html).join(" ")}`);
  }

  /** Somebody who takes messages: where, and the ids of those that came. */
  async function receiver() {
    /** @type {string[]} */
    const got = [];
    const server = createServer((request, answer) => {
      request.resume();
      got.push(String(request.headers["webhook-id"]));
      answer.writeHead(204).end();
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
    stage.after(() => server.close());
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    return { got, url: `http://127.0.0.1:${port}/` };
  }

  test("takes a token out of the address at once, and keeps it nowhere but in the page", async () => {
    const { relay, browser, origin } = await begin();
    const token = adminOf(relay);
    const { page, complaints } = await open(browser, `${origin}/dashboard#token=${token}`);
    await shows(page, "Overview");
    assert.equal(page.url(), `${origin}/dashboard`);
    const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, document.documentElement.outerHTML]);
    assert.deepEqual(kept.slice(0, 3), [0, 0, ""]);
    assert.ok(!String(kept[3]).includes(token.slice(0, 40)), "the token is in no element");
    await page.reload();
    assert.ok(await page.getByLabel("Access token").isVisible(), "it is forgotten with the page");
    // What is no good token is told, and one of a user who is no administrator.
    for (const [given, words] of [["no.good.token", /good token/], [relay.token("ada"), /administrators' role/]]) {
      await page.getByLabel("Access token").fill(String(given));
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("alert").filter({ hasText: words }).waitFor();
    }
    await page.getByLabel("Access token").fill(token);
    await page.keyboard.press("Enter");
    await shows(page, "Overview");
    await page.getByRole("button", { name: "Sign out" }).click();
    assert.ok(await page.getByLabel("Access token").isVisible());
    assert.deepEqual(complaints, []);
  });

  for (const [name, viewport] of Object.entries(SCREENS)) {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      test(`each of its pages fits on ${name}, ${colorScheme}: no text lies over another, axe finds nothing, the policy has nothing to refuse, and each chart has its table`, async () => {
        const { relay, browser, origin, caller } = await begin();
        await caller.close();
        const session = await relay.endedSession();
        const { page, complaints } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`, { viewport, colorScheme });
        await shows(page, "Overview");
        const pages = { ...PAGES, [`#/call/${session.id}`]: /^Call of/ };
        for (const [hash, title] of Object.entries(pages)) {
          await goes(page, hash);
          await page.getByRole("heading", { level: 1, name: title }).waitFor();
          await settles(page);
          const charts = await page.locator(".plot").count();
          assert.equal(await page.locator(".plot + details table").count(), charts, `${hash}: each has its table`);
          for (const details of await page.locator("details").all()) await details.evaluate((element) => element.setAttribute("open", ""));
          const width = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(width <= viewport.width, `${hash} is ${width} wide`);
          assert.deepEqual(await overlaps(page), [], `${hash}: each text has its place`);
          assert.deepEqual(await faults(page), [], hash);
        }
        assert.deepEqual(complaints, []);
      });
    }
  }

  test("shows a call that goes on, ends it when that is confirmed, and counts it then", async () => {
    const { relay, browser, origin } = await begin();
    const { page } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`);
    await shows(page, "Overview");
    const end = page.getByRole("button", { name: /^End the call of/ });
    await end.click();
    await page.getByRole("button", { name: "Cancel" }).click();
    assert.equal(relay.sessions()[0]?.state, "live", "nothing is done that is not confirmed");
    await end.click();
    await page.getByRole("dialog").getByRole("button", { name: "End the call" }).click();
    assert.equal((await relay.endedSession()).end_reason, "ended_by_operator");
    await page.getByText("Nobody talks to an agent.").waitFor();
    await page.getByLabel("Days (UTC)").selectOption("1");
    await page.locator("dl.tiles > div", { hasText: "Calls" }).getByText("1", { exact: true }).waitFor();
    await page.getByRole("cell", { name: "as wished" }).waitFor();
  });

  test("tells the agent of a call that goes on something to say and something to know, and says what has become of it", async () => {
    const { relay, browser, origin } = await begin();
    const { page, complaints } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`, { viewport: SCREENS["a small phone"] });
    await shows(page, "Overview");
    const session = /** @type {import("../support/relay.mjs").SessionRow} */ (relay.sessions()[0]);
    await goes(page, `#/call/${session.id}`);
    await page.getByRole("heading", { level: 2, name: "Tell the agent" }).waitFor();
    await settles(page);
    await page.getByLabel("To say, word by word").fill("We close in five minutes.");
    await page.getByRole("button", { name: "Have it said" }).click();
    // The agent of the demo says only what it heard.
    const refused = page.locator("#page").getByText("This agent says only what it heard, and cannot be told anything.");
    await refused.waitFor();
    assert.equal(await page.getByLabel("To say, word by word").inputValue(), "We close in five minutes.", "what was not said can be changed");
    await page.getByLabel("To know, without an answer").fill("They have called before.");
    await page.keyboard.press("Enter");
    const given = async () => {
      const answer = await fetch(`${origin}/v1/admin/audit`, { headers: { authorization: `Bearer ${adminOf(relay)}` } });
      const { audit } = /** @type {any} */ (await answer.json());
      return audit.length === 2 && audit.map((/** @type {any} */ deed) => `${deed.by} ${deed.what} ${deed.subject}`);
    };
    const deeds = await until("both are in the audit", given);
    assert.deepEqual(deeds, [`root add_context ${session.id}`, `root say ${session.id}`]);
    await refused.waitFor();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= SCREENS["a small phone"].width, `it is ${width} wide`);
    assert.deepEqual(await faults(page), []);
    assert.deepEqual(complaints, []);
    await page.getByRole("button", { name: "End the call" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "End the call" }).click();
    await relay.endedSession();
    await page.getByRole("heading", { level: 2, name: "Tell the agent" }).waitFor({ state: "detached" });
  });

  test("has the agent told once what is sent again because its answer got lost", async () => {
    const { relay, browser, origin } = await begin();
    const { page } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`);
    await shows(page, "Overview");
    const session = /** @type {import("../support/relay.mjs").SessionRow} */ (relay.sessions()[0]);
    await goes(page, `#/call/${session.id}`);
    await page.getByRole("heading", { level: 2, name: "Tell the agent" }).waitFor();
    const lost = async (/** @type {import("playwright-core").Route} */ route) => {
      await route.fetch();
      await route.abort();
    };
    await page.route("**/say", lost, { times: 1 });
    const say = page.getByRole("button", { name: "Have it said" });
    await page.getByLabel("To say, word by word").fill("We close in five minutes.");
    await say.click();
    await page.locator("#page").getByText("The relay does not answer.").waitFor();
    const refused = page.locator("#page").getByText("This agent says only what it heard, and cannot be told anything.");
    await say.click();
    await refused.waitFor();
    const said = async () => {
      const answer = await fetch(`${origin}/v1/admin/audit?what=say`, { headers: { authorization: `Bearer ${adminOf(relay)}` } });
      return /** @type {any} */ (await answer.json()).audit.length;
    };
    assert.equal(await said(), 1);
    // What was answered is over: the same words are given anew.
    await say.click();
    await until("both are in the audit", async () => (await said()) === 2);
  });

  test("shows what was said in a call and how long answers took, plays its recording, and gives credit for it: all of it is in the audit", async () => {
    const words = "What is the time?";
    const teller = await storyTeller(stage, { story: "It is noon.", words, times: 20 });
    const { relay, browser, origin, caller } = await begin(teller, [2, words, 6, words, 6, words, 6]);
    const asked = await caller.hears(({ name, event }) => name === "transcript" && event.role === "user" && event.last);
    await caller.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last, asked);
    await caller.close();
    const session = await relay.endedSession();
    await relay.recording(session.id);
    const viewport = SCREENS["a small phone"];
    const { page, complaints } = await open(browser, `${origin}/dashboard#token=${adminOf(relay, "voxrelay_reader")}`, { viewport });
    await shows(page, "Overview");
    await goes(page, `#/call/${session.id}`);
    await page.locator(".said .user", { hasText: words }).first().waitFor();
    await page.locator(".said .agent", { hasText: "It is noon." }).first().waitFor();

    // Each answer has a bar, whose pieces are as long as its stages took.
    await page.getByText("As a table").click();
    const answers = await page.locator(".bar").count();
    const rows = page.getByRole("group", { name: "How long its answers took" }).locator("tbody tr");
    assert.ok(answers > 0 && answers === (await rows.count()), `${answers} bars`);
    for (let at = 0; at < answers; at += 1) {
      const cells = await rows.nth(at).locator("td").allTextContents();
      const widths = await page.locator(".bar").nth(at).locator("rect").evaluateAll((pieces) => pieces.map((piece) => Number(piece.getAttribute("width"))));
      assert.deepEqual(widths, cells.slice(0, -1).map((cell) => Number(cell.replace(/[^0-9]/g, ""))), "the bar says what the table says");
    }
    const longest = await page.locator(".bar svg").evaluateAll((bars) => Math.max(...bars.map((bar) => /** @type {Stub} */ (bar).getBBox().width)));
    assert.ok(longest > 0, "something took some time");

    await page.getByRole("button", { name: "Load the recording" }).click();
    const player = page.locator("audio");
    await player.evaluate((element) => /** @type {Stub} */ (element).play());
    await page.waitForFunction(() => /** @type {Stub} */ (document.querySelector("audio")).currentTime > 0);
    assert.ok((await player.evaluate((element) => /** @type {Stub} */ (element).duration)) > 1, "it is there as a whole");
    assert.deepEqual(await faults(page), []);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= viewport.width, `it is ${width} wide`);

    await page.getByRole("button", { name: "Give credit" }).click();
    await page.getByLabel("US dollars").fill("0.00001");
    await page.getByLabel("Why, for administrators").fill("a cough");
    await page.getByRole("button", { name: "Give it" }).click();
    await page.locator("#told", { hasText: "The credit is given." }).waitFor({ state: "attached" });

    // Over time, too, each stage is seen.
    await page.getByRole("link", { name: "Overview" }).click();
    await shows(page, "Overview");
    await page.getByRole("heading", { name: "How long answers took: in all" }).waitFor();
    await page.locator("#stage").selectOption("llm");
    await page.getByRole("heading", { name: "How long answers took: thinking" }).waitFor();
    await settles(page);
    await holds(page, /^stage$/, "the choice keeps it");
    const thinking = await page.locator(".card", { has: page.locator("#stage") }).locator("details tbody").textContent();
    assert.match(String(thinking), /\d ms/);

    await page.getByRole("link", { name: "Audit" }).click();
    await shows(page, "Audit");
    const deeds = await page.locator("tbody tr").evaluateAll((lines) => lines.map((line) => [...line.children].slice(1).map((cell) => cell.textContent)));
    const credit = deeds[0]?.[3];
    assert.deepEqual(deeds, [
      ["root", "Give credit", session.user_sub, credit, "a cough"],
      ["root", "Read recording", session.user_sub, session.id, "–"],
      ["root", "Read transcript", session.user_sub, session.id, "–"],
    ]);
    assert.deepEqual(complaints, []);
  });

  test("says what is missing where a recording cannot be heard: the role, or the recording itself, which is there a moment later", async () => {
    const { relay, browser, origin, caller } = await begin();
    await caller.close();
    const session = await relay.endedSession();
    const file = await relay.recording(session.id);
    // As it is while it is on its way.
    renameSync(file, `${file}.away`);
    /** @param {RegExp} words @param {string[]} roles Beside the administrators'. */
    const hears = async (words, ...roles) => {
      const { page } = await open(browser, `${origin}/dashboard#token=${adminOf(relay, ...roles)}`);
      await shows(page, "Overview");
      await goes(page, `#/call/${session.id}`);
      await page.getByRole("button", { name: "Load the recording" }).click();
      await page.getByRole("alert").filter({ hasText: words }).waitFor();
      return page;
    };
    const closed = await hears(/does not let this token hear what was said/);
    await closed.getByText("This relay does not let this token read what was said.").waitFor();
    const page = await hears(/The recording is not in its place yet/, "voxrelay_reader");
    renameSync(`${file}.away`, file);
    await page.getByRole("button", { name: "Load the recording" }).click();
    await page.locator("audio").waitFor({ state: "attached" });
  });

  test("shows what webhooks were told, and sends it once more when that is confirmed", async () => {
    const { got, url } = await receiver();
    const { relay, browser, origin, caller } = await begin({
      VOXRELAY_WEBHOOKS__CRM__URL: url,
      VOXRELAY_WEBHOOKS__CRM__SECRET: "a secret of the tests, long enough",
      VOXRELAY_WEBHOOKS__CRM__EVENTS: "call.ended",
    });
    await caller.close();
    const session = await relay.endedSession();
    const id = `ended_${session.id}_crm`;
    await until("the receiver has heard of the end", async () => got.length > 0);
    const { page, complaints } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`);
    await shows(page, "Overview");
    await page.getByRole("link", { name: "Webhooks" }).click();
    await shows(page, "Webhooks");
    await page.getByRole("cell", { name: "call.ended", exact: true }).waitFor();
    await page.getByLabel("Event").selectOption("call.started");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.getByText("There is no such message.").waitFor();
    await page.getByLabel("Event").selectOption("");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    const again = page.getByRole("button", { name: /^Send again: call.ended to crm/ });
    await again.click();
    await page.getByRole("dialog").getByText("with what is known now").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    assert.deepEqual(got, [id], "nothing is sent that is not confirmed");
    await again.click();
    await page.getByRole("dialog").getByRole("button", { name: "Send it" }).click();
    await until("it comes once more", async () => got.length > 1);
    assert.deepEqual(got, [id, id], "under the same id");
    assert.deepEqual(complaints, []);
  });

  test("shows whether an alert arrived, and sends it once more when that is confirmed", async () => {
    const { got, url } = await receiver();
    // 5 s of listening.
    const { relay, browser, origin, caller } = await begin({
      VOXRELAY_WEBHOOK__URL: url,
      VOXRELAY_WEBHOOK__SECRET: "a secret of the tests, long enough",
      VOXRELAY_LIMITS__USER_DAY_USD: "0.0004",
    });
    await caller.hears(({ name, event }) => name === "ended" && event.reason === "budget");
    await until("all three thresholds are told", async () => got.length === 3);
    const token = adminOf(relay);
    await until("they are known to have arrived", async () => {
      const answer = await fetch(`${origin}/v1/admin/webhooks?name=webhook&state=delivered`, { headers: { authorization: `Bearer ${token}` } });
      return /** @type {any} */ (await answer.json()).deliveries.length === 3;
    });
    const { page, complaints } = await open(browser, `${origin}/dashboard#token=${token}`);
    await shows(page, "Overview");
    await page.getByRole("link", { name: "Webhooks" }).click();
    await shows(page, "Webhooks");
    await page.getByLabel("Event").selectOption("budget.threshold");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    const row = page.getByRole("row").filter({ has: page.getByRole("cell", { name: "budget.threshold (user, 80 %)", exact: true }) });
    for (const words of ["webhook", "Delivered", "204"]) await row.getByRole("cell", { name: words, exact: true }).waitFor();
    const again = page.getByRole("button", { name: /^Send again: budget.threshold \(user, 80 %\) to webhook/ });
    await again.click();
    await page.getByRole("dialog").getByText("as it was then").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    assert.equal(got.length, 3, "nothing is sent that is not confirmed");
    await again.click();
    await page.getByRole("dialog").getByRole("button", { name: "Send it" }).click();
    await until("it comes once more", async () => got.length > 3);
    assert.equal(new Set(got).size, 3, "under the same id");
    assert.deepEqual(complaints, []);
  });

  test("shows a budget that is spent, sets it and takes that back when that is confirmed", async () => {
    // 10 s of listening.
    const { relay, browser, origin, caller } = await begin({ VOXRELAY_LIMITS__USER_DAY_USD: "0.0008" });
    await caller.hears(({ name, event }) => name === "ended" && event.reason === "budget");
    const { user_sub: user } = await relay.endedSession();
    const { page, complaints } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`, { viewport: SCREENS["a small phone"] });
    await shows(page, "Overview");
    await page.getByRole("link", { name: "Budgets" }).click();
    await shows(page, "Budgets");
    const row = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: `user ${user}`, exact: true }) });
    const [cap, byHand] = [5, 6].map((at) => row.getByRole("cell").nth(at));
    await cap.filter({ hasText: "$0.0008" }).waitFor();
    await page.getByRole("cell", { name: "100 %", exact: true }).waitFor();
    const set = page.getByRole("button", { name: `Set the budget of user ${user}`, exact: true });
    const reset = page.getByRole("button", { name: `Reset the budget of user ${user}`, exact: true });
    assert.equal(await reset.count(), 0, "nothing is set");
    const change = async (/** @type {string} */ usd) => {
      await set.click();
      await page.getByLabel("US dollars").fill(usd);
      await page.getByLabel("Why, for administrators").fill("a good customer");
      await page.getByRole("dialog").getByRole("button", { name: "Set it" }).click();
    };
    for (const wrong of ["much", "1e3", "-1", " "]) {
      await change(wrong);
      await page.locator("#ask-usd:invalid").waitFor();
      // What is written can be changed, and Enter does not take it away.
      await page.getByLabel("Why, for administrators").press("Enter");
      await page.locator("#ask-yes:focus").waitFor();
      assert.equal(await page.getByLabel("Why, for administrators").inputValue(), "a good customer");
      await page.getByRole("button", { name: "Cancel" }).click();
    }
    await page.getByLabel("Spent or set aside").selectOption("");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.getByRole("rowheader", { name: /^account / }).waitFor();
    await change("1.25");
    await byHand.filter({ hasText: "$1.25" }).waitFor();
    await cap.filter({ hasText: "$1.25" }).waitFor();
    await page.waitForFunction((name) => document.activeElement?.getAttribute("aria-label") === name, `Set the budget of user ${user}`);
    // What was set is far from spent.
    await page.getByLabel("Spent or set aside").selectOption("50");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.getByText("There is no such budget.").waitFor();
    await page.getByLabel("Spent or set aside").selectOption("");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await reset.click();
    await page.getByRole("button", { name: "Cancel" }).click();
    await reset.click();
    await page.getByRole("dialog").getByRole("button", { name: "Reset it" }).click();
    await cap.filter({ hasText: "$0.0008" }).waitFor();
    await reset.waitFor({ state: "detached" });
    // One that no call has used yet is set by its name.
    await page.getByRole("button", { name: "Set a budget" }).click();
    await page.getByLabel("Whose").selectOption("account");
    await page.getByLabel("User or account").fill("a/new one");
    await page.getByLabel("US dollars").fill("0");
    await page.getByLabel("Why, for administrators").fill("not yet");
    await page.getByRole("dialog").getByRole("button", { name: "Set it" }).click();
    const given = async () => {
      const answer = await fetch(`${origin}/v1/admin/audit`, { headers: { authorization: `Bearer ${adminOf(relay)}` } });
      const { audit } = /** @type {any} */ (await answer.json());
      return audit.length >= 3 && audit.map((/** @type {any} */ deed) => `${deed.what} ${deed.reason}`);
    };
    const deeds = await until("all of it is in the audit", given);
    // It is in the list although nobody has spent anything of it, and is found by its name.
    const unspent = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "account a/new one", exact: true }) });
    await unspent.waitFor();
    await page.getByLabel("Name", { exact: true }).fill("a/new one");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.getByRole("rowheader", { name: `user ${user}`, exact: true }).waitFor({ state: "detached" });
    await unspent.getByRole("button", { name: "Reset the budget of account a/new one", exact: true }).waitFor();
    assert.deepEqual(deeds, ["set_budget not yet", "reset_budget ", "set_budget a good customer"]);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= SCREENS["a small phone"].width, `it is ${width} wide`);
    assert.deepEqual(complaints, []);
  });

  test("lists what administrators did, by each deed that the relay knows", async () => {
    const { relay, browser, origin, caller } = await begin({ VOXRELAY_API__REQUESTS_PER_MINUTE: "1000" });
    await caller.close();
    await relay.endedSession();
    const headers = { authorization: `Bearer ${adminOf(relay)}`, "content-type": "application/json" };
    for (let at = 0; at < 60; at += 1) {
      const body = JSON.stringify({ kind: "sub", subject: `user-${at}`, reason: "<b>abuse</b>" });
      assert.equal((await fetch(`${origin}/v1/admin/denials`, { method: "POST", headers, body })).status, 201);
    }
    assert.equal((await fetch(`${origin}/v1/admin/denials/sub/user-7`, { method: "DELETE", headers })).status, 204);
    const { page, complaints } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`, { viewport: SCREENS["a small phone"] });
    await shows(page, "Overview");
    await page.getByRole("link", { name: "Audit" }).click();
    await shows(page, "Audit");
    const rows = page.locator("tbody tr");
    assert.equal(await rows.count(), 50);
    assert.match(String(await rows.first().textContent()), /rootAllowuser-7/);
    assert.match(String(await rows.nth(1).textContent()), /rootDenyuser-59.*<b>abuse<\/b>$/);
    const more = page.getByRole("button", { name: "Show more" });
    await more.dblclick();
    await rows.nth(60).waitFor();
    assert.equal(await rows.count(), 61, "no page comes twice");
    await page.getByLabel("Deed").selectOption("allow");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
    await page.getByLabel("Administrator").fill("nobody");
    await page.keyboard.press("Enter");
    await page.getByText("There is no such deed.").waitFor();
    // Each of its choices is one that the relay takes.
    const choices = await page.getByLabel("Deed").locator("option").evaluateAll((options) => options.map((option) => /** @type {Stub} */ (option).value));
    assert.ok(choices.length > 10 && choices.includes("read_recording"), choices.join());
    for (const what of choices.filter((word) => word !== "")) {
      assert.equal((await fetch(`${origin}/v1/admin/audit?what=${what}`, { headers })).status, 200, what);
    }
    assert.deepEqual(complaints, []);
  });

  test("denies a user, and what a user is called is a text and nothing else", async () => {
    const { relay, browser, origin, caller } = await begin();
    await caller.close();
    const session = await relay.endedSession();
    const { page } = await open(browser, `${origin}/dashboard#token=${adminOf(relay)}`);
    await shows(page, "Overview");
    await page.getByRole("link", { name: "Sessions" }).click();
    await page.getByRole("link", { name: new RegExp(`^${session.user_sub}`) }).click();
    await page.getByRole("heading", { level: 1, name: `Call of ${session.user_sub}` }).waitFor();
    await page.getByRole("button", { name: "Deny the user" }).click();
    await page.getByLabel("Why, for administrators").fill("<img src=x onerror=alert(1)>");
    await page.getByRole("dialog").getByRole("button", { name: "Deny the user" }).click();
    const denied = async () => {
      const answer = await fetch(`${origin}/v1/admin/denials`, { headers: { authorization: `Bearer ${adminOf(relay)}` } });
      return /** @type {any} */ (await answer.json()).denials.find((/** @type {any} */ entry) => entry.subject === session.user_sub);
    };
    assert.equal((await until("the user is denied", denied)).reason, "<img src=x onerror=alert(1)>");
  });
});
