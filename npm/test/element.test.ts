// The element over real calls, in a stand-in browser whose user takes time to answer: in whatever order things are pressed, a microphone is open
// only in a call that is spoken, and who has muted it is not heard. `E2E_SEED` repeats one schedule.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { NOTHING, OPTIONS, SESSION, type Engine, Stream, Track, browser, until, wasm } from "./support/browser.js";
import { type FakeNode, root } from "./support/document.js";
import { random } from "./support/random.js";
import { VoiceCallElement } from "../src/element.js";
import type { ConnectOptions } from "../src/options.js";

const SCHEDULES = 120;

/** A session of an agent that both hears and reads. */
const BOTH = { ...SESSION, prices: { version: "1", items: [{ item: "a", unit: "second", nanoUsd: 1, per: 1 }] } };

/** What the browser asks its user, and has no answer to yet. */
const prompts: ((isAllowed: boolean) => void)[] = [];
/** What the relay has not done yet. */
let pending = 0;

/** Does something of the relay's a little later. */
function later(ms: number, work: () => void): void {
  pending += 1;
  setTimeout(() => {
    pending -= 1;
    work();
  }, ms);
}

/** A relay and a browser that take up to so long, by these dice. */
function arrange(dice: (most: number) => number, isOftenFull = false): void {
  browser.asking = () =>
    new Promise((resolve, reject) => {
      prompts.push((isAllowed) => (isAllowed ? resolve() : reject(new DOMException("no", "NotAllowedError"))));
    });
  browser.onengine = (engine) => {
    engine.on("start", () =>
      later(dice(4), () => {
        if (!engine.hasSession) return;
        if (isOftenFull && dice(2)) {
          const error = { code: "relay_full", message: "It is full.", retryable: true, limit: null, retryAfterMs: 1 };
          return engine.say({ type: "error", error });
        }
        engine.state("connecting");
        engine.say(BOTH);
        engine.state("connected");
      }),
    );
    engine.on("close", () => {
      if (!engine.hasSession) return;
      engine.state("closing");
      later(dice(8), () => engine.hasSession && engine.ends());
    });
  };
}

const { random: chance } = Math;
beforeEach(() => {
  browser.reset();
  prompts.length = 0;
  // Those who wait come back at once.
  Math.random = () => 0;
});
afterEach(async () => {
  root.replaceChildren();
  for (const answer of prompts.splice(0)) answer(true);
  await settled();
  Math.random = chance;
});

class Page {
  readonly element = new VoiceCallElement();
  readonly #node = this.element as unknown as FakeNode;

