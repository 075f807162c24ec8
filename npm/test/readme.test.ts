import assert from "node:assert/strict";
import { describe, test } from "node:test";

import README from "../README.md";
import { Call } from "../src/call.js";
import { EVENTS, RULES } from "../src/check.js";
import { Emitter } from "../src/emitter.js";
import { LevelSource, untouched } from "../src/snapshot.js";

/** The names in the first column of the first table with this head below this heading: of `on(name, listener)` the name alone. */
function namesOf(heading: string, head: string): string[] {
  const lines = README.slice(README.indexOf(`\n## ${heading}\n`)).split("\n");
  const rows = lines.slice(lines.indexOf(head) + 2);
  const table = rows.slice(0, rows.findIndex((row) => !row.startsWith("|")));
  const cells = table.map((row) => row.split(" | ")[0] ?? "");
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)[^`]*`/g)].map(([, name]) => String(name))).sort();
}

/** What an application may call and read of a class, but for `constructor`. */
function membersOf(made: { readonly prototype: object }): string[] {
  return Object.getOwnPropertyNames(made.prototype).filter((name) => name !== "constructor");
}

describe("the README names, and names nothing else of", () => {
  test("every option", () => {
    const listeners = /^on[A-Z]/;
    const named = namesOf("A call", "| option | default | |").filter((name) => !listeners.test(name));
    assert.deepEqual(named, ["url", "token", ...Object.keys(RULES)].sort());
  });

  test("every method and property of a call", () => {
    const inherited = membersOf(Emitter).filter((name) => /^o/.test(name));
    const named = namesOf("A call", "| method or property | |").filter((name) => name !== "VoiceClient");
    assert.deepEqual(named, [...inherited, "subscribe", ...membersOf(Call)].sort());
  });

  test("every event", () => {
    assert.deepEqual(namesOf("A call", "| event | |"), [...EVENTS].sort());
  });

  test("every part of a snapshot", () => {
    assert.deepEqual(namesOf("What it shows", "| part | |"), Object.keys(untouched(new LevelSource())).sort());
  });
});

describe("what the README has a page do", () => {
  test("reads what a voice that is lost leaves of an answer, and stops when the user says something", () => {
    const [, code = ""] = README.slice(README.indexOf("\nWhere an answer that is only written is not enough")).split(/^```(?:js)?\n/m);
    const listeners = new Map<string, (event: object) => void>();
    const call = { on: (name: string, listener: (event: object) => void) => void listeners.set(name, listener) };
    const did: string[] = [];
    const speechSynthesis = { speak: ({ text }: { text: string }) => void did.push(text), cancel: () => void did.push("(stops)") };
    class Utterance {
      readonly text: string;
      constructor(text: string) {
        this.text = text;
      }
    }
    new Function("call", "speechSynthesis", "SpeechSynthesisUtterance", code)(call, speechSynthesis, Utterance);
    const tell = (name: string, event: object) => listeners.get(name)?.(event);
    tell("transcript", { turn: 1, role: "agent", text: "One. ", last: false });
    tell("degraded", { what: "speaking", degraded: true });
    tell("transcript", { turn: 1, role: "agent", text: "One. Tw", last: false });
    tell("transcript", { turn: 1, role: "agent", text: "One. Two.", last: true });
    assert.deepEqual(did, ["Two."]);
    tell("transcript", { turn: 2, role: "user", text: "Stop", last: true });
    assert.deepEqual(did, ["Two.", "(stops)"]);
  });
});
