// @ts-check
// What the element does with presses, keys, words and errors: without a relay, by calls that are in whatever state the test says.

import assert from "node:assert/strict";
import { after, before, afterEach, describe, test } from "node:test";

import { launch } from "./support/chromium.mjs";
import { STATES, connect, of, openElement, set, tell } from "./support/element-states.mjs";
import { until } from "./support/relay.mjs";
import { Stage } from "./support/stage.mjs";

/** @typedef {import("playwright-core").Page} Page */

describe("the element", () => {
  const stage = new Stage();
  /** @type {import("playwright-core").Browser} */
  let browser;
  before(async () => void (browser = await launch(stage)));
  afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));
  after(() => stage.clear());

  /** @param {Parameters<typeof openElement>[1]} [options] */
  const open = async (options) => openElement(await browser.newContext({ reducedMotion: "reduce", permissions: ["microphone"] }), options);
  /** @param {Page} page */
  const state = (page) => page.locator("voice-call").getAttribute("state");
  /** @param {Page} page @param {string} wanted */
  const reaches = (page, wanted) => until(`it is ${wanted}`, async () => (await state(page)) === wanted);
  /** How many calls were made. @param {Page} page */
  const made = (page) => page.evaluate(() => /** @type {any} */ (globalThis).calls.length);
  /** Presses the button and waits until so many calls were made, which is a moment later. @param {Page} page @param {number} count */
  const presses = async (page, count) => {
    await page.locator(".call").click();
    await until("a call is made", async () => (await made(page)) === count);
  };
  /** What has the focus. @param {Page} page */
  const focused = (page) => page.evaluate(() => document.querySelector("voice-call")?.shadowRoot?.activeElement?.className ?? "");
  /** Waits until this has the focus: what is fetched or asked first hands it on a moment after the key. @param {Page} page @param {string} wanted @param {string} [why] */
  const focuses = (page, wanted, why = "") => until(`\`${wanted}\` has the focus ${why}`.trimEnd(), async () => (await focused(page)) === wanted);
  /** @param {Page} page */
  const lines = (page) => page.locator("li span:last-child").allTextContents();

  test("it says within a call, and only then, that it is recorded, listened to, or goes over HTTP", async () => {
    const page = await open();
    const told = () => page.locator(".badge:visible").allTextContents();
    await connect(page);
    await reaches(page, "connected");
    assert.deepEqual(await told(), []);
    await tell(page, "change", { transport: "http" });
    await until("the way is shown", async () => (await told()).join() === "Over HTTP");
    await tell(page, "change", { session: { sessionId: "session-1", recording: true } });
    await until("both are shown", async () => (await told()).join() === "Recorded,Over HTTP");
    await tell(page, "tell", "listened", { listening: true });
    await until("that somebody listens goes first", async () => (await told()).join() === "Listened to,Over HTTP");
    await tell(page, "change", { transport: "websocket" });
    await until("the way is a usual one again", async () => (await told()).join() === "Listened to");
    await tell(page, "change", { transport: "http" });
    await tell(page, "end", "normal");
    await reaches(page, "closed");
    assert.deepEqual(await told(), []);
  });

  test("a whole call by the keyboard alone", async () => {
    const page = await open({ attributes: "consent" });
    await page.keyboard.press("Tab");
    await focuses(page, "call");
    await page.keyboard.press("Enter");
    await focuses(page, "main", "so that whoever is asked can answer at once");
    await page.keyboard.press("Escape");
    await focuses(page, "call");
    await reaches(page, "idle");
    await page.keyboard.press("Enter");
    await focuses(page, "main");
    await page.keyboard.press("Enter");
    await reaches(page, "starting");
    await focuses(page, "call");
    await tell(page, "answer");
    await reaches(page, "connected");
    await tell(page, "say", "agent", 1, "Hello");
    /** @type {string[]} */
    const order = [];
    await page.locator(".settings").waitFor();
    await page.locator(".settings").focus();
    for (let step = 0; step < 4; step++) {
      order.push(await focused(page));
      await page.keyboard.press("Tab");
    }
    assert.deepEqual(order, ["settings", "mute", "call", "mode"]);
    await page.locator(".mode").focus();
    await page.keyboard.press("Enter");
    await focuses(page, "", "which is the field's, that has no class");
    await page.keyboard.type("Hello");
    await page.keyboard.press("Enter");
    await until("it is sent", async () => (await of(page, "typed")).length > 0);
    assert.deepEqual(await of(page, "typed"), ["Hello"]);
    await page.locator(".call").focus();
    await page.keyboard.press("Enter");
    await until("it is hung up", async () => (await of(page, "closes")).length > 0);
    await tell(page, "end", "normal");
    await reaches(page, "closed");
    const back = [];
    for (let step = 0; step < 3; step++) {
      await page.keyboard.press("Shift+Tab");
      back.push(await focused(page));
    }
    assert.deepEqual(back, ["send", "", "thumb down"]);
    await page.keyboard.press("Space");
    await until("it is rated", async () => (await of(page, "ratings")).length > 0);
    assert.deepEqual(await of(page, "ratings"), [{ rating: 1 }]);
  });

  test("a screen reader hears each answer once and whole, how the call stands, and what went wrong", async () => {
    const page = await open();
    const spoken = page.locator("[aria-live=polite]");
    await page.locator(".call").hover();
    await spoken.waitFor({ state: "attached" });
    const status = page.locator("p.sr[role=status]");
    await page.evaluate(() => {
      const heard = /** @type {string[]} */ ([]);
      Object.assign(globalThis, { heard });
      const root = /** @type {ShadowRoot} */ (document.querySelector("voice-call")?.shadowRoot);
      for (const node of root.querySelectorAll("p.sr")) new MutationObserver(() => heard.push(String(node.textContent))).observe(node, { childList: true });
    });
    await connect(page);
    await tell(page, "say", "agent", 1, "Hel", false);
    await tell(page, "say", "agent", 1, "Hello", false);
    await tell(page, "change", { agent: "speaking" });
    assert.equal(await spoken.textContent(), "");
    await tell(page, "say", "agent", 1, "Hello!");
    await tell(page, "say", "user", 2, "Good day");
    await tell(page, "change", { agent: "listening" });
    assert.equal(await spoken.textContent(), "Hello!");
    assert.equal(await status.textContent(), "Connected");
    await tell(page, "complain", "microphone_silent");
    assert.match(await page.locator("[role=alert]").innerText(), /^Your microphone is silent/);
    const heard = await page.evaluate(() => /** @type {any} */ (globalThis).heard);
    assert.deepEqual(heard.filter((/** @type {string} */ text) => !/^(Starting|Connecting)/.test(text)), ["Connected", "Hello!"]);
  });

  test("what is typed waits for the call, stands there once, and is in the field again if it will not arrive", async () => {
    const page = await open({ attributes: 'mode="text"' });
    await page.locator("input").fill("  Hello  ");
    await page.keyboard.press("Enter");
    await reaches(page, "starting");
    assert.equal(await page.evaluate(() => /** @type {any} */ (globalThis).calls[0].options.microphone), false);
    assert.deepEqual([await lines(page), await of(page, "typed")], [["Hello"], []]);
    await tell(page, "answer");
    await until("it is sent", async () => (await of(page, "typed")).length === 1);
    await tell(page, "say", "user", 1, "Hello");
    assert.deepEqual(await lines(page), ["Hello"]);
    await page.locator("input").fill("<b>one</b>");
    await page.locator(".send").click();
    assert.equal(await focused(page).then(() => page.evaluate(() => document.querySelector("voice-call")?.shadowRoot?.activeElement?.tagName)), "INPUT");
    await tell(page, "tell", "undelivered", { message: { type: "text", text: "<b>one</b>" } });
    assert.equal(await page.locator("input").inputValue(), "<b>one</b>");
    await page.evaluate(() => void (/** @type {any} */ (globalThis).calls[0].refusal = "messages_full"));
    await page.keyboard.press("Enter");
    await until("it says so", async () => /^Too much waits/.test(await page.locator("[role=alert]").innerText()));
    assert.equal(await page.locator("input").inputValue(), "<b>one</b>");
    await page.locator(".dismiss").click();
    assert.equal(await page.locator("[role=alert]").innerText(), "");
    await page.locator("input").fill(" ");
    await page.keyboard.press("Enter");
    assert.deepEqual(await lines(page), ["Hello"], "a blank is nothing");
  });

  test("text mutes and closes the microphone and voice opens it, asking first, and a refused one goes back to text", async () => {
    const page = await open({ attributes: "consent" });
    await page.locator(".mode").click();
    await page.locator(".call").click();
    await tell(page, "answer");
    await reaches(page, "connected");
    assert.deepEqual(await of(page, "microphones"), []);
    await page.locator(".mode").click();
    await page.locator(".plain").click();
    await until("it is text again", async () => (await page.locator("voice-call").getAttribute("mode")) === "text");
    assert.deepEqual(await of(page, "microphones"), []);
    await page.evaluate(() => void (/** @type {any} */ (globalThis).calls[0].refusal = "microphone_denied"));
    await page.locator(".mode").click();
    await page.locator(".main").click();
    await until("it says so", async () => /^No access/.test(await page.locator("[role=alert]").innerText()));
    assert.equal(await page.locator("voice-call").getAttribute("mode"), "text");
    await page.evaluate(() => void (/** @type {any} */ (globalThis).calls[0].refusal = undefined));
    await page.locator(".mode").click();
    await until("it is open", async () => (await of(page, "microphones")).length === 2);
    assert.equal(await of(page, "muted"), false);
    await set(page, "mode", "text");
    assert.equal(await of(page, "muted"), true, "the page's own change counts, too");
    const microphone = () => page.evaluate(() => /** @type {any} */ (globalThis).calls[0].snapshot.devices.microphone?.deviceId);
    assert.equal(await microphone(), undefined, "and closes it");
    await set(page, "mode", "voice");
    await until("it is open again", async () => (await microphone()) === "default");
    assert.equal(await of(page, "muted"), false);
  });

  test("who has muted the microphone is still muted when a lost connection is back", async () => {
    const page = await open();
    await connect(page);
    await page.locator(".mute").click();
    assert.equal(await of(page, "muted"), true);
    await tell(page, "enter", "reconnecting");
    await tell(page, "enter", "connected");
    await reaches(page, "connected");
    assert.equal(await of(page, "muted"), true);
    assert.equal(await page.getByRole("button", { name: "Unmute", exact: true }).getAttribute("aria-pressed"), null, "its name says it");
  });

  test("an agent that only reads has no microphone button and no way to voice", async () => {
    const page = await open();
    await connect(page, { prices: { items: [{ unit: "input_token" }] } });
    assert.equal(await page.locator("input").isVisible(), true);
    assert.deepEqual([await page.locator(".mode").isVisible(), await page.locator(".mute").isVisible()], [false, false]);
    assert.equal(await of(page, "muted"), true);
  });

  test("waiting for a place: each try is without a microphone, it is hidden from the page, and a press ends it", async () => {
    const page = await open();
    await page.evaluate(() => {
      const told = /** @type {string[]} */ ([]);
      Object.assign(globalThis, { told });
      for (const name of ["state", "waiting", "ended"]) document.querySelector("voice-call")?.addEventListener(name, (event) => told.push(/** @type {any} */ (event).detail?.state ?? name));
    });
    await page.locator(".call").click();
    await tell(page, "complain", "relay_full", { retryAfterMs: 0 });
    await until("it tries again", async () => (await made(page)) === 2);
    assert.equal(await page.evaluate(() => /** @type {any} */ (globalThis).calls[1].options.microphone), false);
    assert.equal(await state(page), "waiting");
    await until("it says that it tries", async () => (await page.locator(".wait").innerText()) === "Trying …");
    await tell(page, "complain", "relay_full", { retryAfterMs: 30_000 });
    await until("it says how long", async () => /^Next try in ([12][0-9]|3[01]) s/.test(await page.locator(".wait").innerText()));
    await page.locator(".call").click();
    await reaches(page, "closed");
    assert.deepEqual(await page.evaluate(() => /** @type {any} */ (globalThis).told), ["starting", "waiting", "waiting"]);
    assert.equal(await made(page), 2);
  });

  test("a refusal that is none of places is told in words with its code, and the next press tries again", async () => {
    const page = await open();
    await page.locator(".call").click();
    await tell(page, "refuse", "agent_<b>odd</b>");
    assert.match(await page.locator("[role=alert]").innerText(), /agent_<b>odd<\/b>/);
    await presses(page, 2);
    assert.equal(await page.locator("[role=alert]").innerText(), "");
  });

  test("that no token comes, or that one is refused, is told when the call is over and not before: it may come back by itself", async () => {
    const page = await open();
    const notice = () => page.locator("[role=alert]").innerText();
    await page.locator(".call").click();
    for (const wanted of ["connecting", "connected", "reconnecting"]) {
      if (wanted === "connected") await tell(page, "answer");
      else await tell(page, "enter", wanted);
      await reaches(page, wanted);
      for (const code of ["token_unavailable", "unauthorized"]) {
        await tell(page, "complain", code);
        assert.equal(await notice(), "", `${wanted}: ${code}`);
      }
    }
    // The last one is why it ended.
    await tell(page, "end", "unauthorized");
    await until("it says so", async () => /^You could not be let in/.test(await notice()));
  });

  test("only who has to sign in again is told to: a token that may come later was kept away by the network", async () => {
    const page = await open();
    const notice = () => page.locator("[role=alert]").innerText();
    await page.locator(".call").click();
    await tell(page, "refuse", "token_unavailable", { retryable: true });
    await until("it is told", async () => /^No connection/.test(await notice()));
    await presses(page, 2);
    await tell(page, "refuse", "token_unavailable");
    await until("it is told", async () => /^You could not be let in/.test(await notice()));
  });

  test("who has no sound is told what to do about what keeps it away, and to press only where a press may help", async () => {
    const page = await open();
    await connect(page);
    const notice = () => page.locator("[role=alert]").innerText();
    for (const [cause, words] of /** @type {const} */ ([
      ["suspended: the browser holds the sound back until the page is clicked", /^There is no sound yet\s+Press anywhere/],
      ["interrupted: another app, such as a phone call, has the sound", /^Your sound is in use\s+End the phone call/],
      ["running: the sound stands still", /^There is no sound\s+Choose another/],
      ["NotFoundError: no such loudspeaker", /^There is no sound\s+Choose another/],
    ])) {
      await tell(page, "complain", "audio_unavailable", { cause });
      await until(`the words are those of "${cause}"`, async () => words.test(await notice()));
      assert.equal(/press/i.test(await notice()), cause.startsWith("suspended"), cause);
    }
    await tell(page, "complain", "not_heard", { cause: "suspended: of something else" });
    await until("another error has its own", async () => /^That was not heard/.test(await notice()));
  });

  test("a user who is too loud for the microphone is told so, until it is over or put away", async () => {
    const page = await open();
    await connect(page);
    const warn = (/** @type {string[]} */ ...warnings) => tell(page, "change", { quality: { warnings } });
    const notice = () => page.locator("[role=alert]").innerText();
    await warn("high-rtt");
    assert.equal(await notice(), "");
    await warn("high-rtt", "clipping");
    assert.match(await notice(), /^You are very loud/);
    await warn();
    assert.equal(await notice(), "");
    await warn("clipping");
    await page.locator(".dismiss").click();
    await warn("clipping", "high-rtt");
    assert.equal(await notice(), "", "it was put away");
  });

  test("a notice that stays is heard once, and its button keeps the focus, whatever else changes", async () => {
    const page = await open();
    await connect(page);
    await tell(page, "complain", "microphone_silent");
    await page.locator(".dismiss").focus();
    await page.evaluate(() => {
      const alert = /** @type {Element} */ (document.querySelector("voice-call")?.shadowRoot?.querySelector("[role=alert]"));
      const heard = /** @type {string[]} */ ([]);
      Object.assign(globalThis, { heard });
      new MutationObserver((changes) => heard.push(...changes.map(({ type }) => type))).observe(alert, { childList: true, subtree: true, characterData: true });
    });
    const heard = () => page.evaluate(() => /** @type {any} */ (globalThis).heard.length);
    for (const audioMs of [1_000, 2_000, 3_000]) await tell(page, "change", { usage: { audioMs } });
    assert.deepEqual([await heard(), await focused(page)], [0, "dismiss"]);
    await tell(page, "complain", "audio_unavailable");
    assert.match(await page.locator("[role=alert]").innerText(), /^There is no sound/);
    assert.ok((await heard()) > 0, "another one is heard");
    assert.equal(await focused(page), "dismiss");
  });

  test("a page that names no way to a token is told so, and so is its user", async () => {
    const page = await open();
    const thrown = page.waitForEvent("pageerror");
    await set(page, "tokenUrl", null);
    await page.locator(".call").click();
    assert.match((await thrown).message, /`token` is undefined/);
    assert.match(await page.locator("[role=alert]").innerText(), /TypeError/);
  });

  test("the token's address is asked by GET, for text or JSON, and a 4xx is final", async () => {
    const page = await open();
    await presses(page, 1);
    /** @param {{ status?: number, contentType?: string, body: string }} answer */
    const ask = async (answer) => {
      await page.unroute("http://localhost/voice-token");
      await page.route("http://localhost/voice-token", (route) => (route.request().method() === "GET" ? route.fulfill(answer) : route.abort()));
      return page.evaluate(() => /** @type {any} */ (globalThis).calls[0].options.token().catch((/** @type {any} */ { message, retryable }) => ({ message, retryable })));
    };
    assert.equal(await ask({ contentType: "text/plain", body: "a.b.c" }), "a.b.c");
    assert.equal(await ask({ contentType: "application/json", body: '{"token":"d.e.f"}' }), "d.e.f");
    assert.deepEqual(await ask({ status: 403, contentType: "text/plain", body: "" }), { message: "http://localhost/voice-token answered 403 text/plain", retryable: false });
    assert.equal((await ask({ status: 503, body: "" })).retryable, true);
    assert.equal(await page.evaluate(() => String(/** @type {any} */ (globalThis).calls[0].options.url)), "https://voice.example.com/v1/call");
  });

  test("a press while it hangs up begins the next call, and the old one disturbs it no more", async () => {
    const page = await open();
    await STATES.closing?.(page);
    assert.equal(await page.locator(".call").innerText(), "Call");
    await presses(page, 2);
    assert.equal(await state(page), "starting");
    await page.evaluate(() => /** @type {any} */ (globalThis).calls[0].end("normal"));
    assert.equal(await state(page), "starting");
    assert.deepEqual(await lines(page), []);
  });

  test("what was typed in a call that is hung up is not in the next one, and is in the field again if it does not arrive", async () => {
    const page = await open({ attributes: 'mode="text"' });
    for (const [index, text] of ["Hello", "Are you there?"].entries()) {
      await page.locator("input").fill(text);
      await page.keyboard.press("Enter");
      if (!index) await tell(page, "answer");
      await until("it is sent", async () => (await of(page, "typed")).length === index + 1);
    }
    assert.deepEqual(await lines(page), ["Hello", "Are you there?"]);
    await page.locator(".call").click();
    await reaches(page, "closing");
    await presses(page, 2);
    assert.deepEqual(await lines(page), []);
    const first = (/** @type {string} */ method, /** @type {unknown[]} */ ...args) =>
      page.evaluate(([name, values]) => /** @type {any} */ (globalThis).calls[0][name](...values), /** @type {const} */ ([method, args]));
    await first("tell", "undelivered", { message: { type: "text", text: "Hello" } });
    assert.equal(await page.locator("input").inputValue(), "Hello");
    await first("end", "normal");
    assert.deepEqual([await state(page), await lines(page), await page.locator("input").inputValue()], ["starting", [], "Hello"]);
  });

  test("methods do what the button does: connect resolves when the call is up, and rejects when it is given up", async () => {
    const page = await open();
    await page.evaluate(() => {
      const settled = /** @type {string[]} */ ([]);
      Object.assign(globalThis, { settled });
      const connect = () => /** @type {any} */ (document.querySelector("voice-call")).connect();
      connect().then(() => settled.push("up"));
      connect().then(() => settled.push("up"));
    });
    await tell(page, "answer");
    await until("both are up", async () => (await page.evaluate(() => /** @type {any} */ (globalThis).settled.join())) === "up,up");
    assert.equal(await made(page), 1);
    await page.evaluate(() => void /** @type {any} */ (document.querySelector("voice-call")).close());
    await page.evaluate(() => void /** @type {any} */ (document.querySelector("voice-call")).close({ finish: false }));
    assert.deepEqual((await of(page, "closes")).slice(-2), [undefined, false], "who does not want to wait says so");
    await tell(page, "end", "normal");
    const code = page.evaluate(() => /** @type {any} */ (document.querySelector("voice-call")).connect().catch((/** @type {any} */ error) => error.code));
    await reaches(page, "starting");
    await page.locator(".call").click();
    assert.equal(await code, "call_over");
  });

  test("an element that is moved goes on, and one that is taken out hangs up", async () => {
    const page = await open();
    await connect(page);
    await page.evaluate(() => document.body.append(/** @type {Element} */ (document.querySelector("voice-call"))));
    assert.equal(await state(page), "connected");
    await page.evaluate(() => document.querySelector("voice-call")?.remove());
    assert.equal(await of(page, "state"), "closing");
  });

  test("the events of the call are the element's, and the tools' calls are left to the options", async () => {
    const page = await open();
    const names = ["session", "state", "agent", "transcript", "usage", "budget", "level", "toolCall", "ended"];
    await page.evaluate((all) => {
      const told = /** @type {string[]} */ ([]);
      Object.assign(globalThis, { told });
      for (const name of all) document.querySelector("voice-call")?.addEventListener(name, () => told.push(name));
    }, names);
    await connect(page);
    for (const name of names.slice(1)) await tell(page, "tell", name, { role: "agent", text: "", state: "connected" });
    const told = await page.evaluate(() => [...new Set(/** @type {any} */ (globalThis).told)].sort());
    assert.deepEqual(told, names.filter((name) => name !== "toolCall").sort());
  });

  test("microphone and loudspeaker are chosen among those that there are, and what the call has changed is shown", async () => {
    const page = await open();
    await connect(page);
    await page.locator(".settings").click();
    const [microphones, speakers] = [page.getByLabel("Microphone"), page.getByLabel("Loudspeaker")];
    await until("they are listed", async () => (await speakers.locator("option").count()) > 1);
    assert.equal(await focused(page).then(() => microphones.evaluate((select) => select === /** @type {ShadowRoot} */ (select.getRootNode()).activeElement)), true);
    const ids = await speakers.locator("option").evaluateAll((options) => options.map((option) => /** @type {HTMLOptionElement} */ (option).value));
    assert.equal(ids[0], "default");
    assert.equal(await speakers.inputValue(), "default");
    await speakers.selectOption({ index: 1 });
    await microphones.selectOption({ index: 1 });
    assert.deepEqual(await of(page, "speakers"), [ids[1]]);
    assert.equal((await of(page, "microphones")).length, 1);
    await speakers.selectOption({ index: 0 });
    assert.deepEqual(await of(page, "speakers"), [ids[1], undefined], "the system's has no id");
    await tell(page, "setSpeaker", ids[2]);
    await until("the one in use is shown", async () => (await speakers.inputValue()) === ids[2]);
    await page.evaluate(() => void (/** @type {any} */ (globalThis).calls[0].refusal = "audio_unavailable"));
    await speakers.selectOption({ index: 1 });
    await until("a refusal is told", async () => /^There is no sound\s+Choose another loudspeaker/.test(await page.locator("[role=alert]").innerText()));
    await until("the one in use stays", async () => (await speakers.inputValue()) === ids[2]);
    await page.locator(".settings").click();
    assert.equal(await speakers.isVisible(), false);
  });

  test("in writing the loudspeaker can be chosen and no microphone, and where there is nothing to choose there is no button", async () => {
    const page = await open();
    await connect(page);
    await page.locator(".settings").waitFor();
    await page.locator(".mode").click();
    await page.locator(".settings").click();
    assert.deepEqual([await page.getByLabel("Microphone").isVisible(), await page.getByLabel("Loudspeaker").isVisible()], [false, true]);
    await page.evaluate(() => {
      navigator.mediaDevices.enumerateDevices = async () => [];
      /** @type {any} */ (globalThis).calls[0].microphone("default");
    });
    await page.locator(".settings").waitFor({ state: "hidden" });
    assert.equal(await page.getByLabel("Loudspeaker").isVisible(), false);
  });

  test("what is shown of a call is fetched when somebody comes near, by pointer or by key, and not before", async () => {
    for (const nears of /** @type {((page: Page) => Promise<unknown>)[]} */ ([(page) => page.locator(".call").hover(), (page) => page.keyboard.press("Tab")])) {
      const page = await open({ fetches: true });
      /** @type {string[]} */
      const fetched = [];
      page.on("request", (request) => fetched.push(new URL(request.url()).pathname));
      await page.waitForTimeout(300);
      assert.deepEqual(fetched, []);
      await nears(page);
      await until("it is there", async () => (await page.locator("[role=log]").count()) === 1);
      assert.deepEqual(fetched, ["/sdk/element-call.js"]);
    }
  });

  test("a press while it is fetched shows that something begins and can be taken back, and what is typed waits in its field", async () => {
    const page = await open({ attributes: 'mode="text"', fetches: true });
    /** @type {() => void} */
    let come = () => undefined;
    const held = new Promise((resolve) => (come = () => resolve(undefined)));
    await page.route("http://localhost/sdk/element-call.js", async (route) => {
      await held;
      await route.fallback();
    });
    await page.locator(".call").click();
    await reaches(page, "starting");
    await page.locator(".call").click();
    await reaches(page, "idle");
    await page.locator("input").fill("Hello");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("input").inputValue(), "Hello");
    come();
    await until("the call is made", async () => (await made(page)) === 1);
    assert.deepEqual([await lines(page), await page.locator("input").inputValue()], [["Hello"], ""]);
    await tell(page, "answer");
    await until("it is sent", async () => (await of(page, "typed")).length === 1);
  });

  test("where it does not come, or is of another version, that is said in words, no call is made, and nothing that was typed is lost", async () => {
    for (const body of [undefined, 'export const version = "0.0.1"; export class CallPanels {}']) {
      const page = await open({ attributes: 'mode="text"', fetches: true });
      let isBroken = true;
      await page.route("http://localhost/sdk/element-call.js", (route) => {
        if (!isBroken) return route.fallback();
        return body ? route.fulfill({ contentType: "text/javascript", body }) : route.abort();
      });
      await page.locator("input").fill("Hello");
      await page.keyboard.press("Enter");
      await until("it says so", async () => (await page.locator(".words").innerText()) === "The call did not load\nReload the page.");
      assert.deepEqual([await state(page), await made(page), await page.locator("input").inputValue()], ["closed", 0, "Hello"]);
      const [code, retryable, message] = await page.evaluate(() =>
        /** @type {any} */ (document.querySelector("voice-call")).connect().catch((/** @type {any} */ error) => [error.code, error.retryable, error.message]),
      );
      assert.deepEqual([code, retryable], ["engine_unavailable", !body], message);
      // A file of another version is there: only a page that is loaded again gets one that fits.
      assert.match(message, body ? /\(it is of version 0\.0\.1, not [^)]+\)\. Load the page again\.$/ : /\. Try again, or load the page again\.$/);
      if (body) continue;
      isBroken = false;
      await page.locator(".call").click();
      await until("it is tried again", async () => (await made(page)) === 1);
    }
  });

  test("on a server the module does nothing, and can be imported", async () => {
    const { VoiceCallElement, ENGLISH } = await import(String(new URL("../../npm/dist/element.js", import.meta.url)));
    assert.deepEqual([typeof VoiceCallElement, ENGLISH.call], ["function", "Call"]);
  });
});
