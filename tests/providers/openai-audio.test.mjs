// @ts-check
// OpenAI's `v1/audio/transcriptions` and `v1/audio/speech`, by its official client.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import OpenAI, { AuthenticationError, BadRequestError, toFile } from "openai";

import { Fakes, loud, quiet, wav } from "./support/fakes.mjs";

/** Bytes of one character: 60 ms of 24 kHz. */
const CHARACTER = 60 * 24 * 2;

describe("openai's recogniser and voice", () => {
  /** @type {Fakes} */
  let fakes;
  /** @type {OpenAI} */
  let client;
  before(async () => {
    fakes = await Fakes.start();
    client = new OpenAI({ apiKey: fakes.key, baseURL: `${fakes.url}/v1`, maxRetries: 0 });
  });
  after(() => fakes.stop());

  const sound = wav(Buffer.concat([quiet(200), loud(900), quiet(400)]), 16_000);
  const file = () => toFile(sound, "speech.wav");

  test("a file becomes text, billed by its length or by tokens", async () => {
    await fakes.script({});
    const whisper = await client.audio.transcriptions.create({ file: await file(), model: "whisper-1" });
    assert.equal(whisper.text, "word one");
    assert.deepEqual(whisper.usage, { type: "duration", seconds: 2 });
    const { bill, body } = await fakes.request();
    assert.deepEqual([bill.seconds, body.model, body.file], [1.5, "whisper-1", { bytes: sound.length }]);

    await fakes.script({ "openai.transcriptions": [{ hear: { texts: ["Grüezi mitenand."] }, think: { usage: { input_tokens: 15, output_tokens: 4 } } }] });
    const { text, usage } = await client.audio.transcriptions.create({ file: await file(), model: "gpt-4o-mini-transcribe" });
    assert.equal(text, "Grüezi mitenand.");
    assert.ok(usage?.type === "tokens" && usage.total_tokens === 19);
    const verbose = await client.audio.transcriptions.create({ file: await file(), model: "whisper-1", response_format: "verbose_json", timestamp_granularities: ["word"] });
    assert.deepEqual(verbose.words, [{ word: "word", start: 0.2, end: 0.6 }, { word: "one", start: 0.6, end: 1 }]);
  });

  test("a text is streamed in deltas", async () => {
    await fakes.script({ "openai.transcriptions": [{ hear: { texts: ["one two three four five six"] } }] });
    const events = [];
    for await (const event of await client.audio.transcriptions.create({ file: await file(), model: "gpt-4o-transcribe", stream: true })) events.push(event);
    assert.deepEqual(events.map((event) => ("delta" in event ? event.delta : event.type)), ["one two three four five ", "six", "transcript.text.done"]);
    assert.equal(/** @type {any} */ (events.at(-1)).text, "one two three four five six");
  });

  test("what is no sound is refused", async () => {
    await fakes.script({});
    const words = toFile(Buffer.from("hello"), "speech.wav");
    await assert.rejects(client.audio.transcriptions.create({ file: await words, model: "whisper-1" }), BadRequestError);
    await fakes.script({ "openai.transcriptions": [{ refuse: { status: 401 } }] });
    await assert.rejects(client.audio.transcriptions.create({ file: await file(), model: "whisper-1" }), AuthenticationError);
  });

  const asked = /** @type {const} */ ({ model: "gpt-4o-mini-tts", voice: "alloy", input: "Hello you." });

  test("a text sounds raw and as a file, 60 ms a character", async () => {
    await fakes.script({});
    const raw = Buffer.from(await (await client.audio.speech.create({ ...asked, response_format: "pcm" })).arrayBuffer());
    assert.equal(raw.length, 10 * CHARACTER);
    const { bill, ended } = await fakes.request();
    assert.deepEqual([bill.characters, ended], [10, "done"]);
    const named = Buffer.from(await (await client.audio.speech.create({ ...asked, response_format: "wav" })).arrayBuffer());
    assert.deepEqual([named.subarray(0, 4).toString(), named.readUInt32LE(24), named.readUInt32LE(40)], ["RIFF", 24_000, 0xffff_ffff]);
    assert.deepEqual(named.subarray(44), raw);
    await fakes.script({ "openai.speech": [{ speak: { sound_ms: 100 } }] });
    assert.equal((await (await client.audio.speech.create({ ...asked, response_format: "pcm" })).arrayBuffer()).byteLength, 4_800);
  });

  test("as events it tells its usage", async () => {
    await fakes.script({});
    const response = await client.audio.speech.create({ ...asked, response_format: "pcm", stream_format: "sse" });
    const events = (await response.text()).trim().split("\n\n").map((event) => JSON.parse(event.slice("data: ".length)));
    const bytes = events.reduce((sum, { audio }) => sum + Buffer.from(audio ?? "", "base64").length, 0);
    assert.equal(bytes, 10 * CHARACTER);
    const { bill } = await fakes.request();
    assert.deepEqual(events.at(-1), {
      type: "speech.audio.done",
      usage: { input_tokens: bill.input_tokens, output_tokens: bill.output_tokens, total_tokens: bill.input_tokens + bill.output_tokens },
    });
  });

  test("a text that is too long is refused, and a voice can break in mid-word", async () => {
    await fakes.script({});
    await assert.rejects(client.audio.speech.create({ ...asked, input: "a".repeat(4_097), response_format: "pcm" }), BadRequestError);
    await assert.rejects(client.audio.speech.create({ ...asked, model: "tts-1", response_format: "pcm", stream_format: "sse" }), BadRequestError);
    await fakes.script({ "openai.speech": [{ faults: [{ at: 2, kind: "drop" }] }] });
    await assert.rejects(async () => (await client.audio.speech.create({ ...asked, response_format: "pcm" })).arrayBuffer());
    assert.equal((await fakes.request()).sent_pieces, 2);
  });
});