  constructor(attributes: Record<string, string> = {}, options: Partial<ConnectOptions> = {}) {
    const { url, token, ...rest } = OPTIONS;
    Object.assign(this.element, { relay: url, token, options: { ...rest, ...options } });
    for (const [name, value] of Object.entries(attributes)) this.element.setAttribute(name, value);
    root.append(this.#node);
  }

  find(name: string): FakeNode {
    const [found] = this.#node["shadowRoot"].all(name);
    assert.ok(found, `there is a ${name}`);
    return found;
  }

  /** Presses what can be seen. */
  press(name: string): void {
    const [found] = this.#node["shadowRoot"].all(name) as FakeNode[];
    for (let node = found; node; node = node.parent) if (node.hidden) return;
    found?.click();
  }

  get isAsked(): boolean {
    return !this.#node["shadowRoot"].all("main")[0]?.parent?.parent?.hidden;
  }

  get alert(): string {
    const [notice] = this.#node["shadowRoot"].all("bad") as FakeNode[];
    return notice?.textContent ?? "";
  }

  remove(): void {
    this.#node.remove();
  }

  comeBack(): void {
    root.append(this.#node);
  }

  /** Chooses a microphone among those that are offered. */
  choose(id: string): void {
    const [select] = this.#node["shadowRoot"].all("select") as FakeNode[];
    Object.assign(select!, { value: id })["onchange"]();
  }

  async is(state: string): Promise<void> {
    await until(() => this.element.state === state, `it is ${state}`);
  }

  /** A call that is up. */
  async calls(): Promise<Engine> {
    this.press("call");
    if (this.element.mode !== "text") {
      await until(() => prompts.length === 1, "the browser asks");
      prompts.shift()!(true);
    }
    await this.is("connected");
    await settled();
    return browser.engine;
  }
}

/** Waits until all that goes on by itself has been done. The browser's questions wait for the test. */
async function settled(): Promise<void> {
  for (let quiet = 0; quiet < 5; quiet += 1) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (pending > 0) quiet = 0;
  }
}

const live = (): Track[] => browser.tracks.filter(({ readyState }) => readyState === "live");
/** Whether the relay was last told that nobody is heard. */
const isMuted = (engine: Engine): unknown => engine.sent.filter(([name]) => name === "mute").at(-1)?.[1] ?? false;

test("who goes back to writing before the microphone is open has none, however the question is answered", async () => {
  for (const isAllowed of [true, false]) {
    for (const consent of [undefined, ""]) {
      browser.reset();
      arrange(() => 0);
      const page = new Page({ mode: "text", ...(consent !== undefined && { consent }) });
      const engine = await page.calls();
      page.press("mode");
      if (consent !== undefined) {
        assert.ok(page.isAsked);
        page.press("main");
      }
      await until(() => prompts.length === 1, "the browser asks");
      page.press("mode");
      assert.equal(page.element.mode, "text");
      prompts.shift()!(isAllowed);
      await settled();
      assert.deepEqual([live(), isMuted(engine), page.element.mode, page.alert], [[], true, "text", ""], `${isAllowed}, ${consent}`);
      page.press("mode");
      await until(() => prompts.length === 1, "it is asked for again");
      prompts.shift()!(true);
      await settled();
      assert.deepEqual([live().length, isMuted(engine)], [1, false]);
      page.remove();
      await settled();
    }
  }
});

test("who goes back to writing while asked for consent is asked no more, and asked again by the next wish to speak", async () => {
  arrange(() => 0);
  const page = new Page({ mode: "text", consent: "" });
  await page.calls();
  page.press("mode");
  assert.ok(page.isAsked);
  page.press("mode");
  await settled();
  assert.deepEqual([page.isAsked, page.element.mode, page.alert], [false, "text", ""]);
  page.press("mode");
  page.press("main");
  await until(() => prompts.length === 1, "the browser asks");
  prompts.shift()!(true);
  await settled();
  assert.equal(live().length, 1);
});

test("who hangs up while the browser asks is told nothing, and speaks in the next call", async () => {
  for (const how of ["call", "relay"]) {
    browser.reset();
    arrange(() => 0);
    const page = new Page({ mode: "text" });
    const engine = await page.calls();
    page.press("mode");
    await until(() => prompts.length === 1, "the browser asks");
    if (how === "call") page.press("call");
    else engine.ends("budget", 4402);
    await page.is("closed");
    prompts.shift()!(true);
    await settled();
    assert.deepEqual([page.element.mode, page.alert, live()], ["voice", "", []], how);
    page.remove();
    await settled();
  }
});

test("a call that the relay ends asks for nothing any more", async () => {
  arrange(() => 0);
  const page = new Page({ mode: "text", consent: "" });
  const engine = await page.calls();
  let agreed = 0;
  page.element.addEventListener("consent", () => (agreed += 1));
  page.press("mode");
  assert.ok(page.isAsked);
  engine.ends("budget", 4402);
  await page.is("closed");
  await settled();
  assert.deepEqual([page.isAsked, page.element.mode], [false, "voice"]);
  page.press("main");
  await settled();
  assert.deepEqual([agreed, page.alert, prompts.length], [0, "", 0]);
});

test("a mode that is set again to what it is leaves who is muted muted", async () => {
  arrange(() => 0);
  const page = new Page({ mode: "voice" });
  const engine = await page.calls();
  page.press("mute");
  for (const again of [
    () => (page.element.mode = "voice"),
    () => page.element.setAttribute("mode", "voice"),
    () => page.element.removeAttribute("mode"),
    () => (page.element.mode = "aloud"),
  ]) {
    again();
    await settled();
    assert.deepEqual([page.element.call?.muted, isMuted(engine)], [true, true]);
  }
});

test("who is signed out is told so, and not that there is no connection", async () => {
  arrange(() => 0);
  browser.onengine = (engine) => {
    engine.on("start", () => engine.say({ type: "token" }));
    engine.on("noToken", () => engine.ends("unauthorized", 4401));
  };
  // The page's own server has sent the question for a token to where people sign in.
  const login = new Response("<!doctype html><title>Sign in</title>", { headers: { "content-type": "text/html; charset=utf-8" } });
  browser.answers = async (url) => (url.endsWith("/voice-token") ? login : wasm("application/wasm"));
  const page = new Page({ mode: "text", "token-url": "/voice-token" });
  page.element.token = undefined;
  page.press("call");
  await page.is("closed");
  await settled();
  assert.match(page.alert, /^You could not be let in/);
});

test("the button that mutes says by its name alone what a press does", async () => {
  arrange(() => 0);
  const page = new Page();
  await page.calls();
  const button = page.find("mute");
  for (const [name, isMuted] of [["Mute", false], ["Unmute", true], ["Mute", false]] as const) {
    assert.deepEqual([button.textContent, page.element.call?.muted, button.getAttribute("aria-pressed")], [name, isMuted, null]);
    page.press("mute");
    await settled();
  }
});

test("a microphone that the page took away stays away when the connection is back, and is opened again by the next wish to speak", async () => {
  arrange(() => 0);
  const page = new Page({ mode: "voice" });
  const engine = await page.calls();
  await page.element.call!.setMicrophone(false);
  engine.state("reconnecting", 1);
  await page.is("reconnecting");
  engine.state("connected");
  await page.is("connected");
  await settled();
  assert.deepEqual([prompts.length, live(), isMuted(engine), page.element.mode], [0, [], true, "voice"]);
  page.press("mode");
  page.press("mode");
  await until(() => prompts.length === 1, "the browser asks");
  prompts.shift()!(true);
  await settled();
  assert.deepEqual([live().length, isMuted(engine)], [1, false]);
});

const WANTED = { echoCancellation: false, noiseSuppression: true, autoGainControl: true };

test("what the page asks of its microphone is asked for whenever the element opens it, and so is the one that the user chose", async () => {
  arrange(() => 0);
  const page = new Page({ mode: "text" }, { microphone: { echoCancellation: false, deviceId: { exact: "desk" } } });
  await page.calls();
  const opens = async (press: () => void): Promise<object | undefined> => {
    press();
    await until(() => prompts.length === 1, "the browser asks");
    prompts.shift()!(true);
    await settled();
    return browser.asked.at(-1);
  };
  assert.deepEqual(await opens(() => page.press("mode")), { ...WANTED, deviceId: { exact: "desk" } });
  assert.deepEqual(await opens(() => page.choose("headset")), { ...WANTED, deviceId: { exact: "headset" } });
  page.press("mode");
  await settled();
  assert.deepEqual(await opens(() => page.press("mode")), { ...WANTED, deviceId: "headset" });
});

test("a stream of the page's is heard in a spoken call and not in a written one, and is the page's to stop", async () => {
  arrange(() => 0);
  const own = new Track("own");
  const page = new Page({ mode: "text" }, { microphone: new Stream(own) as unknown as MediaStream });
  const engine = await page.calls();
  const microphone = (): string | undefined => page.element.call?.snapshot.devices.microphone?.deviceId;
  for (const isSpoken of [true, false, true]) {
    page.press("mode");
    await settled();
    assert.deepEqual([microphone(), isMuted(engine)], isSpoken ? ["own", false] : [undefined, true]);
  }
  page.press("call");
  await page.is("closed");
  assert.deepEqual([browser.asked, own.readyState], [[], "live"]);
});

/** Somebody who has hung up calls again, aloud, and is asked for their consent when the call before is over. */
async function asksAgain(): Promise<Page> {
  arrange(() => 0);
  const page = new Page({ mode: "text", consent: "" });
  const engine = await page.calls();
  engine.removeAllListeners("close").on("close", () => engine.state("closing"));
  page.press("call");
  await page.is("closing");
  page.press("mode");
  page.press("call");
  await page.is("consent");
  engine.ends();
  await settled();
  return page;
}

test("the end of the call before does not end the attempt after it", async () => {
  const page = await asksAgain();
  page.press("main");
  await until(() => prompts.length === 1, "the browser asks");
  prompts.shift()!(true);
  await page.is("connected");
  await settled();
  const { call } = page.element;
  await page.element.connect();
  assert.equal(page.element.call, call, "there is one call, and it is joined");
  page.press("mode");
  await settled();
  assert.deepEqual([live(), isMuted(browser.engine)], [[], true], "it is followed");
});

test("a call that was given up while it waited for a place is not made, whatever becomes of the one before", async () => {
  const page = await asksAgain();
  arrange((most) => most - 1, true);
  page.press("main");
  await until(() => prompts.length === 1, "the browser asks");
  prompts.shift()!(true);
  await until(() => browser.workers.length > 2, "it tries again");
  page.press("call");
  await page.is("closed");
  await settled();
  const made = browser.workers.length;
  await settled();
  assert.deepEqual([browser.workers.length, browser.left().sessions], [made, 0]);
});

test("what was typed for a call that a method makes is in the field again where there is none", async () => {
  arrange(() => 0);
  const page = new Page();
  const up = page.element.connect();
  await until(() => prompts.length === 1, "the browser asks");
  page.find("input")["value"] = "Hello";
  page.find("form")["onsubmit"]({ preventDefault: () => undefined });
  assert.equal(page.find("input")["value"], "");
  prompts.shift()!(false);
  await assert.rejects(up, { code: "microphone_denied" });
  assert.deepEqual([page.find("input")["value"], page.find("log").textContent], ["Hello", ""]);
});

test("of texts that were typed before the call is up each is sent once and in its order, also after one that is refused", async () => {
  arrange(() => 0);
  const page = new Page({ mode: "text" });
  page.find("card").dispatchEvent(new Event("pointerenter"));
  await settled();
  page.press("call");
  for (const text of ["one", "two", "three"]) {
    page.find("input")["value"] = text;
    page.find("form")["onsubmit"]({ preventDefault: () => undefined });
  }
  const sent: string[] = [];
  await until(() => browser.workers.length === 1, "the engine starts");
  browser.engine.on("message", (id: number, json: string) => {
    const { text } = JSON.parse(json) as { text: string };
    sent.push(text);
    const error = { code: "messages_full", message: "Too much waits.", retryable: true, limit: null, retryAfterMs: null };
    browser.engine.say(text === "one" ? { type: "refused", id, error } : { type: "taken", id });
  });
  await until(() => sent.length === 3, "all of them are sent");
  assert.deepEqual([sent, page.find("input")["value"]], [["one", "two", "three"], "one"]);
});

test("a call on hold says so, and one that goes on says how it is", async () => {
  arrange(() => 0);
  const page = new Page();
  await page.calls();
  page.element.call?.hold();
  await settled();
  assert.match(page.find("words").textContent, /^On hold/);
  page.element.call?.hold(false);
  await settled();
  assert.match(page.find("words").textContent, /^Listening/);
});

test("a device that is plugged in while the devices are offered is offered, and nobody looks once they are not", async () => {
  arrange(() => 0);
  // As in a browser that can choose.
  Object.assign(AudioContext.prototype, { setSinkId: async () => undefined });
  browser.speakers = ["default", "desk"];
  const page = new Page();
  await page.calls();
  const before = browser.devices.count;
  page.press("settings");
  await settled();
  const offered = (): number => page.find("devices").all("option").length;
  const count = offered();
  browser.speakers.push("headset");
  browser.devices.dispatchEvent(new Event("devicechange"));
  await settled();
  assert.equal(offered(), count + 1);
  page.press("settings");
  assert.equal(browser.devices.count, before);
  page.press("settings");
  page.remove();
  await settled();
  assert.equal(browser.devices.count, 0);
});

test("texts that a page takes away are the element's own", () => {
  const page = new Page();
  page.element.texts = { call: "Ring" };
  assert.equal(page.element.texts.call, "Ring");
  for (const none of [undefined, null]) {
    page.element.texts = none as never;
    assert.equal(page.element.texts.call, "Call");
  }
});

/** What a user, a page, a browser and a relay may do at any time. */
const STEPS: Record<string, (page: Page, dice: (most: number) => number) => unknown> = {
  call: (page) => page.press("call"),
  mode: (page) => page.press("mode"),
  mute: (page) => page.press("mute"),
  agree: (page) => page.press("main"),
  decline: (page) => page.press("plain"),
  connect: (page) => void page.element.connect().catch(() => undefined),
  close: (page) => void page.element.close(),
  sameMode: (page) => (page.element.mode = page.element.mode === "text" ? "text" : "voice"),
  setMode: (page, dice) => (page.element.mode = dice(2) ? "text" : "voice"),
  answers: (_, dice) => prompts.splice(dice(prompts.length + 1), 1)[0]?.(dice(6) > 0),
  ends: () =>
    withSession((engine) => {
      engine.ends("budget", 4402);
      // The agent's last words were heard.
      engine.say({ type: "drained" });
    }),
  loses: () => withSession((engine) => engine.state("reconnecting", 1)),
  returns: () => withSession((engine) => engine.state("connected")),
  moves: (page) => (page.remove(), page.comeBack()),
  goes: async (page) => (page.remove(), await settled(), page.comeBack()),
  writes: (page) => {
    page.find("input")["value"] = "Hello";
    page.find("form")["onsubmit"]({ preventDefault: () => undefined });
  },
  waits: (_, dice) => new Promise((resolve) => setTimeout(resolve, dice(6))),
  rests: (page) => rest(page),
};

function withSession(work: (engine: Engine) => void): void {
  const engine = browser.workers.at(-1)?.engine;
  if (engine?.hasSession && !engine.isGone && engine.sent.every(([name]) => name !== "close") && engine.listenerCount("close") && browser.left().sessions === 1) work(engine);
}

/** Answers what the browser asks, and looks whether all is as it should be once nothing happens any more. */
async function rest(page: Page): Promise<void> {
  const { element } = page;
  await until(() => {
    for (const answer of prompts.splice(0)) answer(true);
    return /^(idle|consent|connected|reconnecting|closed)$/.test(element.state);
  }, `nothing happens any more: ${element.state}`);
  for (let round = 0; round < 3; round += 1) {
    await settled();
    for (const answer of prompts.splice(0)) answer(true);
  }
  await settled();
  const { state, mode, call } = element;
  const isUp = /^(connected|reconnecting)$/.test(state);
  const { sessions } = browser.left();
  assert.equal(sessions, isUp ? 1 : 0, `${sessions} sessions, ${state}`);
  if (mode === "text") assert.equal(live().length, 0, "a microphone is open in writing");
  assert.ok(live().length <= (isUp ? 1 : 0), `${live().length} microphones, ${state}`);
  if (state === "connected") {
    assert.equal(page.isAsked || mode === "text" ? 0 : 1, live().length, "a spoken call has a microphone, unless the user is asked for it");
    if (mode === "text" || live().length > 0) assert.equal(isMuted(browser.engine), call!.muted, "the relay knows what is shown");
    if (mode === "text") assert.ok(call!.muted, "nobody is heard in writing");
  }
  if (page.isAsked) assert.ok(state === "consent" || state === "connected" || state === "reconnecting", `asked in ${state}`);
  assert.doesNotMatch(page.alert, /TypeError/);
}

/** Steps after which who is muted may be another, or the mode. */
const CHANGES = /^(call|mode|mute|decline|connect|close|setMode|answers|ends|loses|returns|goes|writes)$/;

async function run(seed: number): Promise<void> {
  browser.reset();
  prompts.length = 0;
  const dice = random(seed);
  arrange(dice, dice(4) === 0);
  const page = new Page({ ...(dice(2) && { consent: "" }), ...(dice(2) && { mode: "text" }) });
  const names = Object.keys(STEPS);
  const schedule = ["call", ...Array.from({ length: 4 + dice(12) }, () => names[dice(names.length)]!), "rests"];
  try {
    let before: unknown[] | undefined;
    for (const name of schedule) {
      await STEPS[name]?.(page, dice);
      if (CHANGES.test(name)) before = undefined;
      if (name !== "rests") continue;
      const now = [page.element.call, page.element.mode, page.element.call?.muted];
      if (before) assert.deepEqual(now, before, "nobody has said so");
      before = now;
    }
    page.remove();
    for (const answer of prompts.splice(0)) answer(true);
    await until(() => /^(idle|closed)$/.test(page.element.state) || browser.left().sessions === 0, "it is over");
    await settled();
    await until(() => browser.left().contexts === 0 && browser.left().workers === 0, "everything is given back");
    assert.deepEqual(browser.left(), NOTHING);
    for (const thrown of browser.reported) assert.fail(String(thrown));
  } catch (thrown) {
    throw new Error(`E2E_SEED=${seed} ${seed}: ${schedule.join(", ")}: ${String(thrown)}`, { cause: thrown });
  } finally {
    root.replaceChildren();
  }
}

test("whatever is pressed in whatever order, a microphone is open in a spoken call alone, and the last word about muting holds", async () => {
  const only = process.env["E2E_SEED"];
  for (let seed = 1; seed <= SCHEDULES; seed += 1) if (!only || seed === Number(only)) await run(seed);
});
