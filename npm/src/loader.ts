import { wasmUrl, workerFrom, workerStarts, workletUrls } from "./assets.js";
import { serve } from "./engine.js";
import { engineUnavailable } from "./error.js";
import type { AssetOptions } from "./options.js";
import type { Birth, Settings } from "./roles.js";

/** A Worker that is not ready by then is taken for one that will never be. */
const WORKER_DEADLINE_MS = 5_000;

/** An engine that runs. */
export interface RunningEngine {
  /** Where it runs. */
  readonly place: "worker" | "page";
  readonly port: MessagePort;
  /** Set to learn that it broke; it says nothing more then. */
  onbreak: ((cause: string) => void) | undefined;
  stop(): void;
}

const modules = new Map<string, Promise<WebAssembly.Module>>();

/** Fetches and compiles the wasm file; once a page. */
export function loadModule(options: AssetOptions): Promise<WebAssembly.Module> {
  const url = String(options.wasmUrl ?? wasmUrl());
  let module = modules.get(url);
  if (!module) {
    module = compile(url).catch((thrown: unknown) => {
      // A failure is not kept: the next call tries again.
      modules.delete(url);
      throw engineUnavailable(thrown);
    });
    modules.set(url, module);
  }
  return module;
}

async function compile(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}: was voxrelay.wasm copied there?`);
  // Many servers answer with their own page for what they do not have.
  if (response.headers.get("content-type")?.startsWith("text/html")) {
    throw new Error(`${url} is a web page: voxrelay.wasm was not copied there`);
  }
  // Streaming insists on this type to the letter, and many servers do not know it, or say more.
  if (response.headers.get("content-type") === "application/wasm") return WebAssembly.compileStreaming(response);
  const bytes = await response.arrayBuffer();
  if (String(new Uint8Array(bytes.slice(0, 4))) !== "0,97,115,109") {
    throw new Error(`${url} is not WebAssembly: was voxrelay.wasm copied there?`);
  }
  return WebAssembly.compile(bytes);
}

/** Starts an engine in a Worker, or on the page where none starts. */
export async function startEngine(
  module: WebAssembly.Module,
  settings: Settings,
  options: AssetOptions,
): Promise<RunningEngine> {
  for (const start of options.worker === "never" ? [] : starts(options)) {
    try {
      return await inWorker(start(), module, settings);
    } catch {
      // The next way; the last one is the page.
    }
  }
  const { port1, port2 } = new MessageChannel();
  try {
    const stop = await serve(module, settings, port2);
    return { place: "page", port: port1, onbreak: undefined, stop };
  } catch (thrown) {
    throw engineUnavailable(thrown);
  }
}

function starts({ workerUrl }: AssetOptions): readonly (() => Worker)[] {
  return workerUrl ? [() => workerFrom(String(workerUrl))] : workerStarts();
}

function inWorker(worker: Worker, module: WebAssembly.Module, settings: Settings): Promise<RunningEngine> {
  return new Promise((resolve, reject) => {
    const { port1, port2 } = new MessageChannel();
    const stop = (): void => worker.terminate();
    const fail = (cause: string): void => {
      clearTimeout(deadline);
      stop();
      reject(new Error(cause));
    };
    const deadline = setTimeout(fail, WORKER_DEADLINE_MS, "the Worker did not start");
    worker.onerror = (event) => fail(event.message);
    worker.onmessage = ({ data }: MessageEvent<true | string>) => {
      if (data !== true) return fail(data);
      clearTimeout(deadline);
      const engine: RunningEngine = { place: "worker", port: port1, onbreak: undefined, stop };
      worker.onerror = (event) => engine.onbreak?.(event.message);
      resolve(engine);
    };
    const birth: Birth = { voxrelay: "engine", module, settings, port: port2 };
    worker.postMessage(birth, [port2]);
  });
}

/** Contexts in which the worklet is loaded, or being loaded: a second time would register the same names again. */
const loaded = new WeakMap<BaseAudioContext, Promise<void>>();

/** Loads the worklet into `context`. */
export function loadWorklet(context: BaseAudioContext, { workletUrl }: AssetOptions): Promise<void> {
  let loading = loaded.get(context);
  if (!loading) {
    loading = addFirst(context, workletUrl ? [() => String(workletUrl)] : workletUrls());
    loaded.set(context, loading);
    loading.catch(() => loaded.delete(context));
  }
  return loading;
}

async function addFirst(context: BaseAudioContext, urls: readonly (() => string)[]): Promise<void> {
  let failure: unknown;
  for (const url of urls) {
    try {
      return await context.audioWorklet.addModule(url());
    } catch (thrown) {
      failure = thrown;
    }
  }
  throw failure;
}
