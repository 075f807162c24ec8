import assert from "node:assert/strict";
import { test } from "node:test";

import { Emitter } from "../src/emitter.js";

class Bell extends Emitter<{ ring: number; stop: string }> {
  constructor() {
    super({ ring: 1, stop: 1 });
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
