// @ts-check
// The command with which everything begins, as a person runs it: run by `cargo xtask test --all`, since it builds.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";

import { ROOT } from "../browser/support/installed.mjs";
import { until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { assertAnswers, instructions } from "./example.mjs";

/** By then it has compiled whatever was not. */
const PATIENCE_MS = 900_000;

describe("the examples", () => {
  const stage = new Stage();
  after(() => stage.clear());

  test("`cargo xtask demo` builds, and prints the address at which the demo page calls", async () => {
    const [command] = /`cargo xtask demo`/.exec(instructions("demo/index.html")) ?? [];
    assert.ok(command);
    const folder = mkdtempSync(join(tmpdir(), "voxrelay-demo-"));
    stage.after(() => rmSync(folder, { recursive: true, force: true }));
    const [program, ...args] = command.replaceAll("`", "").split(" ");
    // Only the port is another one, which is free, and the folder of what it keeps.
    const demo = spawn(program, [...args, "--listen", "127.0.0.1:0"], {
      cwd: ROOT,
      env: { ...process.env, VOXRELAY_DATA_DIR: folder, NO_COLOR: "1" },
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    const over = once(demo, "exit");
    let printed = "";
    demo.stderr.setEncoding("utf8").on("data", (text) => (printed += text));
    stage.after(async () => {
      // cargo, the tool and the relay that it becomes are one group.
      if (demo.exitCode === null && demo.pid) process.kill(-demo.pid, "SIGINT");
      await over;
    });
    const hasEnded = () => demo.exitCode !== null || demo.signalCode !== null;
    const address = await until("it prints the address", () => /open (http:\S+) in a browser/.exec(printed)?.[1] ?? (hasEnded() && "none"), PATIENCE_MS);
    assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/$/, printed);
    await assertAnswers(stage, address, "#captions");
  });
});
