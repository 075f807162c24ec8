// @ts-check
// Phoenix, which shows traces to people, as the program that PyPI has: started in a folder of its own, and asked what it keeps and what its pages
// show.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePort } from "../../browser/support/free-port.mjs";
import { until } from "../../browser/support/relay.mjs";

const PROGRAM = process.env.E2E_PHOENIX;
/** It loads half of what PyPI has for data, and makes its database. */
const START_MS = 180_000;
const STOP_MS = 10_000;

/**
 * A span, as its API gives it.
 * @typedef {object} Span
 * @property {string} name
 * @property {{ trace_id: string, span_id: string }} context
 * @property {string} span_kind
 * @property {string | null} parent_id
 * @property {string} status_code
 * @property {Record<string, any>} attributes Those that were sent, and those that Phoenix has made of them.
 */

/** @typedef {{ cost: number | null }} Cost In dollars. */
/**
 * @template T
 * @typedef {{ edges: { node: T }[] }} Edges
 */

/** @typedef {{ truncatedValue: string } | null} Words */

/**
 * A span in the table of traces.
 * @typedef {object} Row
 * @property {string} id Phoenix's own.
 * @property {string} name
 * @property {string} spanKind
 * @property {string} statusCode
 * @property {number | null} latencyMs
 * @property {Words} input
 * @property {Words} output
 */

/** @typedef {Row & { tokenCountPrompt: number | null, tokenCountCompletion: number | null, tokenCountTotal: number | null }} Below */

/** @typedef {Row & { cumulativeTokenCountTotal: number, trace: { traceId: string, numSpans: number, costSummary: { total: Cost } }, descendants: Edges<Below> }} Root */

/** @typedef {{ id: string, rootSpans: Edges<Root> }} Shown */

/** What the table of traces of its page asks for. */
const TABLE = `query ($project: String!) {
  getProjectByName(name: $project) {
    id
    rootSpans: spans(first: 30, sort: { col: startTime, dir: desc }, filterCondition: "parent_span is None") {
      edges {
        node {
          ...Row
          cumulativeTokenCountTotal
          trace { traceId numSpans costSummary { total { cost } } }
          descendants(first: 50) { edges { node { ...Row tokenCountPrompt tokenCountCompletion tokenCountTotal } } }
        }
      }
    }
  }
}
fragment Row on Span { id name spanKind statusCode latencyMs input { truncatedValue } output { truncatedValue } }`;

export class Phoenix {
  /** What it says: shown when it does not start. */
  log = "";

  /**
   * @param {import("node:child_process").ChildProcessByStdio<null, import("node:stream").Readable, import("node:stream").Readable>} child
   * @param {string} folder
   * @param {string} url
   */
  constructor(child, folder, url) {
    this.child = child;
    this.folder = folder;
    this.url = url;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (this.log += text));
  }

  /** Starts it without a word to its makers. @param {import("../../browser/support/stage.mjs").Stage} stage Ends it when the test is over. */
  static async start(stage) {
    if (!PROGRAM || !existsSync(PROGRAM)) throw new Error("E2E_PHOENIX is the path of phoenix: run `cargo xtask test --only phoenix`");
    const [port, grpcPort] = await Promise.all([freePort(), freePort()]);
    const folder = mkdtempSync(join(tmpdir(), "voxrelay-phoenix-"));
    stage.after(() => rmSync(folder, { recursive: true, force: true }));
    const child = spawn(PROGRAM, ["serve"], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        PHOENIX_WORKING_DIR: folder,
        PHOENIX_HOST: "127.0.0.1",
        PHOENIX_PORT: `${port}`,
        PHOENIX_GRPC_PORT: `${grpcPort}`,
        PHOENIX_TELEMETRY_ENABLED: "false",
        PHOENIX_ALLOW_EXTERNAL_RESOURCES: "false",
        PHOENIX_DISABLE_AGENT_ASSISTANT: "true",
        PHOENIX_ENABLE_MCP_SERVER: "false",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const phoenix = new Phoenix(child, folder, `http://127.0.0.1:${port}`);
    stage.after(() => phoenix.stop());
    const isReady = () => {
      if (phoenix.hasEnded()) throw new Error("Phoenix has ended");
      return fetch(`${phoenix.url}/readyz`).then(({ ok }) => ok, () => false);
    };
    await until("Phoenix is ready", isReady, START_MS).catch((error) => {
      throw new Error(`${error.message}; it says:\n${phoenix.log}`);
    });
    return phoenix;
  }

  /** All spans of a project: none before the first has come, since that makes the project. @param {string} project @returns {Promise<Span[]>} */
  async spans(project) {
    const response = await fetch(`${this.url}/v1/projects/${project}/spans?limit=1000`);
    if (response.status === 404) return [];
    if (!response.ok) throw new Error(await response.text());
    return /** @type {{ data: Span[] }} */ (await response.json()).data;
  }

  /** The sessions of a project, with the traces of each. @param {string} project */
  async sessions(project) {
    const response = await fetch(`${this.url}/v1/projects/${project}/sessions`);
    if (!response.ok) throw new Error(await response.text());
    return /** @type {{ data: { session_id: string, traces: unknown[], token_count_total: number }[] }} */ (await response.json()).data;
  }

  /** A project as the table of its traces shows it. @param {string} project @returns {Promise<Shown>} */
  async shown(project) {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ query: TABLE, variables: { project } });
    const response = await fetch(`${this.url}/graphql`, { method: "POST", headers, body });
    if (!response.ok) throw new Error(await response.text());
    const answer = /** @type {{ data?: { getProjectByName: Shown | null }, errors?: unknown[] }} */ (await response.json());
    const shown = answer.data?.getProjectByName;
    if (answer.errors || !shown) throw new Error(JSON.stringify(answer));
    return shown;
  }

  /** Whether this stands anywhere in its folder. Its database is read as the bytes that it is. @param {string} text */
  keeps(text) {
    const files = readdirSync(this.folder, { recursive: true, encoding: "utf8" }).map((name) => join(this.folder, name));
    return files.some((file) => statSync(file, { throwIfNoEntry: false })?.isFile() && readFileSync(file).includes(text));
  }

  hasEnded() {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async stop() {
    if (this.hasEnded()) return;
    const timer = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
    this.child.kill("SIGTERM");
    await once(this.child, "exit");
    clearTimeout(timer);
  }
}
