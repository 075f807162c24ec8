// The script-tag build: one file that is the page's global, the engine's Worker or the worklet, by where it finds itself.

import { Call } from "./call.js";
import { VoiceClient } from "./client.js";
import { listDevices } from "./devices.js";
import { runEngineWorker } from "./engine-worker.js";
import { VoxrelayError } from "./error.js";
import { registerProcessors } from "./processors.js";

declare global {
  // eslint-disable-next-line no-var -- only `var` declares a property of globalThis
  var Voxrelay: { Call: typeof Call; VoiceClient: typeof VoiceClient; VoxrelayError: typeof VoxrelayError; listDevices: typeof listDevices };
}

if ("registerProcessor" in globalThis) registerProcessors();
else if ("document" in globalThis) globalThis.Voxrelay = { Call, VoiceClient, VoxrelayError, listDevices };
else runEngineWorker();
