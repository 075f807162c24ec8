// @ts-check
// Deepgram's `v2/listen` (Flux), by its official client.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { client, Connection } from "./support/deepgram.mjs";
import { Fakes, loud, quiet } from "./support/fakes.mjs";

const QUERY = { model: "flux-general-en", encoding: "linear16", sample_rate: 16_000, reconnectAttempts: 0 };

describe("deepgram's recogniser of turns", () => {
  /** @type {Fakes} */
  let fakes;
  before(async () => (fakes = await Fakes.start()));
  after(() => fakes.stop());

  /** @param {object} [act] @param {object} [query] */
  async function listen(act = {}, query = {}) {
    await fakes.script({ "deepgram.flux": [act] });
    const connect = /** @type {any} */ ({ ...QUERY, ...query });
    return Connection.open(await client(fakes).listen.v2.createConnection(connect));
  }

  /** @param {Connection} connection Its events, without updates. */
  const events = (connection) => connection.of("TurnInfo").map(({ event }) => event).filter((event) => event !== "Update");

  test("a turn starts, seems to be over, goes on, and ends", async () => {
    const connection = await listen({ hear: { texts: ["Are you there?"] } }, { eager_eot_threshold: 0.4 });
    assert.equal((await connection.until((message) => message.type === "Connected")).sequence_id, 0);
    connection.socket.sendMedia(Buffer.concat([loud(500), quiet(200), loud(400), quiet(300)]));
    const end = await connection.until((message) => message.event === "EndOfTurn");
    assert.deepEqual(events(connection), ["StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EagerEndOfTurn", "EndOfTurn"]);
    const eager = connection.of("TurnInfo").filter(({ event }) => event === "EagerEndOfTurn");
    assert.deepEqual([end.transcript, end.trigger, end.turn_index], ["Are you there?", "model", 0]);
    assert.equal(eager.at(-1).transcript, end.transcript, "an answer that was prepared is the right one");
    assert.ok(end.end_of_turn_confidence >= 0.7);
    assert.deepEqual(connection.came.map(({ sequence_id }) => sequence_id), connection.came.map((_, index) => index));

    connection.socket.sendMedia(Buffer.concat([loud(400), quiet(300)]));
    const next = await connection.until((message) => message.event === "EndOfTurn" && message.turn_index === 1);
    assert.equal(next.transcript, "word");
    connection.socket.sendCloseStream({ type: "CloseStream" });
    assert.equal((await connection.end()).code, 1000);
    assert.equal((await fakes.request()).bill.seconds, 2.1);
  });

  test("without a threshold for it no turn seems to be over", async () => {
    const connection = await listen();
    connection.socket.sendMedia(Buffer.concat([loud(500), quiet(300)]));
    await connection.until((message) => message.event === "EndOfTurn");
    assert.deepEqual(events(connection), ["StartOfTurn", "EndOfTurn"]);
    connection.socket.close();
  });

  test("a turn is ended by force, and configured one message at a time", async () => {
    const connection = await listen();
    connection.socket.sendMedia(loud(500));
    connection.socket.sendForceEndTurn({ type: "ForceEndTurn" });
    assert.equal((await connection.until((message) => message.event === "EndOfTurn")).trigger, "manual");
    const thresholds = { eot_threshold: 0.9 };
    connection.socket.sendConfigure({ type: "Configure", thresholds });
    connection.socket.sendConfigure({ type: "Configure", thresholds });
    await connection.until((message) => message.type === "ConfigureFailure");
    assert.equal(connection.of("ConfigureSuccess")[0].thresholds.eot_threshold, 0.9);
    connection.socket.close();
  });

  test("an error is told before it is closed; a threshold out of bounds is refused", async () => {
    const connection = await listen({ faults: [{ at: 1, kind: "error", error: "INTERNAL_SERVER_ERROR" }] });
    connection.socket.sendMedia(loud(500));
    assert.equal((await connection.until((message) => message.type === "Error")).code, "INTERNAL_SERVER_ERROR");
    assert.equal((await connection.end()).code, 1011);
    await assert.rejects(listen({}, { eot_threshold: 0.2 }), (/** @type {any} */ event) => /400/.test(event.message));
  });
});
