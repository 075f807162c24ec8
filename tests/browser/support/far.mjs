// @ts-check
// A network that loses packets, between this machine and a network namespace in which a browser may be started. Linux and root.

import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = process.env.E2E_FAR ?? fileURLToPath(new URL("../../../target/debug/examples/far", import.meta.url));

/**
 * Makes the network.
 * @param {import("./stage.mjs").Stage} stage Takes it away when the test is over.
 * @param {{ delayMs: number, lossPercent: number, seed?: number }} weather Both ways alike.
 */
export async function lossyNetwork(stage, { delayMs, lossPercent, seed = 1 }) {
  const carrier = spawn(PROGRAM, [`${delayMs}`, `${lossPercent}`, `${seed}`], { stdio: ["pipe", "pipe", "inherit"] });
  stage.after(() => carrier.stdin.end());
  for await (const line of createInterface({ input: carrier.stdout })) {
    const [near, namespace] = line.split(" ");
    return {
      /** This machine's address, as the far end knows it. */
      near,
      /** A program that starts another one at the far end. @param {string} program */
      there(program) {
        const folder = mkdtempSync(join(tmpdir(), "voxrelay-far-"));
        stage.after(() => rmSync(folder, { recursive: true, force: true }));
        const script = join(folder, "program");
        writeFileSync(script, `#!/bin/sh\nexec nsenter --net=${namespace} ${program} "$@"\n`);
        chmodSync(script, 0o700);
        return script;
      },
    };
  }
  throw new Error("there is no lossy network: the message above says why");
}
