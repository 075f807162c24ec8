import assert from "node:assert/strict";
import { test } from "node:test";

import { registerProcessors } from "../src/processors.js";

/** One end of a channel that delivers at once. */
class FakePort {
  readonly posted: unknown[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  closed = false;
  postMessage(message: unknown): void {
    this.posted.push(structuredClone(message));
  }
  close(): void {
    this.closed = true;
  }
  say(data: unknown): void {
    this.onmessage?.({ data });
  }
}

interface Processor {
  port: FakePort;
  process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
}

const processors = new Map<string, new () => Processor>();
Object.assign(globalThis, {
  sampleRate: 48_000,
  AudioWorkletProcessor: class {
    readonly port = new FakePort();
  },
  registerProcessor: (name: string, processor: new () => Processor) => processors.set(name, processor),
});
registerProcessors();

function connected(name: string): { processor: Processor; engine: FakePort } {
  const made = processors.get(name);
  assert.ok(made, name);
  const processor = new made();
  const engine = new FakePort();
  processor.port.say(engine);
  return { processor, engine };
}

function quantum(value: number): Float32Array {
  return new Float32Array(128).fill(value);
}

test("the source stands on its own, so that it can be loaded as a blob", () => {
  const before = processors.size;
  processors.clear();
  new Function(`(${registerProcessors.toString()})()`)();
  assert.equal(processors.size, before);
});

test("the tap posts about 20 ms at a time and loses no sample", () => {
  const { processor, engine } = connected("voxrelay-tap");
  for (let i = 0; i < 70; i++) assert.ok(processor.process([[quantum(i)]], [[]]));
  const blocks = engine.posted as Float32Array[];
  assert.ok(blocks.every(({ length }) => length === 896));
  assert.deepEqual(
    blocks.flatMap((block) => [...block]),
    Array.from({ length: 70 * 128 }, (_, sample) => Math.floor(sample / 128)),
  );
});

test("a muted tap posts nothing, and nothing from before when it is unmuted", () => {
  const { processor, engine } = connected("voxrelay-tap");
  processor.process([[quantum(1)]], [[]]);
  engine.say(true);
  for (let i = 0; i < 20; i++) processor.process([[quantum(2)]], [[]]);
  assert.equal(engine.posted.length, 0);
  engine.say(0);
  for (let i = 0; i < 7; i++) processor.process([[quantum(3)]], [[]]);
  assert.deepEqual(engine.posted, [new Float32Array(896).fill(3)]);
});

test("a tap that is told to hurry posts at most so much at a time, and loses nothing of what it had", () => {
  const { processor, engine } = connected("voxrelay-tap");
  for (let i = 0; i < 5; i++) processor.process([[quantum(i)]], [[]]);
  engine.say(384);
  for (let i = 5; i < 12; i++) processor.process([[quantum(i)]], [[]]);
  const blocks = engine.posted as Float32Array[];
  assert.deepEqual(blocks.map(({ length }) => length), [640, 384, 384]);
  assert.deepEqual(blocks.flatMap((block) => [...block]), Array.from({ length: 11 * 128 }, (_, sample) => Math.floor(sample / 128)));
  engine.say(0);
  for (let i = 12; i < 18; i++) processor.process([[quantum(i)]], [[]]);
  assert.equal(blocks.at(-1)!.length, 896);
});

test("an input without a channel is silence, which takes its time, and is not posted while the tap is muted", () => {
  const { processor, engine } = connected("voxrelay-tap");
  for (let i = 0; i < 3; i++) processor.process([[quantum(1)]], [[]]);
  for (let i = 0; i < 11; i++) processor.process([[]], [[]]);
  const blocks = engine.posted as Float32Array[];
  assert.deepEqual(blocks.map(({ length }) => length), [896, 896]);
  assert.deepEqual(blocks.flatMap((block) => [...block]), [...Array(384).fill(1), ...Array(1_408).fill(0)]);
  engine.say(true);
  for (let i = 0; i < 20; i++) processor.process([[]], [[]]);
  assert.equal(blocks.length, 2);
});

test("a tap without a microphone goes on, and one that is dismissed ends and says so", () => {
  const { processor, engine } = connected("voxrelay-tap");
  assert.ok(processor.process([[]], [[]]));
  processor.port.say(null);
  assert.ok(engine.closed);
  assert.deepEqual(processor.port.posted, []);
  assert.equal(processor.process([[quantum(1)]], [[]]), false);
  assert.deepEqual(processor.port.posted, [null]);
});

test("a loudspeaker that is dismissed is silent at once, ends and says so", () => {
  const { processor, engine } = connected("voxrelay-playback");
  engine.say(new Float32Array(4_800).fill(1));
  processor.port.say(null);
  const output = quantum(0);
  assert.equal(processor.process([], [[output]]), false);
  assert.deepEqual(output, quantum(0));
  assert.deepEqual(processor.port.posted, [null]);
});

test("what is queued is played in order, and every sample is reported once, silence never", () => {
  const { processor, engine } = connected("voxrelay-playback");
  engine.say(Float32Array.from({ length: 1_000 }, (_, i) => i / 1_000));
  engine.say(Float32Array.from({ length: 500 }, (_, i) => (1_000 + i) / 1_000));
  const played: number[] = [];
  for (let i = 0; i < 20; i++) {
    const output = new Float32Array(128);
    processor.process([], [[output]]);
    played.push(...output);
  }
  assert.deepEqual(
    played.slice(0, 1_500),
    Array.from({ length: 1_500 }, (_, i) => Math.fround(i / 1_000)),
  );
  assert.ok(played.slice(1_500).every((sample) => sample === 0));
  assert.equal((engine.posted as number[]).reduce((sum, count) => sum + count, 0), 1_500);
});

test("a flush fades within 3 ms, drops the rest, and says first what was heard before", () => {
  const { processor, engine } = connected("voxrelay-playback");
  engine.say(new Float32Array(4_800).fill(1));
  processor.process([], [[quantum(0)]]);
  engine.say(null);
  assert.deepEqual(engine.posted, [128, null]);
  const output = new Float32Array(256);
  processor.process([], [[output]]);
  const fade = output.subarray(0, 143);
  assert.ok(fade.every((sample, i) => sample > 0 && (i === 0 || sample < (fade[i - 1] ?? 0))), "it falls");
  assert.ok(output.subarray(143).every((sample) => sample === 0));
  engine.say(new Float32Array(256).fill(0.5));
  const next = new Float32Array(256);
  processor.process([], [[next]]);
  assert.ok(next.every((sample, i) => sample > 0 && (i === 0 || sample >= (next[i - 1] ?? 0))), "it rises");
  assert.ok(next.subarray(144).every((sample) => sample === 0.5));
  assert.deepEqual(engine.posted, [128, null, 256]);
});

/** What the loudspeaker renders in so many runs. */
function rendered(processor: Processor, runs: number): number[] {
  return Array.from({ length: runs }, () => {
    const output = new Float32Array(128);
    processor.process([], [[output]]);
    return [...output];
  }).flat();
}

const reported = (engine: FakePort): number =>
  (engine.posted as (number | null)[]).reduce<number>((sum, count) => sum + (count ?? 0), 0);

test("a hold fades out within 20 ms without a jump, keeps its place, and goes on there with a fade", () => {
  const { processor, engine } = connected("voxrelay-playback");
  engine.say(new Float32Array(9_600).fill(1));
  rendered(processor, 10);
  engine.say(true);
  const out = rendered(processor, 40);
  const silent = out.indexOf(0);
  assert.ok(silent > 0 && silent <= 960, `silent after ${silent} samples`);
  assert.ok(out.slice(0, silent).every((sample, i) => i === 0 || Math.abs(sample - (out[i - 1] ?? 0)) < 0.01), "no jump");
  assert.ok(out.slice(silent).every((sample) => sample === 0));
  const place = reported(engine);
  assert.equal(place, 1_280 + silent + 1, "it says where it stopped, its last sample silent");
  engine.say(new Float32Array(128).fill(1));
  assert.ok(rendered(processor, 10).every((sample) => sample === 0), "what comes meanwhile waits");
  engine.say(false);
  const back = rendered(processor, 100);
  assert.ok(back[0] !== undefined && back[0] > 0 && back[0] < 0.01, "it fades in");
  assert.equal(back.filter((sample) => sample !== 0).length, 9_600 + 128 - place, "each sample once");
  assert.equal(reported(engine), 9_600 + 128);
});

test("a flush while it is held drops everything without a sound, and what comes then is heard", () => {
  const { processor, engine } = connected("voxrelay-playback");
  engine.say(new Float32Array(4_800).fill(1));
  rendered(processor, 5);
  engine.say(true);
  rendered(processor, 10);
  engine.say(null);
  assert.ok(rendered(processor, 5).every((sample) => sample === 0));
  engine.say(new Float32Array(1_280).fill(0.5));
  assert.equal(rendered(processor, 10).filter((sample) => sample !== 0).length, 1_280);
});

test("what comes to a loudspeaker that is empty and held waits, all of it", () => {
  const { processor, engine } = connected("voxrelay-playback");
  engine.say(true);
  rendered(processor, 1);
  engine.say(new Float32Array(1_280).fill(1));
  assert.ok(rendered(processor, 20).every((sample) => sample === 0));
  engine.say(false);
  assert.equal(rendered(processor, 20).filter((sample) => sample !== 0).length, 1_280);
});

test("a hold for so many samples ends by itself where it stopped, unless it is told meanwhile to wait for good or no more", () => {
  const { processor, engine } = connected("voxrelay-playback");
  engine.say(new Float32Array(38_400).fill(1));
  rendered(processor, 10);
  engine.say(4_800);
  const out = rendered(processor, 60);
  const silent = out.indexOf(0);
  const back = out.findIndex((sample, i) => i > silent && sample !== 0);
  assert.ok(silent > 0 && silent <= 960 && back > 4_700 && back <= 4_928, `silent from ${silent} to ${back}`);
  assert.ok(out.every((sample, i) => i === 0 || Math.abs(sample - (out[i - 1] ?? 0)) < 0.01), "no jump");
  for (const [told, isHeard] of [[true, false], [false, true]] as const) {
    engine.say(4_800);
    rendered(processor, 10);
    engine.say(told);
    assert.equal(rendered(processor, 50).some((sample) => sample !== 0), isHeard);
    engine.say(false);
    rendered(processor, 10);
  }
  rendered(processor, 400);
  assert.equal(reported(engine), 38_400, "each sample once");
});
