// @ts-check
// Deepgram's `v1/speak` (Aura), by its official client: as a WebSocket and in one request.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { DeepgramError } from "@deepgram/sdk";

import { client, Connection } from "./support/deepgram.mjs";
import { Fakes } from "./support/fakes.mjs";

const QUERY = { model: "aura-2-thalia-en", encoding: "linear16", sample_rate: 24_000, reconnectAttempts: 0 };
/** Bytes of one character: 60 ms of 24 kHz. */
const CHARACTER = 60 * 24 * 2;

describe("deepgram's voice", () => {
  /** @type {Fakes} */
  let fakes;
  before(async () => (fakes = await Fakes.start()));
  after(() => fakes.stop());

  /** @param {object} [act] */
  async function speak(act = {}) {
    await fakes.script({ "deepgram.speak": [act] });
    const connection = await Connection.open(await client(fakes).speak.v1.createConnection(/** @type {any} */ (QUERY)));
    await connection.until((message) => message.type === "Metadata");
    return connection;
  }

  /** @param {Connection} connection How many bytes of sound have come. */
  const sound = (connection) => connection.came.reduce((sum, piece) => sum + (piece?.byteLength ?? piece?.size ?? 0), 0);

  test("what was said before a flush sounds, and then it is told", async () => {
    const connection = await speak();
    connection.socket.sendText({ type: "Speak", text: "Hello " });
    connection.socket.sendText({ type: "Speak", text: "you." });
    assert.equal(sound(connection), 0);
    connection.socket.sendFlush({ type: "Flush" });
    const flushed = await connection.until((message) => message.type === "Flushed");
    assert.equal(flushed.sequence_id, 0);
    assert.equal(sound(connection), 10 * CHARACTER);
    assert.equal(connection.came.at(-1), flushed, "all sound comes before");
    connection.socket.sendClose({ type: "Close" });
    assert.equal((await connection.end()).code, 1000);
    assert.deepEqual([(await fakes.request()).bill.characters, connection.of("Metadata")[0].model_name], [10, QUERY.model]);
  });

  test("clear takes back what has not sounded", async () => {
    const connection = await speak({ pace: { between_ms: 200 } });
    connection.socket.sendText({ type: "Speak", text: "a".repeat(50) });
    connection.socket.sendFlush({ type: "Flush" });
    await connection.until((message) => message?.byteLength > 0 || message?.size > 0);
    connection.socket.sendClear({ type: "Clear" });
    await connection.until((message) => message.type === "Cleared");
    assert.ok(sound(connection) < 50 * CHARACTER);
    assert.deepEqual(connection.of("Flushed"), []);
    connection.socket.close();
  });

  test("the 21st flush within a minute is only warned of", async () => {
    const connection = await speak();
    for (let count = 0; count < 21; count += 1) connection.socket.sendFlush({ type: "Flush" });
    const warning = await connection.until((message) => message.type === "Warning");
    assert.equal(warning.code, "EXCESSIVE_FLUSH");
    assert.equal(connection.of("Flushed").length, 20);
    connection.socket.close();
  });

  test("in one request: raw or as a file, with the characters that are billed", async () => {
    await fakes.script({});
    const speech = client(fakes).speak.v1.audio;
    const asked = /** @type {const} */ ({ text: "Hello you.", model: "aura-2-thalia-en", encoding: "linear16", sample_rate: 24_000 });
    const { data, rawResponse } = await speech.generate({ ...asked, container: "none" }).withRawResponse();
    assert.equal((await data.arrayBuffer()).byteLength, 10 * CHARACTER);
    assert.equal(rawResponse.headers.get("dg-char-count"), "10");
    assert.equal(rawResponse.headers.get("dg-model-name"), "aura-2-thalia-en");
    const file = Buffer.from(await (await speech.generate(asked)).arrayBuffer());
    assert.equal(file.subarray(0, 4).toString(), "RIFF");
    assert.equal(file.length, 44 + 10 * CHARACTER);
    const requestId = rawResponse.headers.get("dg-request-id");
    assert.match(`${requestId}`, /^[0-9a-f-]{36}$/);
    const wrong = client(fakes, "another").speak.v1.audio.generate(asked, { maxRetries: 0 });
    // What is wrong is told in the body, and in headers that sockets have, too, whose client hands none over.
    const error = await wrong.then(() => assert.fail("a wrong key is taken"), (/** @type {unknown} */ error) => error);
    assert.ok(error instanceof DeepgramError && error.statusCode === 401);
    const [told, refused] = [/** @type {any} */ (error.body), error.rawResponse];
    assert.deepEqual([told.err_code, told.request_id], ["INVALID_AUTH", requestId]);
    assert.deepEqual([refused?.headers.get("dg-error"), refused?.headers.get("dg-request-id")], [told.err_msg, requestId]);
    await fakes.script({ "deepgram.speak_once": [{ faults: [{ at: 2, kind: "drop" }] }] });
    await assert.rejects(async () => (await speech.generate(asked, { maxRetries: 0 })).arrayBuffer());
    assert.equal((await fakes.request()).ended, "closed");
  });
});
