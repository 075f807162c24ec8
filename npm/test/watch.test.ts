import assert from "node:assert/strict";
import { test } from "node:test";

import { type Remedy, type Sound, Watch } from "../src/watch.js";

const NOTHING: Remedy = { tell: false, isHeard: false, isBack: false, resume: false, rebuild: false };

/** What came of so many looks at a clock that stands still: notices, resumes, rebuilds. */
function stand(watch: Watch, at: number, looks: number, sound: Sound): [number, number, number] {
  const remedies = Array.from({ length: looks }, () => watch.look(at, sound));
  const count = (of: keyof Remedy): number => remedies.filter((remedy) => remedy[of]).length;
  return [count("tell"), count("resume"), count("rebuild")];
}

function playing(): Watch {
  const watch = new Watch();
  assert.deepEqual(watch.look(1, "running"), NOTHING);
  return watch;
}

test("an interruption is told once and waited for and resumed once when it is over", () => {
  for (const after of ["suspended", "running"] as const) {
    const watch = playing();
    assert.deepEqual(stand(watch, 1, 12, "interrupted"), [1, 0, 0]);
    assert.deepEqual(watch.look(1, after), { ...NOTHING, resume: true, isBack: true });
    assert.deepEqual(watch.look(2, "running"), { ...NOTHING, isHeard: true });
    assert.deepEqual(watch.look(3, "running"), NOTHING);
  }
});

test("a clock that goes on by itself after an interruption is resumed once all the same", () => {
  const watch = playing();
  stand(watch, 1, 12, "interrupted");
  assert.deepEqual(watch.look(1.5, "running"), { ...NOTHING, isHeard: true, resume: true, isBack: true });
  assert.deepEqual(watch.look(2.5, "running"), NOTHING);
});

test("a clock that stands still while the context says that it runs is made anew every five looks", () => {
  const watch = playing();
  assert.deepEqual(stand(watch, 1, 4, "running"), [1, 0, 0]);
  assert.deepEqual(stand(watch, 1, 1, "running"), [0, 0, 1]);
  // The new context begins at zero, and stands still as well.
  assert.deepEqual(watch.look(0, "running"), NOTHING);
  assert.deepEqual(stand(watch, 0, 5, "running"), [0, 0, 1]);
});

test("a context that waits for a gesture is told once and resumed seldom and never made anew", () => {
  assert.deepEqual(stand(playing(), 1, 20, "suspended"), [1, 4, 0]);
});

test("a second interruption is told again", () => {
  const watch = playing();
  assert.equal(stand(watch, 1, 3, "interrupted")[0], 1);
  watch.look(2, "running");
  watch.look(3, "running");
  assert.equal(stand(watch, 3, 3, "interrupted")[0], 1);
});
