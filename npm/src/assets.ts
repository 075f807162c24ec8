// Where the package's other files are: as ES modules, beside this one. Bundlers know these patterns, so they must be written out.

/** Where the wasm file is. */
export function wasmUrl(): string {
  return new URL("./voxrelay.wasm", import.meta.url).href;
}

/** Where the worklet may be loaded from: the first that works is used. */
export function workletUrls(): readonly (() => string)[] {
  return [() => new URL("./worklet.js", import.meta.url).href];
}

/** How the Worker may be started: the first that works is used. */
export function workerStarts(): readonly (() => Worker)[] {
  return [() => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "voxrelay" })];
}

/** Starts the Worker from a file of the application's. */
export function workerFrom(url: string): Worker {
  return new Worker(url, { type: "module", name: "voxrelay" });
}
