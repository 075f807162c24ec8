import { unlessAborted } from "./abort.js";
import { loadGlue, voiceUrl, wasmUrl, workerFrom, workerStarts, workletUrls } from "./assets.js";
import { type VoxrelayError, engineUnavailable, workerUnavailable } from "./error.js";
import type { Glue } from "./glue.js";
import type { AssetOptions } from "./options.js";
import type { Birth, Settings } from "./roles.js";

/** Whatever ways there are: if no Worker is ready by then, none is waited for. */
const WORKER_DEADLINE_MS = 5_000;

/** A file that has not come by then may never come: the next call asks for it again. */
const LOAD_DEADLINE_MS = 30_000;

/** An engine that runs. */
export interface RunningEngine {
  /** Where it runs. */
  readonly place: "worker" | "page";
  /** Why it does not run in a Worker, if it should. */
  readonly fallback?: VoxrelayError | undefined;
  readonly port: MessagePort;
  /** Set to learn that it broke; it says nothing more then. */
  onbreak: ((cause: string) => void) | undefined;
  stop(): void;
}

/** Ends an engine. */
export function endEngine(engine: RunningEngine): void {
  engine.port.close();
  engine.stop();
}

/** What an engine is made of: the compiled wasm file, and the JavaScript around it. */
export type Parts = readonly [module: WebAssembly.Module, glue: Glue];

const loads = new Map<string, Promise<Parts>>();

/** Fetches and compiles what an engine is made of; once a page. */
export function loadParts(options: AssetOptions): Promise<Parts> {
  const url = String(options.wasmUrl ?? wasmUrl());
  let parts = loads.get(url);
  if (!parts) {
    parts = unlessAborted(AbortSignal.timeout(LOAD_DEADLINE_MS), Promise.all([compile(url), loadGlue(options.workletUrl)])).catch((thrown: unknown) => {
      // A failure is not kept: the next call tries again.
      loads.delete(url);
      throw engineUnavailable(thrown);
    });
    loads.set(url, parts);
  }
  return parts;
}

/** Fetches and compiles what notices that the user speaks over the agent. */
export function loadVoice(options: AssetOptions): Promise<WebAssembly.Module> {
  return compile(String(options.voiceUrl ?? voiceUrl()), "voice.wasm");
}

async function compile(url: string, file = "voxrelay.wasm"): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}: was ${file} copied there?`);
  // Many servers answer with their own page for what they do not have.
  if (response.headers.get("content-type")?.startsWith("text/html")) {
    throw new Error(`${url} is a web page: was ${file} copied there?`);
  }
  // Streaming insists on this type to the letter, and many servers do not know it, or say more.
  if (response.headers.get("content-type") === "application/wasm") return WebAssembly.compileStreaming(response);
  const bytes = await response.arrayBuffer();
  if (String(new Uint8Array(bytes.slice(0, 4))) !== "0,97,115,109") {
    throw new Error(`${url} is not WebAssembly: was ${file} copied there?`);
  }
  return WebAssembly.compile(bytes);
}

/** Starts an engine in a Worker, or on the page where none starts. With `signal` a Worker that has not answered yet is ended at once. */
export async function startEngine(
  [module, glue]: Parts,
  settings: Settings,
  options: AssetOptions,
  signal: AbortSignal,
): Promise<RunningEngine> {
  signal.throwIfAborted();
  const causes: string[] = [];
  const deadline = Date.now() + WORKER_DEADLINE_MS;
  const wanted = options.worker !== "never";
  for (const start of wanted ? starts(options) : []) {
    try {
      return await inWorker(start(), module, settings, deadline, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      // The next way, if there is time; the last one is the page.
      causes.push(String(thrown));
      if (Date.now() >= deadline) break;
    }
  }
  const { port1, port2 } = new MessageChannel();
  try {
    const stop = glue.serve(module, settings, port2);
    const fallback = wanted ? workerUnavailable(causes.join(", then ") || "its address is unknown: set `workerUrl`") : undefined;
    return { place: "page", port: port1, fallback, onbreak: undefined, stop };
  } catch (thrown) {
    port1.close();
    throw engineUnavailable(thrown);
  }
}

function starts({ workerUrl }: AssetOptions): readonly (() => Worker)[] {
  return workerUrl ? [() => workerFrom(String(workerUrl))] : workerStarts();
}

function inWorker(
  worker: Worker,
  module: WebAssembly.Module,
  settings: Settings,
  deadline: number,
  signal: AbortSignal,
): Promise<RunningEngine> {
  return new Promise((resolve, reject) => {
    const { port1, port2 } = new MessageChannel();
    const stop = (): void => worker.terminate();
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    };
    const fail = (cause: string): void => {
      settle();
      stop();
      port1.close();
      reject(cause);
    };
    const abort = (): void => fail("");
    signal.addEventListener("abort", abort);
    const timer = setTimeout(fail, deadline - Date.now(), "it did not start in time");
    // A file that does not load is told without a word.
    worker.onerror = ({ message }) => fail(message || "its file did not load");
    worker.onmessage = ({ data }: MessageEvent<true | string>) => {
      if (data !== true) return fail(data);
      settle();
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
