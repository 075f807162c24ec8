// @ts-check
// A call with a team, whose user says the same again and again, and what it was told, stored and billed.

import assert from "node:assert/strict";

import { until } from "./relay.mjs";
import { CONNECT_S } from "./team.mjs";
import { TestPage } from "./test-page.mjs";

/** @typedef {import("./relay.mjs").LedgerRow} LedgerRow */
/** @typedef {import("./relay.mjs").Relay} Relay */
/** @typedef {import("./team.mjs").Part} Part */
/** @typedef {import("./team.mjs").Team} Team */
/** @typedef {import("./test-page.mjs").Noted} Noted */
/** @typedef {import("../../providers/support/fakes.mjs").Request} Request */

const PATIENCE_MS = 60_000;
/** For the first word of what is said. */
const HEARD_MS = 8_000;
/** The same where it is heard by somebody else afterwards: a recogniser that says nothing is given up after 15 s of audio, and maybe once more. */
const LATE_MS = 40_000;

/** Samples of a second of what is heard. */
const HEARD_HZ = 16_000;
/** Seconds of sound that may be on its way to a recogniser whose connection breaks. */
const ON_ITS_WAY_S = 1;

export class Call {
  /** How much of what was noted is done with. */
  #at = 0;
  /** @type {Noted[]} */
  #noted = [];

  /** @param {TestPage} page @param {Relay} relay @param {Team} team @param {string} sessionId */
  constructor(page, relay, team, sessionId) {
    this.page = page;
    this.relay = relay;
    this.team = team;
    this.sessionId = sessionId;
  }

  /** @param {import("playwright-core").Browser} browser @param {Relay} relay @param {Team} team */
  static async start(browser, relay, team) {
    const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
    try {
      const { sessionId } = await page.start({ agent: team.name, record: team.part === "mouth" });
      return new Call(page, relay, team, sessionId);
    } catch (error) {
      await page.context.close();
      throw error;
    }
  }

