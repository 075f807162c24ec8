import { unlessAborted } from "./abort.js";
import { loadGlue, voiceUrl, wasmUrl, workerFrom, workerStarts, workletUrls } from "./assets.js";
import { type VoxrelayError, engineUnavailable, workerUnavailable } from "./error.js";
import type { Glue } from "./glue.js";
import type { AssetOptions } from "./options.js";
import type { Birth, Settings } from "./roles.js";

/** Whatever ways there are: if no Worker is ready by then, none is waited for. */
const WORKER_DEADLINE_MS = 5_000;

/** A file of which nothing has come for so long may never come: the next call asks for it again. */
const SILENCE_MS = 30_000;

/** A file that comes more slowly than this is given up, though it moves. */
const LONGEST_MS = 300_000;

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
    // The browser does not tell how much has come of the glue, which is two packets.
    parts = Promise.all([compile(url), inTime(loadGlue(options.workletUrl))]).catch((thrown: unknown) => {
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
  return compile(String(options.voiceUrl ?? voiceUrl()));
}

/** The next that comes of a file, unless nothing does for too long. */
function inTime<Loaded>(coming: Promise<Loaded>): Promise<Loaded> {
  return unlessAborted(AbortSignal.timeout(SILENCE_MS), coming);
}

/** Fetches a file, watching that it moves, and compiles it. */
async function compile(url: string): Promise<WebAssembly.Module> {
  const longest = AbortSignal.timeout(LONGEST_MS);
  const stop = new AbortController();
  try {
    // All that is taken from the controller is its signal.
    const response = await inTime(fetch(url, stop));
    const reader = response.body!.getReader();
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for (let part; (part = (await inTime(reader.read())).value); longest.throwIfAborted()) parts.push(part);
    // Many servers answer with their own page for what they do not have. WebAssembly begins with a zero, and no text does.
    if (parts[0]?.[0] !== 0) {
      throw new Error(`${url} answered ${response.status} with ${response.headers.get("content-type")}, not WebAssembly: was the file copied there?`);
    }
    // Compiled once it is whole: many servers do not know the type on which `compileStreaming` insists to the letter, or say more.
    return await WebAssembly.compile(await new Blob(parts).arrayBuffer());
  } finally {
    // What the browser still fetched of it would keep the next attempt waiting.
    stop.abort();
  }
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
