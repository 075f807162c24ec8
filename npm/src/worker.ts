// The file beside the module: the engine's Worker, the audio thread's processors or, on the page, the glue that the module asks for, by
// where it finds itself. It imports nothing and exports nothing, so that a bundler may copy it as it is or put it into any form, and it is
// larger than what a bundler puts into a `data:` URL, which strict policies forbid.

import { runEngineWorker } from "./engine-worker.js";
import { SHARED, type Sharing } from "./glue.js";
import { registerProcessors } from "./processors.js";

if ("registerProcessor" in globalThis) registerProcessors();
else if ("document" in globalThis) (globalThis as Sharing)[SHARED] = import("./engine.js");
else runEngineWorker();
