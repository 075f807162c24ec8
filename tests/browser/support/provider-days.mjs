// @ts-check
// Providers that have a bad day while somebody talks: the user is answered by a stand-in, or is told in words, and the next turn is as ever
// when the provider is well again. One relay, one browser, several calls side by side.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Fakes } from "../../providers/support/fakes.mjs";
import { launch } from "./chromium.mjs";
import { Door } from "./door.mjs";
import { pricesFile } from "./prices.mjs";
import { Relay } from "./relay.mjs";
import { speak } from "./speech.mjs";
import { Stage } from "./stage.mjs";
import { billed, Call, quantity } from "./team-call.mjs";
import { ALL_PARTS, PARTS, PRICES, Team } from "./team.mjs";

/** @typedef {import("./team.mjs").Part} Part */
/** @typedef {import("./team.mjs").Cast} Cast */

/** Calls at a time: more would be a test of the machine. */
const AT_ONCE = 6;
const NO_ANSWER = "I cannot answer just now. Please try again in a moment.";
/** Each piece of a WebSocket's is without a meaning. */
const NOTHING_BUT_GARBAGE = Array.from({ length: 200 }, (_, at) => [{ at, kind: "skip" }, { at, kind: "garbage" }]).flat();
const FOR_EVER = 10_000;

/**
 * @typedef {object} Day
 * @property {(team: Team) => Promise<void>} begin
 * @property {(team: Team) => Promise<void>} end
 * @property {boolean} [mayBill] Who is asked a request at a time may bill what it was asked, since it has read it.
 * @property {boolean} [isSilent] A recogniser that hears all of a call takes what is said and says nothing: the same is given to whoever is asked next.
 */

/** @param {(team: Team) => object} act @param {Partial<Day>} [more] @returns {Day} */
const scripted = (act, more = {}) => ({
  begin: (team) => team.tried.act({ [team.own.wire]: [{ times: FOR_EVER, ...act(team) }] }),
  end: (team) => team.tried.act({ [team.own.wire]: [] }),
  ...more,
});

/** @type {Record<string, Day>} */
const DAYS = {
  "is down": { begin: (team) => team.door.close(), end: (team) => team.door.open() },
  "is half open": { begin: (team) => team.door.mute(), end: (team) => team.door.open(), mayBill: true },
  "is slow": scripted(
    (team) => (team.isStream ? { faults: [{ at: 0, kind: "stall" }] } : { pace: { head_ms: 60_000 } }),
    { mayBill: true, isSilent: true },
  ),
  "is over its quota": scripted(() => ({ refuse: { status: 429, headers: { "retry-after": "1" } } })),
  "sends garbage": scripted(
    (team) => (team.isStream ? { faults: NOTHING_BUT_GARBAGE } : { refuse: { status: 200, headers: { "content-type": "application/json" }, body: "%&$ no answer at all" } }),
    { isSilent: true },
  ),
};

/** @type {Record<Part, string>} */
const NAMES = { ears: "the recogniser", mind: "the model", mouth: "the voice" };

/** Half open or over its quota, a provider without a stand-in is as good as down. */
const LIKE_DOWN = ["is half open", "is over its quota"];

