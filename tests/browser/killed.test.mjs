// @ts-check
// The relay is killed in the middle of a sentence and started again: the sentence is heard once and whole, and answered.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { Fakes } from "../providers/support/fakes.mjs";
import { launch } from "./support/chromium.mjs";
import { Door } from "./support/door.mjs";
import { pricesFile } from "./support/prices.mjs";
import { Relay } from "./support/relay.mjs";
import { speak } from "./support/speech.mjs";
import { Stage } from "./support/stage.mjs";
import { billed, Call, quantity } from "./support/team-call.mjs";
import { PARTS, PRICES, Team } from "./support/team.mjs";

/** Without a pause. What the stand-in makes of it is a word for each 400 ms. */
const SENTENCE = "the quick brown fox jumps over the lazy dog and runs into the forest where nobody finds it any more";
const WORDS = "word one two three four five six seven eight nine ten eleven 12 13 14 15 16 17 18 19".split(" ");
const COLD_MS = 30_000;

describe("a relay that is killed in mid-sentence", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("goes on with one turn, one sentence and one bill", async () => {
    const fakes = await Fakes.start();
    stage.after(() => fakes.stop());
    const door = await Door.start(fakes.host);
    stage.after(() => door.stop());
    const team = new Team("host", "ears", fakes, door, fakes, false);
    const settings = { ...team.settings(), VOXRELAY_AGENTS__DEFAULT: team.name, VOXRELAY_PRICES__FILE: pricesFile(stage, PRICES) };
    const lost = await Relay.start(settings);
    stage.after(() => lost.stop());
    const speech = speak(stage, [0.6, SENTENCE, 60]);
    const browser = await launch(stage, { microphone: speech.file });
    const call = await Call.start(browser, lost, team);

    await call.hears(({ name, event }) => name === "transcript" && event.role === "user" && event.text.includes(" "));
    await lost.crash();
    const relay = await Relay.start(settings, lost);
    stage.after(() => relay.crash());
    call.relay = relay;
    await call.hears(({ name, event }) => name === "state" && event.state === "connected", COLD_MS);
    await call.turn();
    await call.hangUp();

    const noted = await call.page.noted();
    const order = noted.map(({ name, event }) => (name === "state" ? event.state : name));
    const back = order.slice(order.lastIndexOf("reconnecting"));
    const told = back.indexOf("session");
    assert.ok(told > 0 && told < back.indexOf("connected"), `the other epoch is told before the call is up: ${back.slice(0, 40)}`);
    const between = back.slice(told, back.indexOf("connected")).filter((step) => ["transcript", "agent", "usage"].includes(step));
    assert.deepEqual(between, [], "what the agent does and says is told after that");
    const epochs = noted.filter(({ name }) => name === "session").map(({ event }) => event.epoch);
    assert.deepEqual([epochs.length, epochs[0], epochs[1] > 0], [2, 0, true], `epochs ${epochs}`);

    const said = call.transcript();
    assert.deepEqual(said, relay.turns(call.sessionId), "it is stored as the page showed it");
    assert.deepEqual(said.map(({ role }) => role), ["user", "agent"], JSON.stringify(said));
    const words = said[0].text.toLowerCase().split(/\W+/);
    assert.deepEqual(words, WORDS.slice(0, words.length), "each word once, in its order");
    assert.ok(words.length >= 0.6 * ((speech.words[0].end - speech.words[0].begin) / speech.rate / 0.4), `whole: ${said[0].text}`);
    assert.equal(said[1].text, `You said: ${said[0].text}`);
    // Tokens come from the relay as well, here.
    const unexpected = call.errors().filter((code) => code !== "link_lost" && code !== "token_unavailable");
    assert.deepEqual([...unexpected, ...call.gaps()], []);

    const session = call.session();
    assert.ok(session && session.epoch > 0 && session.end_reason === "normal", JSON.stringify(session));
    const rows = relay.ledger(call.sessionId);
    const heard = rows.filter(({ unit }) => unit === "sample");
    assert.equal(quantity(heard), session.audio_samples, "what was said is paid for once");
    let next = 0;
    for (const row of heard) {
      assert.equal(row.from_quantity, next);
      next += row.quantity;
    }
    const again = rows.filter(({ unit }) => unit === "repeated_sample");
    assert.ok(again.every(({ cost_nano_usd }) => cost_nano_usd === 0), JSON.stringify(again));
    const answered = (await fakes.requests()).filter(({ ended }) => ended === "done");
    for (const part of /** @type {const} */ (["mind", "mouth"])) {
      const told = rows.filter(({ item }) => item === PARTS[part].price);
      const requests = answered.filter(({ wire }) => wire === PARTS[part].wire);
      assert.equal(quantity(told), billed(part, requests), JSON.stringify([told, requests]));
    }
    // Of what the killed relay had set aside for the answer nobody knows whether it was asked for: docs/records.md.
    const known = new Set([...heard, ...again, ...rows.filter(({ item }) => item === PARTS.mind.price || item === PARTS.mouth.price)]);
    const unknown = rows.filter((row) => !known.has(row));
    assert.ok(unknown.length <= 1 && unknown.every(({ item, estimated }) => item === "unknown/lost" && estimated), JSON.stringify(unknown));
    assert.equal(rows.reduce((sum, row) => sum + row.cost_nano_usd, 0), session.cost_nano_usd);
  });
});
