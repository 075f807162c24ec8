import type { ConnectOptions } from "./options.js";
import { socketOf } from "./requests.js";
import type { Settings } from "./roles.js";

/** What the relay's record says about us; the version is put in by the build. */
declare const VERSION: string;

/** What an engine is made with. */
export function settingsOf(options: ConnectOptions): Settings {
  const { chunkMs = 100, bufferSeconds = 30, giveUpAfterMs = 600_000, transport = "auto", conversation, agent } = options;
  const whole = Math.round;
  return {
    url: socketOf(options),
    client: `voxrelay-js/${VERSION}`,
    chunkMs: whole(chunkMs),
    bufferMs: whole(bufferSeconds * 1_000),
    giveUpAfterMs: whole(giveUpAfterMs),
    transport,
    // Nearly as many as there are whole numbers without gaps.
    seed: whole(Math.random() * 9e15),
    ...(conversation && { conversation }),
    ...(agent && { agent }),
  };
}
