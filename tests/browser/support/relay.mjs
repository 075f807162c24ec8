// @ts-check
// The real relay, in a folder of its own, and its database read by a program that is not the relay.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** How long a test waits for what mostly takes a second or two: a machine may be several times slower, and have other work. */
export const PATIENCE_MS = 60_000;
const STOP_MS = 10_000;

/** The relay that `cargo xtask test` built. */
export const PROGRAM = process.env.E2E_RELAY ?? fileURLToPath(new URL("../../../target/debug/voxrelay", import.meta.url));

/**
 * A row of `sessions`.
 * @typedef {object} SessionRow
 * @property {string} id
 * @property {string} conversation_id
 * @property {string} user_sub
 * @property {string} account
 * @property {"live" | "ended"} state
 * @property {number} started_at Milliseconds since 1970.
 * @property {number | null} ended_at
 * @property {string | null} end_reason
 * @property {number} epoch
 * @property {number} reconnects
 * @property {number} audio_samples
 * @property {number} cost_nano_usd
 * @property {string} agent
 * @property {number | null} rating
 * @property {string | null} comment
 */

/**
 * A row of `ledger`.
 * @typedef {object} LedgerRow
 * @property {number} from_quantity Of its key: how much of the session was in the rows before.
 * @property {number} quantity
 * @property {number} price_nano_usd
 * @property {number} per
 * @property {string} item
 * @property {string} unit
 * @property {0 | 1} estimated
 * @property {number | null} turn
 * @property {string | null} request_id
 * @property {number} cost_nano_usd
 */

export class Relay {
  /** What it wrote to stderr: shown when a test fails. */
  log = "";

  /**
   * @param {import("node:child_process").ChildProcessByStdio<null, import("node:stream").Readable, import("node:stream").Readable>} child
   * @param {string} folder
   */
  constructor(child, folder) {
    this.child = child;
    this.folder = folder;
    this.port = 0;
    child.stderr.setEncoding("utf8").on("data", (text) => (this.log += text));
  }

  /**
   * Starts `voxrelay dev` on a free port.
   * @param {Record<string, string>} [settings] Environment variables beside the recording.
   * @param {Relay} [before] One that has crashed, whose folder and port it takes.
   */
  static start(settings = {}, before = undefined) {
    return Relay.run(["dev"], settings, before);
  }

  /**
   * Starts `voxrelay` on a free port by a command that runs a relay.
   * @param {string[]} command `dev` or `serve`, and its options.
   * @param {Record<string, string>} [settings] Environment variables beside the recording.
   * @param {Relay} [before] One that has crashed, whose folder and port it takes.
   */
  static async run(command, settings = {}, before = undefined) {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run \`cargo build --package relay\``);
    const folder = before?.folder ?? mkdtempSync(join(tmpdir(), "voxrelay-test-"));
    const child = spawn(PROGRAM, [...command, "--listen", `127.0.0.1:${before?.port ?? 0}`], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        VOXRELAY_RECORDING__DIR: join(folder, "recordings"),
        // How full the disk of this machine is says nothing about the relay.
        VOXRELAY_RECORDING__MIN_FREE_MB: "0",
        // One user at one address makes more calls a minute here than anybody else would.
        VOXRELAY_LIMITS__SESSIONS_PER_MINUTE: "10000",
        VOXRELAY_NETWORK__SESSIONS_PER_MINUTE_PER_ADDRESS: "10000",
        ...settings,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const relay = new Relay(child, folder);
    const lines = createInterface({ input: child.stdout });
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    for await (const line of lines) {
      const port = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port) {
        clearTimeout(timer);
        child.stdout.resume();
        relay.port = Number(port);
        return relay;
      }
    }
    throw new Error(`the relay did not start:\n${relay.log}`);
  }

  /** A token of this relay for a user, as a page's own server would make it. @param {string} sub @param {string[]} roles */
  token(sub, ...roles) {
    const settings = { cwd: this.folder, env: { PATH: process.env.PATH }, encoding: /** @type {const} */ ("utf8") };
    return execFileSync(PROGRAM, ["token", "--sub", sub, ...roles.flatMap((role) => ["--role", role])], settings).trim();
  }

  /** @returns {SessionRow[]} The newest first. */
  sessions() {
    return this.#query("SELECT * FROM sessions ORDER BY started_at DESC, id DESC");
  }

  /**
   * @param {string} id
   * @returns {LedgerRow[]}
   */
  ledger(id) {
    const from = "CAST(substr(key, instr(key, '@') + 1) AS INTEGER)";
    return this.#query(`SELECT *, ${from} AS from_quantity FROM ledger WHERE session_id = '${id}' ORDER BY from_quantity`);
  }

  /**
   * What was said in a session, as it is stored.
   * @param {string} id
   * @returns {{ turn: number, role: "user" | "agent", text: string }[]}
   */
  turns(id) {
    return this.#query(`SELECT turn, role, text FROM turns WHERE session_id = '${id}' ORDER BY turn`);
  }

  /** Waits until the newest session has ended. @returns {Promise<SessionRow>} */
  async endedSession() {
    return until("the session has ended in the database", () => this.sessions().find((row) => row.state === "ended"));
  }

  /**
   * Waits until a session's recording is in its place: the user on the left, the agent on the right.
   * @param {string} id
   * @returns {Promise<string>}
   */
  async recording(id) {
    const folder = join(this.folder, "recordings");
    const name = `${id}.wav`;
    const isThere = () => {
      const files = readdirSync(folder, { recursive: true, withFileTypes: true });
      const file = files.find((entry) => entry.isFile() && entry.name === name);
      return file && join(file.path, name);
    };
    return until("the recording is in its place", isThere).catch((error) => {
      throw new Error(`${error.message}; the relay says:\n${this.log}`);
    });
  }

  /** Kills it in the middle of everything. */
  async crash() {
    this.child.kill("SIGKILL");
    await once(this.child, "exit");
  }

  /** Asks it to stop, waits, and removes its folder. @returns {Promise<number | null>} Its exit code. */
  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const timer = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
      this.child.kill("SIGTERM");
      await once(this.child, "exit");
      clearTimeout(timer);
    }
    rmSync(this.folder, { recursive: true, force: true });
    return this.child.exitCode;
  }

  /** @param {string} sql */
  #query(sql) {
    const file = join(this.folder, "voxrelay-data", "voxrelay.db");
    const rows = execFileSync("sqlite3", ["-readonly", "-json", "-cmd", ".timeout 5000", file, sql], { encoding: "utf8" });
    return rows.trim() === "" ? [] : JSON.parse(rows);
  }
}

/**
 * Asks again and again until there is an answer.
 * @template T
 * @param {string} what Completes "waited in vain until …".
 * @param {() => T | undefined | false | null | Promise<T | undefined | false | null>} ask
 * @param {number} [patienceMs]
 * @returns {Promise<T>}
 */
export async function until(what, ask, patienceMs = PATIENCE_MS) {
  const end = Date.now() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${patienceMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
