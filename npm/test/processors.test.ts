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
  engine.say(false);
  for (let i = 0; i < 7; i++) processor.process([[quantum(3)]], [[]]);
  assert.deepEqual(engine.posted, [new Float32Array(896).fill(3)]);
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
  const fade = output.subarray(0, 144);
  assert.ok(fade.every((sample, i) => sample > 0 && (i === 0 || sample < (fade[i - 1] ?? 0))), "it falls");
  assert.ok(output.subarray(144).every((sample) => sample === 0));
  engine.say(new Float32Array(128).fill(0.5));
  const next = new Float32Array(128);
  processor.process([], [[next]]);
  assert.ok(next.every((sample) => sample === 0.5));
  assert.deepEqual(engine.posted, [128, null, 128]);
});
