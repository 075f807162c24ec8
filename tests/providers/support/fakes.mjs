// @ts-check
// The fakes as a program of their own: started, scripted, and asked what they were asked.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const PROGRAM = process.env.E2E_FAKES ?? fileURLToPath(new URL("../../../target/debug/fakes", import.meta.url));
const WAIT_MS = 60_000;

/**
 * What the log says of a request.
 * @typedef {object} Request
 * @property {string} wire
 * @property {string} path
 * @property {string} query
 * @property {"right" | "wrong" | "missing"} key
 * @property {Record<string, string>} headers
 * @property {any} body
 * @property {{ at_ms: number, message?: any, bytes?: number }[]} feeds
 * @property {Record<string, number>} bill
 * @property {number} at_ms
 * @property {number} first_sent_ms
 * @property {number} ended_ms
 * @property {number} sent_pieces
 * @property {"done" | "refused" | "cancelled" | "closed" | null} ended
 */

export class Fakes {
  /** The key that every wire takes. */
  key = "a-key-of-the-fakes";

  /** @param {import("node:child_process").ChildProcess} child @param {number} port */
  constructor(child, port) {
    this.child = child;
    this.host = `127.0.0.1:${port}`;
    this.url = `http://${this.host}`;
  }

  static async start() {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run \`cargo build --package fakes\``);
    const child = spawn(PROGRAM, ["--port", "0", "--key", "a-key-of-the-fakes"], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: child.stdout })) return new Fakes(child, Number(line));
    throw new Error("the fakes ended before they said their port");
  }

  stop() {
    this.child.kill();
  }

  /** Forgets what was scripted and logged, and says what comes next. @param {Record<string, object[]>} acts */
  async script(acts) {
    for (const path of ["/script", "/log"]) await fetch(this.url + path, { method: "DELETE" });
    await this.act(acts);
  }

  /** Says what comes next on these wires; without acts they are their sensible selves again. @param {Record<string, object[]>} acts */
  async act(acts) {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${this.url}/script`, { method: "POST", headers, body: JSON.stringify(acts) });
    if (!response.ok) throw new Error(await response.text());
  }

  /** The requests so far. @returns {Promise<Request[]>} */
  async requests() {
    const response = await fetch(`${this.url}/log`);
    return /** @type {{ requests: Request[] }} */ (await response.json()).requests;
  }

  /** The one request since the script was set, when it has ended. @returns {Promise<Request>} */
  async request() {
    const end = Date.now() + WAIT_MS;
    while (Date.now() < end) {
      const requests = await this.requests();
      if (requests.length > 1) throw new Error(`${requests.length} requests, not one`);
      if (requests[0]?.ended) return requests[0];
      await sleep(20);
    }
    throw new Error("the request does not end");
  }
}

/** A tone of 16 kHz, 16 bits, as loud as speech. @param {number} ms */
export function loud(ms) {
  const samples = Int16Array.from({ length: ms * 16 }, (_, index) => 10_000 * Math.sin(index / 6));
  return Buffer.from(samples.buffer);
}

/** Silence. @param {number} ms */
export function quiet(ms) {
  return Buffer.alloc(ms * 32);
}

/** The sound as a WAV file. @param {Buffer} sound @param {number} rate */
export function wav(sound, rate) {
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + sound.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(sound.length, 40);
  return Buffer.concat([head, sound]);
}