  /** @param {(noted: Noted) => boolean} wanted @param {number} [patienceMs] */
  async hears(wanted, patienceMs = PATIENCE_MS) {
    this.#at = await this.page.hears(wanted, this.#at, patienceMs).catch(async (error) => {
      const noted = (await this.page.noted()).filter(({ name }) => !["usage", "rtt", "quality"].includes(name));
      throw new Error(`${error.message}, but ${JSON.stringify(noted)}`);
    });
  }

  /** Nobody hears the user, who learns it. */
  async isTold() {
    const at = this.#at;
    await this.hears(({ name }) => name === "error");
    this.#at = at;
    await this.hears(({ name, event }) => name === "degraded" && event.degraded);
  }

  /** The user is heard, and answered, and may speak again. */
  async turn() {
    await this.hears(({ name, event }) => name === "transcript" && event.role === "user" && event.last);
    await this.hears(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
    await this.hears(({ name, event }) => name === "agent" && event.state === "listening");
  }

  /** What the user has said once is heard, maybe late; if it is not, the microphone of a busy machine has lost it. @param {boolean} isLate */
  async isHeard(isLate) {
    if (await this.#comes(isLate ? LATE_MS : HEARD_MS)) return this.turn();
    return this.saysItAgain();
  }

  /** The user says it again, and again as long as nobody hears: a provider that has failed is left alone for a while. */
  async saysItAgain() {
    const end = Date.now() + PATIENCE_MS;
    do {
      // Recognisers are tried again when the user was muted for a moment.
      await this.page.say("mute", true);
      await this.page.say("mute", false);
      await this.page.setMicrophone();
    } while (!(await this.#comes(HEARD_MS)) && Date.now() < end);
    await this.turn();
  }

  /** Whether some words of the user come within this time. @param {number} withinMs */
  async #comes(withinMs) {
    const heard = this.page.hears(({ name, event }) => name === "transcript" && event.role === "user", this.#at, withinMs);
    return heard.then(() => true, () => false);
  }

  /** The last answer is heard, too. */
  async sounds() {
    await until("the answer sounds", async () => (await this.page.heard()).samples.some((sample) => Math.abs(sample) > 0.01));
  }

  async hangUp() {
    await this.page.hangUp();
    this.#noted = await this.page.noted();
    await until("the session has ended", () => this.session()?.state === "ended");
  }

  /** Closes the page, and gives the microphone back. */
  async leave() {
    await this.page.context.close();
  }

  degraded() {
    return this.#events("degraded").map(({ what, degraded }) => [what, degraded]);
  }

  gaps() {
    return this.#events("gap");
  }

  errors() {
    return this.#events("error").map(({ code }) => code);
  }

  /** What was said, as the page shows it in the end. */
  transcript() {
    const turns = new Map();
    for (const { turn, role, text, last } of this.#events("transcript")) turns.set(turn, { turn, role, text, last });
    const all = [...turns.values()].sort((a, b) => a.turn - b.turn);
    assert.ok(all.every(({ last }) => last), JSON.stringify(all));
    return all.map(({ turn, role, text }) => ({ turn, role, text }));
  }

  /**
   * The bill is right, and has of the provider with the bad day what it has billed and nothing else.
   * @param {Request[]} requests Those that it was asked.
   * @param {boolean} mayBill It may bill what it was asked and did not answer, which is an estimate, or free of charge.
   */
  isBilled(requests, mayBill) {
    const session = this.session();
    assert.ok(session);
    const rows = this.relay.ledger(this.sessionId);
    assert.equal(rows.reduce((sum, row) => sum + row.cost_nano_usd, 0), session.cost_nano_usd);
    const heard = rows.filter(({ unit }) => unit === "sample");
    assert.equal(quantity(heard), session.audio_samples, "what was said is paid for once");
    const { part, own, cast, isStream } = this.team;
    const hasOtherEars = part === "ears" && this.team.hasStandIn;
    const understood = cast.asked.ears.isGivenUtterances ? rows.filter(({ unit }) => unit === "utterance_sample") : heard;
    const byOther = understood.filter(({ item }) => item !== cast.asked.ears.price);
    assert.ok(byOther.every(({ item }) => item === cast.standIns.ears.price), JSON.stringify(byOther));
    assert.equal(quantity(byOther) > 0, hasOtherEars, "what a stand-in hears is billed as its own");
    const again = rows.filter(({ unit }) => unit === "repeated_sample");
    assert.ok(again.every(({ cost_nano_usd }) => cost_nano_usd === 0), JSON.stringify(again));
    // What is said while no recogniser is there is in the ledger, and costs nothing.
    const unheard = rows.filter(({ unit }) => unit === "unheard_sample");
    assert.ok(unheard.every(({ cost_nano_usd }) => cost_nano_usd === 0 && !hasOtherEars), JSON.stringify(unheard));
    const estimates = rows.filter(({ estimated }) => estimated);
    assert.ok(estimates.every(({ item }) => mayBill && item === own.price), JSON.stringify(estimates));
    const told = rows.filter((row) => row.item === own.price && !row.estimated && !unheard.includes(row));
    if (isStream) {
      // It bills each sample that it is given, understood or not, whoever pays for it. What the user says while it is connected to is metered as
      // its own, and free of charge at the one that hears it then.
      const seconds = requests.reduce((sum, { bill }) => sum + bill.seconds, 0);
      const [more, slack] = [quantity(told) / HEARD_HZ - seconds, ON_ITS_WAY_S * (requests.length + 1)];
      const isRight = -slack <= more && more <= CONNECT_S + slack;
      assert.ok(isRight, `${more} s more than billed: ${JSON.stringify([told, requests.map(({ bill, ended }) => [bill.seconds, ended])])}`);
      return;
    }
    const answered = requests.filter(({ ended }) => ended === "done");
    if (part === "ears") {
      // It bills whole seconds of what it has understood, and what it has only read costs nobody but the operator.
      const seconds = answered.reduce((sum, { bill }) => sum + Math.ceil(bill.seconds), 0);
      assert.equal(quantity(told.filter(({ unit }) => unit === "utterance_sample")), seconds * HEARD_HZ, JSON.stringify([told, answered]));
      assert.ok(again.every(({ item }) => mayBill && item === own.price), JSON.stringify(again));
      return;
    }
    assert.equal(quantity(told), billed(part, answered), JSON.stringify([told, answered]));
  }

  session() {
    return this.relay.sessions().find(({ id }) => id === this.sessionId);
  }

  /** @param {string} name */
  #events(name) {
    return this.#noted.filter((noted) => noted.name === name).map(({ event }) => event);
  }
}

/** @param {LedgerRow[]} rows */
export function quantity(rows) {
  return rows.reduce((sum, row) => sum + row.quantity, 0);
}

/** What a model or a voice bills for these requests: tokens or characters. @param {"mind" | "mouth"} part @param {Request[]} requests */
export function billed(part, requests) {
  const units = part === "mouth" ? ["characters"] : ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"];
  return requests.reduce((sum, { bill }) => sum + units.reduce((of, unit) => of + bill[unit], 0), 0);
}
