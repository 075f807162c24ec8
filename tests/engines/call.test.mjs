// @ts-check
// The same call in every engine: words go from the microphone to the relay and are answered, the connection is cut in mid-sentence and
// comes back, and when the call is closed nothing is left of it.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { until } from "../browser/support/relay.mjs";
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
const SILENCE_MS = 1_500;
/** Silence has -100 dB; the echo of a file or of a beep is far above this. */
const AUDIBLE_DB = -50;

for (const name of ENGINES) {
  describe(`a spoken call in ${name}`, () => {
    const stage = new Stage();
    /** @type {import("../browser/support/speech.mjs").Speech} */
    let speech;
    /** @type {Awaited<ReturnType<typeof openPage>>} */
    let page;
    /** @type {import("../browser/support/relay.mjs").SessionRow} */
    let session;
    /** @type {import("../browser/support/test-call.mjs").Noted[]} */
    let noted;
    let engine = "";

    before(async () => {
      speech = speak(stage, [1, "The quick brown fox jumps over the lazy dog.", 2, "Seven wizards brought a jug of extra fine mead.", 3]);
      page = await openPage(stage, name, { microphone: speech.file });
      const { call, proxy } = page;
      ({ engine } = await call.start());
      page.engine.speak();
      const begin = Date.now();
      await sleep(2_500);
      const cutAt = (await call.noted()).length;
      proxy.freeze();
      await sleep(SILENCE_MS);
      proxy.drop();
      proxy.thaw();
      const lost = await call.hears(({ name, event }) => name === "state" && event.state === "reconnecting", cutAt);
      await call.hears(({ name, event }) => name === "state" && event.state === "connected", lost);
      await sleep(Math.max(0, speech.seconds * 1000 - (Date.now() - begin)));
      await call.close();
      noted = await call.noted();
      session = await page.relay.endedSession();
    });
    after(() => stage.clear());

    test("the engine runs in a Worker", (t) => {
      t.diagnostic(`${name} ${page.engine.version}`);
      assert.equal(engine, "worker");
    });

    test("the page is told of the loss and of the return, and of no gap", () => {
      assert.equal(session.reconnects, 1);
      assert.equal(session.epoch, 0);
      const told = noted.filter(({ name }) => name === "gap" || name === "error").map(({ name, event }) => event.code ?? name);
      assert.deepEqual(told, ["link_lost"]);
    });

    test("what the microphone gave is at the relay as an ideal resampler would have made it, every chunk of it once", async (t) => {
      const { samples, rate } = readWav(await page.relay.recording(session.id));
      assert.equal(rate, 16_000);
      const given = await page.contexts.captured();
      const windowSeconds = page.engine.isTold ? WINDOW_S.told : WINDOW_S.humming;
      const matches = compare(toReferenceRate(given.samples, given.rate), samples, rate, { windowSeconds });
      const snr = matches.map((match) => match.snrDb);
      const lags = matches.map((match) => match.lag);
      const moved = Math.max(...lags.map((lag) => Math.abs(lag - median(lags))));
      const all = `${snr.length} windows, SNR median ${median(snr).toFixed(1)} dB, moved by ${moved.toFixed(1)} samples`;
      // What a busy machine loses of the file before the browser has it is no matter of the call.
      const ofFile = compare(speech.reference, samples, rate).map((match) => match.snrDb);
      t.diagnostic(page.engine.isTold ? `${all}; of the file, SNR median ${median(ofFile).toFixed(1)} dB` : all);
      const due = page.engine.isTold ? speech.words.reduce((sum, { begin, end }) => sum + (end - begin) / rate, 0) : speech.seconds;
      assert.ok(matches.length > (0.7 * due) / windowSeconds, `${matches.length} windows of ${due.toFixed(0)} s were found`);
      assert.ok(median(snr) >= UPLINK_SNR_DB, `SNR ${snr.map((x) => x.toFixed(1))} dB`);
      assert.ok(moved < CHUNK / 2, `the windows lie ${lags.map((x) => x.toFixed(0))} samples late`);
    });

    test("each utterance is answered with a caption, and the answer is heard", async () => {
      const told = noted.filter(({ name, event }) => name === "transcript" && event.role === "agent" && event.last);
      // Of the answer that the end of the call breaks off, what was not heard is taken back.
      const captions = told.filter(({ event }, i) => told.findIndex((other) => other.event.turn === event.turn) === i);
      const said = captions.map(({ event }) => Number(/You spoke for (\d+\.\d) s/.exec(event.text)?.[1]));
      if (page.engine.isTold) {
        const spoken = speech.words.map(({ begin, end }) => (end - begin) / speech.rate);
        assert.equal(said.length, spoken.length, `${said}`);
        for (const [i, seconds] of said.entries()) assert.ok(Math.abs(seconds - spoken[i]) < 0.8, `${said} s of ${spoken} s`);
      } else {
        assert.ok(said.length >= 3, `${said}`);
        assert.ok(said.every((seconds) => seconds > 0), `${said}`);
      }
      const loudest = await page.call.loudest();
      assert.ok(loudest > AUDIBLE_DB, `${loudest} dB`);
    });

    test("what arrived was metered once", () => {
      const rows = page.relay.ledger(session.id);
      assert.equal(session.end_reason, "normal");
      assert.equal(rows.reduce((sum, row) => sum + row.quantity, 0), session.audio_samples);
      let next = 0;
      for (const row of rows) {
        assert.equal(row.from_quantity, next);
        next += row.quantity;
      }
    });

    test("closed, it leaves neither a live track nor an open context", async () => {
      assert.equal(await page.tracks.live(), 0);
      assert.ok((await page.contexts.states()).length > 0);
      // Firefox says so a moment after it was told to close it.
      const areClosed = async () => (await page.contexts.states()).every((state) => state === "closed");
      await until("every context is closed", areClosed, 2_000);
    });
  });
}
