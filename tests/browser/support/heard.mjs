// @ts-check
// What was heard of a call and what it has cost, wherever that is kept.

import assert from "node:assert/strict";

/** @typedef {{ turn: number, role: "user" | "agent", text: string }} Turn */

/**
 * Holds what the page was told of a call against its transcript, its export, and its bill. The answer that sounded when the user hung up is left
 * out: the page has left before anybody knew how far it was heard.
 * @param {import("./relay.mjs").Relay} relay
 * @param {import("../../providers/support/fakes.mjs").Fakes} fakes The stand-ins, whose voice was asked for nothing else.
 * @param {Turn[]} told Each turn, as the page was told of it last.
 */
export async function sameEverywhere(relay, fakes, told) {
  const session = await relay.endedSession();
  const headers = { authorization: `Bearer ${relay.token(session.user_sub)}` };
  /** @param {string} path */
  const get = async (path) => {
    const response = await fetch(`http://127.0.0.1:${relay.port}${path}`, { headers });
    assert.equal(response.status, 200, path);
    return response.text();
  };
  const last = Math.max(...told.filter(({ role }) => role === "agent").map(({ turn }) => turn));
  /** @param {Turn[]} turns */
  const words = (turns) =>
    turns
      .filter(({ turn, text }) => turn < last && text !== "")
      .map(({ turn, role, text }) => ({ turn, role, text }))
      .toSorted((a, b) => a.turn - b.turn);

  const transcript = /** @type {{ turns: Turn[] }} */ (JSON.parse(await get(`/v1/sessions/${session.id}/transcript?limit=100`)));
  assert.deepEqual(words(transcript.turns), words(told), "the transcript has what the page was told");
  const text = await get(`/v1/sessions/${session.id}/transcript?format=text`);
  // Each turn is a line, whose line breaks are spaces.
  const asLine = (/** @type {Turn} */ { role, text: said }) => `${role}: ${said.trim().replace(/\s+/g, " ")}`;
  const spokenLines = text.split("\n").filter((line) => /^(user|agent): ./.test(line));
  assert.deepEqual(spokenLines, transcript.turns.filter(({ text: said }) => said.trim() !== "").map(asLine), "so has its text");
  const lines = (await get("/v1/export/sessions.ndjson")).trim().split("\n");
  const exported = lines.map((line) => /** @type {{ session: { id: string }, turns: Turn[] }} */ (JSON.parse(line)));
  const kept = exported.find(({ session: { id } }) => id === session.id);
  assert.deepEqual(kept && words(kept.turns), words(told), "so has the export");

  const sum = (/** @type {number[]} */ values) => values.reduce((all, value) => all + value, 0);
  const billed = sum(relay.ledger(session.id).filter(({ unit }) => unit === "character").map(({ quantity }) => quantity));
  const spoken = (await fakes.requests()).filter(({ wire }) => wire === "openai.speech");
  assert.equal(billed, sum(spoken.map(({ bill }) => bill.characters)), "the bill has all that the voice was asked for");
  const heard = sum(transcript.turns.filter(({ role }) => role === "agent").map(({ text }) => text.length));
  assert.ok(billed > heard, `${billed} characters are paid for, ${heard} were heard`);
}
