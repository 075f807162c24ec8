// @ts-check
// Deepgram's `v1/listen`, by its official client.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { client, Connection } from "./support/deepgram.mjs";
import { Fakes, loud, quiet } from "./support/fakes.mjs";

const QUERY = {
  model: "nova-3",
  encoding: "linear16",
  sample_rate: 16_000,
  channels: 1,
  interim_results: "true",
  smart_format: "true",
  vad_events: "true",
  endpointing: 300,
  utterance_end_ms: 1_000,
  reconnectAttempts: 0,
};

describe("deepgram's recogniser", () => {
  /** @type {Fakes} */
  let fakes;
  before(async () => (fakes = await Fakes.start()));
  after(() => fakes.stop());

  /** @param {object} [act] @param {object} [query] */
  async function listen(act = {}, query = {}) {
    await fakes.script({ "deepgram.listen": [act] });
    const connect = /** @type {any} */ ({ ...QUERY, ...query });
    return Connection.open(await client(fakes).listen.v1.createConnection(connect));
  }

  /** @param {any} results */
  const heard = (results) => results.channel.alternatives[0].transcript;

  test("an utterance comes as interim results, a final one and the end of the utterance; a closed stream tells its length", async () => {
    const connection = await listen({ hear: { texts: ["Hello there, relay."] } });
    connection.socket.sendMedia(loud(900));
    const interim = await connection.until((message) => message.type === "Results" && heard(message) === "Hello there,");
    assert.deepEqual([interim.is_final, interim.speech_final], [false, false]);
    assert.deepEqual(connection.of("SpeechStarted"), [{ type: "SpeechStarted", channel: [0], timestamp: 0 }]);

    connection.socket.sendMedia(quiet(300));
    const final = await connection.until((message) => message.speech_final);
    assert.equal(heard(final), "Hello there, relay.");
    assert.deepEqual([final.is_final, final.from_finalize, final.start, final.duration], [true, false, 0, 1.2]);
    const words = final.channel.alternatives[0].words;
    assert.deepEqual(words.map((/** @type {any} */ word) => [word.word, word.punctuated_word]), [["hello", "Hello"], ["there", "there,"], ["relay", "relay."]]);
    assert.ok(words.every((/** @type {any} */ word) => word.start < word.end));

    connection.socket.sendMedia(quiet(800));
    const end = await connection.until((message) => message.type === "UtteranceEnd");
    assert.equal(end.last_word_end, words.at(-1).end);

    connection.socket.sendCloseStream({ type: "CloseStream" });
    const metadata = await connection.until((message) => message.type === "Metadata");
    assert.equal(metadata.duration, 2);
    assert.equal((await connection.end()).code, 1000);
    const request = await fakes.request();
    assert.deepEqual([request.ended, request.bill.seconds, request.key], ["done", 2, "right"]);
    assert.deepEqual(request.feeds.map(({ bytes, message }) => bytes ?? message.type), [28_800, 9_600, 25_600, "CloseStream"]);
    assert.ok(!JSON.stringify(request).includes(fakes.key), "no key is logged");
  });

  test("finalize makes what was heard final at once", async () => {
    const connection = await listen();
    connection.socket.sendMedia(loud(900));
    connection.socket.sendFinalize({ type: "Finalize" });
    const final = await connection.until((message) => message.from_finalize);
    assert.deepEqual([heard(final), final.is_final], ["word one", true]);
    connection.socket.close();
    assert.equal((await fakes.request()).ended, "done");
  });

  test("without sound it is closed by 1011, unless it is kept alive", async () => {
    const connection = await listen({ idle_ms: 600 });
    for (let count = 0; count < 4 && !connection.closed; count += 1) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      if (connection.socket.readyState === 1) connection.socket.sendKeepAlive({ type: "KeepAlive" });
    }
    const { code, reason } = await connection.end();
    assert.equal(code, 1011);
    assert.match(reason, /NET-0001/);
    const { feeds, ended, ended_ms } = await fakes.request();
    assert.equal(ended, "closed");
    // However late the messages came, the deadline is that of the last one. A millisecond is lost to rounding.
    assert.ok(ended_ms - (feeds.at(-1)?.at_ms ?? 0) >= 599, JSON.stringify([feeds, ended_ms]));
  });

  test("sound of another encoding closes it by DATA-0000", async () => {
    const connection = await listen({}, { encoding: "opus" });
    connection.socket.sendMedia(loud(100));
    const { code, reason } = await connection.end();
    assert.equal(code, 1008);
    assert.match(reason, /DATA-0000/);
  });

  test("a wrong key and a scripted status refuse the upgrade", async () => {
    for (const [apiKey, act, status] of /** @type {const} */ ([["another", {}, 401], [fakes.key, { refuse: { status: 429 } }, 429]])) {
      await fakes.script({ "deepgram.listen": [act] });
      const socket = await client(fakes, apiKey).listen.v1.createConnection(/** @type {any} */ (QUERY));
      await assert.rejects(Connection.open(socket), (/** @type {any} */ event) => new RegExp(`${status}`).test(event.message));
      socket.close();
      assert.equal((await fakes.request()).ended, "refused");
    }
  });

  test("a script breaks it in mid-utterance: closed by a code, dropped, said twice, stalled", async () => {
    /** @param {string} kind @param {object} [more] */
    const faulty = async (kind, more = {}) => {
      const connection = await listen({ faults: [{ at: 1, kind, ...more }] });
      connection.socket.sendMedia(loud(900));
      return connection;
    };
    const closed = await faulty("close", { code: 1011, reason: "NET-0000" });
    assert.deepEqual(await closed.end(), { code: 1011, reason: "NET-0000" });
    assert.equal(closed.came.length, 1);
    assert.equal((await (await faulty("drop")).end()).code, 1006);

    const twice = await faulty("twice");
    await twice.until((message) => message.type === "Results" && heard(message) === "word one");
    assert.deepEqual(twice.came[1], twice.came[2]);
    twice.socket.close();

    const stalled = await faulty("stall");
    stalled.socket.sendMedia(quiet(300));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.deepEqual([stalled.came.length, stalled.closed], [1, undefined]);
    stalled.socket.close();
  });
});
