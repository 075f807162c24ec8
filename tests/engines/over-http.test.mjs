// @ts-check
// In every engine: a call over HTTP, an EventSource in a Worker and a request for each message, whose connections are cut in mid-sentence.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { compare, median } from "../browser/support/signal.mjs";
import { speak, toReferenceRate } from "../browser/support/speech.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { readWav } from "../browser/support/wav.mjs";

/** One chunk. A chunk lost or repeated moves everything after it by as much. */
const CHUNK = 1_600;
/** Rounding to 16 bits leaves more than 66 dB of what was captured. */
const UPLINK_SNR_DB = 55;
/** How much is looked for at a time: more than the second in which WebKit's mock repeats itself. */
const WINDOW_S = { told: 0.5, humming: 1.5 };

describe("a call over HTTP", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const name of ENGINES) {
    test(`is heard, answered, cut and back, and every chunk arrives once, in ${name}`, async (t) => {
      const speech = speak(stage, [1, "The quick brown fox jumps over the lazy dog.", 2, "Seven wizards brought a jug of extra fine mead.", 3]);
      const { call, proxy, relay, engine, contexts } = await openPage(stage, name, { microphone: speech.file });
      await call.start({ transport: "http" });
      engine.speak();
      const begin = Date.now();
      await sleep(2_500);
      const cutAt = (await call.noted()).length;
      proxy.drop();
      const lost = await call.hears(({ name, event }) => name === "state" && event.state === "reconnecting", cutAt);
      await call.hears(({ name, event }) => name === "state" && event.state === "connected", lost);
      await sleep(Math.max(0, speech.seconds * 1000 - (Date.now() - begin)));
      await call.close();

      const noted = await call.noted();
      assert.deepEqual(noted.filter(({ name }) => name === "transport").map(({ event }) => event.transport), ["http"]);
      assert.deepEqual(proxy.frames, [], "there is no WebSocket");
      assert.deepEqual(noted.filter(({ name }) => name === "gap"), []);
      assert.ok(noted.some(({ name, event }) => name === "transcript" && event.role === "agent" && event.last), "the agent answers");

      const session = await relay.endedSession();
      assert.deepEqual([session.end_reason, session.epoch], ["normal", 0]);
      assert.ok(session.reconnects >= 1, `${session.reconnects}`);
      assert.equal(relay.ledger(session.id).reduce((sum, row) => sum + row.quantity, 0), session.audio_samples);

      const { samples, rate } = readWav(await relay.recording(session.id));
      const given = await contexts.captured();
      const windowSeconds = engine.isTold ? WINDOW_S.told : WINDOW_S.humming;
      const matches = compare(toReferenceRate(given.samples, given.rate), samples, rate, { windowSeconds });
      const snr = matches.map((match) => match.snrDb);
      const lags = matches.map((match) => match.lag);
      const moved = Math.max(...lags.map((lag) => Math.abs(lag - median(lags))));
      t.diagnostic(`${snr.length} windows, SNR median ${median(snr).toFixed(1)} dB, moved by ${moved.toFixed(1)} samples`);
      const due = engine.isTold ? speech.words.reduce((sum, { begin, end }) => sum + (end - begin) / rate, 0) : speech.seconds;
      assert.ok(matches.length > (0.7 * due) / windowSeconds, `${matches.length} windows of ${due.toFixed(0)} s were found`);
      assert.ok(median(snr) >= UPLINK_SNR_DB, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
      assert.ok(moved < CHUNK / 2, `the windows lie ${lags.map((x) => x.toFixed(0))} samples late`);
    });
  }
});
