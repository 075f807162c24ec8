import { runEngineWorker } from "./engine-worker.js";

runEngineWorker();
