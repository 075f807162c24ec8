import assert from "node:assert/strict";
import { test } from "node:test";

import { Emitter } from "../src/emitter.js";

class Bell extends Emitter<{ ring: number; stop: string }> {
  constructor() {
    super(["ring", "stop"]);
  }

  ring(count: number): void {
    this.emit("ring", count);
  }
}

test("a listener hears each event until it is taken off, by either way", () => {
  const bell = new Bell();
  const heard: string[] = [];
  const first = (count: number): void => void heard.push(`first ${count}`);
  bell.on("ring", first);
  const stop = bell.on("ring", (count) => heard.push(`second ${count}`));
  bell.ring(1);
  stop();
  bell.ring(2);
  bell.off("ring", first);
  bell.ring(3);
  assert.deepEqual(heard, ["first 1", "second 1", "first 2"]);
});

test("off stops a listener however it was given, and one that was given twice hears twice and stops each by itself", () => {
  const bell = new Bell();
  let count = 0;
  const listener = (): void => void (count += 1);
  bell.once("ring", listener);
  bell.off("ring", listener);
  bell.ring(1);
  assert.equal(count, 0);
  const stop = bell.on("ring", listener);
  bell.on("ring", listener);
  bell.ring(2);
  assert.equal(count, 2);
  stop();
  stop();
  bell.ring(3);
  assert.equal(count, 3);
  bell.on("ring", listener);
  bell.off("ring", listener);
  bell.ring(4);
  assert.equal(count, 3);
});

test("once is once, even if the listener causes the event again", () => {
  const bell = new Bell();
  let count = 0;
  bell.once("ring", () => {
    count += 1;
    bell.ring(count);
  });
  bell.ring(0);
  assert.equal(count, 1);
});

test("a listener that throws is reported and the others still hear", () => {
  const reported: unknown[] = [];
  globalThis.reportError = (thrown) => void reported.push(thrown);
  const bell = new Bell();
  const mistake = new Error("mine");
  let heard = false;
  bell.on("ring", () => {
    throw mistake;
  });
  bell.on("ring", () => (heard = true));
  bell.ring(1);
  assert.ok(heard);
  assert.deepEqual(reported, [mistake]);
});

test("a listener that another one takes off is not called any more, and one that is added hears the next event", () => {
  const bell = new Bell();
  const heard: string[] = [];
  bell.on("ring", () => {
    stop();
    bell.once("ring", () => heard.push("late"));
  });
  const stop = bell.on("ring", () => heard.push("second"));
  bell.ring(1);
  assert.deepEqual(heard, []);
  bell.ring(2);
  assert.deepEqual(heard, ["late"]);
});
