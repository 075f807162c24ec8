import { inTime, unlessAborted } from "./abort.js";
import { addWorklet, blobOf, httpUrl, loadGlue, voiceUrl, wasmUrl, workerFrom, workerStarts } from "./assets.js";
import { type VoxrelayError, engineUnavailable, workerUnavailable } from "./error.js";
import type { Glue } from "./glue.js";
import { anew } from "./lazily.js";
import type { AssetOptions, ConnectOptions } from "./options.js";
import { socketOf } from "./requests.js";
import type { Birth, Settings } from "./roles.js";

/** Whatever ways there are: if no Worker is ready by then, none is waited for. */
const WORKER_DEADLINE_MS = 5_000;

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
  /** Its connection over HTTP. */
  http?: Worker;
  stop(): void;
}

/** Ends an engine. */
export function endEngine(engine: RunningEngine): void {
  // What it has asked for already begins nothing any more.
  engine.port.onmessage = null;
  engine.port.close();
  engine.http?.terminate();
  engine.stop();
}

/** Begins the Worker that is this engine's next connection over HTTP, in place of the one before. */
export function beginHttp(engine: RunningEngine, options: ConnectOptions, line: MessagePort): void {
  const isLost = (): void => engine.port.postMessage(["noHttp"]);
  engine.http?.terminate();
  try {
    const url = new URL(options.httpUrl ?? httpUrl(), location.href);
    // A Worker must be of the page's origin, but what it imports need not.
    const worker = new Worker(url.origin === location.origin ? url : blobOf(`importScripts("${url}")`));
    engine.http = worker;
    worker.onerror = () => engine.http === worker && isLost();
    worker.postMessage(socketOf(options), [line]);
  } catch {
    isLost();
  }
}

/** What an engine is made of: the compiled wasm file, and the JavaScript around it. */
export type Parts = readonly [module: WebAssembly.Module, glue: Glue];

const loads = new Map<string, Promise<Parts>>();

/** Fetches and compiles what an engine is made of; once a page. */
export function loadParts(options: AssetOptions): Promise<Parts> {
  const url = String(options.wasmUrl ?? wasmUrl());
  return kept(loads, url, () => {
    const stop = new AbortController();
    // The browser does not tell how much has come of the glue, which is two packets.
    return Promise.all([compile(url, stop.signal), inTime(loadGlue(options.workletUrl))]).catch((thrown: unknown) => {
      // What the browser still fetched of the file would keep the next attempt waiting.
      stop.abort();
      throw engineUnavailable(thrown);
    });
  });
}

/** What is loaded once for each key. */
interface Loads<Key, Loaded> {
  get(key: Key): Promise<Loaded> | undefined;
  set(key: Key, loading: Promise<Loaded>): unknown;
  delete(key: Key): unknown;
}

/** What was loaded for `key`, or is being loaded. A failure is not kept: the next call tries again. */
function kept<Key, Loaded>(loads: Loads<Key, Loaded>, key: Key, load: () => Promise<Loaded>): Promise<Loaded> {
  let loading = loads.get(key);
  if (!loading) {
    loads.set(key, (loading = load()));
    loading.catch(() => loads.delete(key));
  }
  return loading;
}

/** Fetches and compiles what notices that the user speaks over the agent, until `signal` ends it. */
export function loadVoice(options: AssetOptions, signal: AbortSignal): Promise<WebAssembly.Module> {
  return compile(String(options.voiceUrl ?? voiceUrl()), signal);
}

/** Fetches a file, watching that it moves, and compiles it. If it fails, `signal` is to end what the browser still fetches of it. */
async function compile(url: string, signal: AbortSignal): Promise<WebAssembly.Module> {
  const longest = AbortSignal.timeout(LONGEST_MS);
  const response = await inTime(fetch(url, { signal }));
  const reader = response.body!.getReader();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  // Many servers answer with their own page for what they do not have. WebAssembly begins with a zero, and no text does: of that no more is read.
  for (let part; !parts[0]?.[0] && (part = (await inTime(reader.read())).value); longest.throwIfAborted()) parts.push(part);
  if (parts[0]?.[0] !== 0) {
    // A fault of the server's may pass, as what keeps a file from coming at all, which is a `TypeError`, too.
    throw new (response.status < 500 ? Error : TypeError)(`${url} answered ${response.status} with ${response.headers.get("content-type")}, not WebAssembly`);
  }
  // Compiled once it is whole: many servers do not know the type on which `compileStreaming` insists to the letter, or say more.
  return WebAssembly.compile(await new Blob(parts).arrayBuffer());
}

/** Starts an engine in a Worker, or on the page where none starts. With `signal` a Worker that has not answered yet is ended at once. */
export async function startEngine(
  [module, glue]: Parts,
  settings: Settings,
  options: AssetOptions,
  signal: AbortSignal,
): Promise<RunningEngine> {
  const causes: string[] = [];
  const deadline = Date.now() + WORKER_DEADLINE_MS;
  for (const start of options.worker === "never" ? [] : starts(options)) {
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
    const fallback = causes.length ? workerUnavailable(causes.join(", then ")) : undefined;
    return { place: "page", port: port1, fallback, onbreak: undefined, stop };
  } catch (thrown) {
    port1.close();
    throw engineUnavailable(thrown);
  }
}

function starts({ workerUrl }: AssetOptions): readonly (() => Worker)[] {
  return workerUrl ? [() => workerFrom(String(workerUrl))] : workerStarts();
}

async function inWorker(
  worker: Worker,
  module: WebAssembly.Module,
  settings: Settings,
  deadline: number,
  signal: AbortSignal,
): Promise<RunningEngine> {
  const { port1, port2 } = new MessageChannel();
  const stop = (): void => worker.terminate();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const starting = new Promise<void>((resolve, reject) => {
    timer = setTimeout(reject, deadline - Date.now(), "not in time");
    // A file that does not load is told without a word.
    worker.onerror = ({ message }) => reject(message || "its file did not load");
    worker.onmessage = ({ data }: MessageEvent<true | string>) => (data === true ? resolve() : reject(data));
  });
  // Not within a function that is kept: it would keep the port.
  const birth: Birth = { voxrelay: "engine", module, settings, port: port2 };
  try {
    worker.postMessage(birth, [port2]);
    await unlessAborted(signal, starting);
  } catch (thrown) {
    stop();
    port1.close();
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
  const engine: RunningEngine = { place: "worker", port: port1, onbreak: undefined, stop };
  worker.onerror = (event) => engine.onbreak?.(event.message);
  return engine;
}

/** Contexts in which the worklet is loaded, or being loaded: a second time would register the same names again. */
const loaded = new WeakMap<BaseAudioContext, Promise<void>>();

/** Loads the worklet into `context`. */
export function loadWorklet(context: BaseAudioContext, { workletUrl }: AssetOptions): Promise<void> {
  // The browser does not tell how much has come of it, which is two packets.
  const add = async (url: string): Promise<void> => inTime(context.audioWorklet.addModule(anew(url)));
  return kept(loaded, context, () => (workletUrl ? add(String(workletUrl)) : addWorklet(add)));
}