/** The tests of each bad day of each provider that is asked for these parts in this cast. @param {Cast} cast @param {Part[]} [parts] */
export function testBadDays(cast, parts = ALL_PARTS) {
  const cases = Object.entries(DAYS).flatMap(([name, day]) =>
    [true, false]
      .filter((hasStandIn) => hasStandIn || !LIKE_DOWN.includes(name))
      .map((hasStandIn) => ({ name, day, hasStandIn, teams: /** @type {Partial<Record<Part, Team>>} */ ({}) })),
  );

  describe(`a bad day of ${parts.map((part) => cast.asked[part].kind).join(", ")}`, () => {
    const stage = new Stage();
    /** @type {Relay} */
    let relay;
    /** @type {Fakes} */
    let well;
    /** Who has the bad days. @type {Fakes[]} */
    const fakes = [];
    /** @type {import("playwright-core").Browser} */
    let browser;

    before(async () => {
      // It is said again whenever the microphone is opened again.
      const speech = speak(stage, [0.6, "please wait a moment", 120]);
      well = await Fakes.start();
      stage.after(() => well.stop());
      for (const [i, { hasStandIn, teams }] of cases.entries()) {
        // Each part has a wire of its own.
        const tried = await Fakes.start();
        stage.after(() => tried.stop());
        fakes.push(tried);
        for (const part of parts) {
          const door = await Door.start(tried.host);
          stage.after(() => door.stop());
          teams[part] = new Team(`day${i}${part}`, part, tried, door, well, hasStandIn, cast);
        }
      }
      const all = cases.flatMap(({ teams }) => Object.values(teams));
      relay = await Relay.start({
        ...Object.assign({}, ...all.map((team) => team.settings())),
        VOXRELAY_AGENTS__DEFAULT: all[0].name,
        VOXRELAY_PRICES__FILE: pricesFile(stage, PRICES),
        VOXRELAY_LIMITS__SESSIONS_PER_USER: "100",
        VOXRELAY_LIMITS__SESSIONS_PER_ACCOUNT: "100",
        VOXRELAY_LIMITS__USER_DAY_USD: "100",
      });
      stage.after(() => relay.stop());
      browser = await launch(stage, { microphone: speech.file });
    });
    after(() => stage.clear());

    describe("in one of several calls side by side", { concurrency: AT_ONCE }, () => {
      for (const part of parts) {
        for (const { name, day, hasStandIn, teams } of cases) {
          const told = part === "mouth" ? "the answer is written" : "the user is told";
          test(`${NAMES[part]} ${name}: ${hasStandIn ? "another one stands in" : told}`, () => livesThrough(day, part, teams[part]));
        }
      }
    });

    test("what all calls were billed is what all providers have billed, and nothing else", async () => {
      const requests = (await Promise.all([well, ...fakes].map((one) => one.requests()))).flat();
      const rows = relay.sessions().flatMap(({ id }) => relay.ledger(id));
      for (const part of /** @type {const} */ (["mind", "mouth"])) {
        /** @type {{ wire: string, price: string }[]} */
        const all = parts.includes(part) ? [cast.asked[part], cast.standIns[part]] : [cast.asked[part]];
        for (const { wire, price } of all) {
          const answered = requests.filter((request) => request.wire === wire && request.ended === "done");
          assert.ok(answered.length > 0, `${wire} was asked`);
          const told = rows.filter(({ item, estimated }) => item === price && !estimated);
          assert.equal(quantity(told), billed(part, answered), price);
        }
      }
    });

    /** @param {Day} day @param {Part} part @param {Team | undefined} team */
    async function livesThrough(day, part, team) {
      assert.ok(team);
      const isTold = !team.hasStandIn;
      const isDeaf = part === "ears" && isTold;
      // What nobody has heard is gone, but for what is kept for a recogniser that hears all of a call.
      const isLost = isDeaf && !(day.isSilent && team.isStream);
      await day.begin(team);
      const call = await Call.start(browser, relay, team);
      try {
        if (isDeaf) await call.isTold();
        else await call.isHeard(part === "ears");
        await day.end(team);
        if (isDeaf && !isLost) await call.isHeard(true);
        await call.saysItAgain();
        if (part === "mouth") await call.sounds();
        await call.hangUp();
      } finally {
        await call.leave();
      }

      const { what } = PARTS[part];
      assert.deepEqual(call.degraded(), isTold ? [[what, true], [what, false]] : [], "it is told what does not work, and that it does again");
      assert.deepEqual(call.errors(), isTold && part !== "mouth" ? [part === "ears" ? "not_heard" : "agent_unavailable"] : []);
      const said = call.transcript();
      assert.deepEqual(said, relay.turns(call.sessionId), "it is stored as the page showed it");
      const heard = said.filter(({ role }) => role === "user").map(({ text }) => text);
      assert.equal(heard.length, isLost ? 1 : 2, JSON.stringify(said));
      assert.ok(heard.every((text) => /^word/i.test(text)), `each from its first word on: ${heard}`);
      const answers = heard.map((text) => `You said: ${text}`);
      if (part === "mind" && isTold) {
        answers[0] = NO_ANSWER;
        // What was not answered stands in one message with what is said next. Anthropic's stand-in answers all of that, OpenAI's its last line.
        if (cast.asked.mind.kind === "anthropic") answers[1] = `You said: ${heard.join(" ")}`;
      }
      assert.deepEqual(said.filter(({ role }) => role === "agent").map(({ text }) => text), answers);
      const requests = await team.requests();
      call.isBilled(requests, day.mayBill === true && !team.isStream);
    }
  });
}
