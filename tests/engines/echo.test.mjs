// @ts-check
// What is left of the agent's voice in the microphone, by each way of playing it: the SDK plays it as its audio context does, through no element. For
// WebKit there is no test: its mock microphone hears no loudspeaker, and on a Mac or an iPhone the system cancels echoes.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { ENGINES, openPage } from "../browser/support/engines.mjs";
import { median } from "../browser/support/signal.mjs";
import { LOUDSPEAKERS } from "../browser/support/sound.mjs";
import { Stage } from "../browser/support/stage.mjs";

/** A canceller that hears what is played took away 20 dB and more here, and one that hears something else 2. */
const CANCELLED_DB = 12;
/** So often is each way measured: how soon a canceller knows the room differs from one time to the next. */
const TIMES = 3;

/** Engines whose microphones can be in a room, and whether their contexts can be given a loudspeaker. */
const ROOMS = /** @type {Record<string, { choosesLoudspeakers: boolean }>} */ ({
  chromium: { choosesLoudspeakers: true },
  firefox: { choosesLoudspeakers: false },
});

/**
 * One way of playing. `speaker`: a call of the SDK's chooses it for the context, an empty one leaves it to the system; `isGivenBack`: it is given
 * back to the system in the same call.
 * @typedef {{ echoCancellation: boolean, element?: boolean, speaker?: string, isGivenBack?: boolean }} Way
 */

describe("the agent's voice in the user's microphone", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());

  for (const name of ENGINES.filter((engine) => engine in ROOMS)) {
    test(`is cancelled as the SDK plays it, by a context and through no element, in ${name}`, async (t) => {
      const { tab } = await openPage(stage, name, { isPlugged: true, isRoom: true });
      /** @param {Way} way */
      const left = (way) => tab.evaluate(loudness, way);
      const uncancelled = await left({ echoCancellation: false });
      assert.ok(uncancelled > -40, `the microphone hears the loudspeaker: ${uncancelled} dBFS`);
      const ways = /** @type {[string, Way][]} */ ([
        ["the context", { echoCancellation: true }],
        ["an element", { echoCancellation: true, element: true }],
        ...(ROOMS[name].choosesLoudspeakers
          ? [
              ["the context, on another loudspeaker", { echoCancellation: true, speaker: LOUDSPEAKERS[1] }],
              ["the context, on the system's loudspeaker in a later call", { echoCancellation: true, speaker: "" }],
              ["the context, on the system's loudspeaker again in the same call", { echoCancellation: true, speaker: LOUDSPEAKERS[1], isGivenBack: true }],
            ]
          : []),
      ]);
      const taken = /** @type {Map<string, number[]>} */ (new Map(ways.map(([what]) => [what, []])));
      // One way after the other, in one page: without the SDK's doing, what was played on another loudspeaker is what Chromium would go on to take
      // away in the later contexts.
      for (const [what, way] of ways) {
        for (let time = 0; time < TIMES; time += 1) taken.get(what)?.push(uncancelled - (await left(way)));
      }
      for (const [what, dbs] of taken) {
        const each = dbs.map((db) => db.toFixed(0)).join(", ");
        t.diagnostic(`${name}: ${median(dbs).toFixed(0)} dB of it are taken away where it is played by ${what} (median of ${each})`);
        // By an element the SDK plays nothing: what is said of it is for those who do.
        if (what !== "an element") assert.ok(median(dbs) > CANCELLED_DB, `${what}: ${each} dB`);
      }
    });
  }
});

/**
 * How loud the microphone is in the page, in dBFS, once an echo canceller knows the room. What is played is noise in syllables.
 * @param {Way} way
 * @returns {Promise<number>}
 */
async function loudness({ echoCancellation, element = false, speaker, isGivenBack = false }) {
  const SETTLED_MS = 12_000;
  const MEASURED_MS = 5_000;
  const context = new AudioContext();
  const audio = { echoCancellation, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  await context.resume();
  const meter = new AnalyserNode(context, { fftSize: 2_048 });
  context.createMediaStreamSource(stream).connect(meter).connect(new GainNode(context, { gain: 0 })).connect(context.destination);
  const seconds = 4;
  const buffer = context.createBuffer(1, seconds * context.sampleRate, context.sampleRate);
  buffer.copyToChannel(
    Float32Array.from({ length: buffer.length }, (_, at) => (Math.random() - 0.5) * 0.4 * Math.max(0, Math.sin((at / context.sampleRate) * 2 * Math.PI * 4))),
    0,
  );
  const agent = new AudioBufferSourceNode(context, { buffer, loop: true });
  const player = new Audio();
  if (element) {
    const out = new MediaStreamAudioDestinationNode(context);
    agent.connect(out);
    player.srcObject = out.stream;
    await player.play();
  } else {
    agent.connect(context.destination);
  }
  const { harness } = /** @type {any} */ (globalThis);
  if (speaker !== undefined) {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const { deviceId } = devices.find(({ kind, label }) => kind === "audiooutput" && label === speaker) ?? {};
    if (speaker && !deviceId) throw new Error(`there is no loudspeaker ${speaker}`);
    // What the call's own agent says is not heard: the noise stands for it.
    const output = new GainNode(context, { gain: 0 });
    output.connect(context.destination);
    await harness.start({ audioContext: context, output, microphone: stream, ...(deviceId && { speaker: deviceId }) });
    for (const end = performance.now() + SETTLED_MS; deviceId && /** @type {any} */ (context).sinkId !== deviceId; ) {
      if (performance.now() > end) throw new Error(`the call does not play on ${speaker}`);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    if (isGivenBack) await harness.speaker();
  }
  agent.start();
  await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
  const samples = new Float32Array(meter.fftSize);
  let power = 0;
  let count = 0;
  for (const end = performance.now() + MEASURED_MS; performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 40));
    meter.getFloatTimeDomainData(samples);
    for (const sample of samples) power += sample * sample;
    count += samples.length;
  }
  if (speaker !== undefined) await harness.close();
  player.pause();
  for (const track of stream.getTracks()) track.stop();
  await context.close();
  return 10 * Math.log10(power / count + 1e-12);
}
