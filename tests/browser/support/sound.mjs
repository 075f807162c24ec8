// @ts-check
// A sound server of one test's own: a loudspeaker that nobody hears, and microphones that hear what is played to them.

import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { until } from "./relay.mjs";

/** What the speech files are in: nothing has to be resampled on the way to the browser. */
const RATE_HZ = 44_100;

/** The microphones, the default one first. */
export const MICROPHONES = /** @type {const} */ (["desk", "headset"]);

/** @typedef {typeof MICROPHONES[number]} Microphone */

/** The loudspeakers, the default one first. */
export const LOUDSPEAKERS = /** @type {const} */ (["loudspeaker", "television"]);

const SCRIPT = `
load-module module-native-protocol-unix auth-anonymous=1 socket=SOCKET
${LOUDSPEAKERS.map((name) => `load-module module-null-sink sink_name=${name} rate=${RATE_HZ} sink_properties=device.description=${name}`).join("\n")}
${MICROPHONES.map(
  (name) => `load-module module-null-sink sink_name=to-${name} rate=${RATE_HZ} channels=1
load-module module-remap-source source_name=${name} master=to-${name}.monitor source_properties=device.description=${name}`,
).join("\n")}
set-default-sink ${LOUDSPEAKERS[0]}
set-default-source ${MICROPHONES[0]}
`;

/** How long sound is on its way from a loudspeaker to the microphone, as far as the sound server keeps to it. */
const ROOM_MS = 80;

/** In a room the default microphone hears what the loudspeakers play. */
const ROOM = LOUDSPEAKERS.map((name) => `load-module module-loopback source=${name}.monitor sink=to-${MICROPHONES[0]} latency_msec=${ROOM_MS}\n`).join("");

export class Sound {
  /** @type {Set<import("node:child_process").ChildProcess>} */
  #playing = new Set();

  /** @param {string} folder @param {import("node:child_process").ChildProcess} server */
  constructor(folder, server) {
    this.folder = folder;
    this.server = server;
    /** What a program needs to know to find it. */
    this.environment = { ...process.env, PULSE_SERVER: `unix:${join(folder, "socket")}`, PULSE_RUNTIME_PATH: folder };
  }

  /** Starts PulseAudio. @param {import("./stage.mjs").Stage} stage Ends it when the test is over. @param {boolean} [isRoom] */
  static async start(stage, isRoom = false) {
    const folder = mkdtempSync(join(tmpdir(), "voxrelay-sound-"));
    const script = join(folder, "script.pa");
    writeFileSync(script, SCRIPT.replace("SOCKET", join(folder, "socket")) + (isRoom ? ROOM : ""));
    const server = spawn("pulseaudio", ["-n", "-F", script, "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"], {
      env: { ...process.env, HOME: folder, PULSE_RUNTIME_PATH: folder, XDG_CONFIG_HOME: folder, XDG_RUNTIME_DIR: folder },
      stdio: "ignore",
    });
    const sound = new Sound(folder, server);
    stage.after(() => sound.#stop());
    await until("the sound server answers", async () => {
      if (server.exitCode !== null) throw new Error(`pulseaudio ended with ${server.exitCode}`);
      const { stdout } = await promisify(execFile)("pactl", ["info"], { env: sound.environment }).catch(() => ({ stdout: "" }));
      return stdout.includes(`Default Source: ${MICROPHONES[0]}`);
    });
    return sound;
  }

  /** Plays a file to a microphone. @param {string} file @param {Microphone} [microphone] */
  play(file, microphone = MICROPHONES[0]) {
    const player = spawn("paplay", [`--device=to-${microphone}`, file], { env: this.environment, stdio: "ignore" });
    this.#playing.add(player);
    player.on("exit", () => this.#playing.delete(player));
  }

  /** Takes a microphone away. @param {Microphone} microphone */
  unplug(microphone) {
    const modules = execFileSync("pactl", ["list", "short", "modules"], { env: this.environment, encoding: "utf8" });
    const line = modules.split("\n").find((text) => text.includes(`source_name=${microphone} `));
    if (!line) throw new Error(`there is no microphone ${microphone}`);
    execFileSync("pactl", ["unload-module", line.split("\t")[0]], { env: this.environment });
  }

  #stop() {
    for (const process of [...this.#playing, this.server]) process.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
