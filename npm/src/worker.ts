// The file beside the module: the engine's Worker or the audio thread's processors, by where it finds itself. It imports nothing, so
// that a bundler may copy it as it is, and it is larger than what a bundler puts into a `data:` URL, which strict policies forbid.

import { runEngineWorker } from "./engine-worker.js";
import { registerProcessors } from "./processors.js";

if ("registerProcessor" in globalThis) registerProcessors();
else runEngineWorker();
