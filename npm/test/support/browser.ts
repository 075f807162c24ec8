// A browser of which nothing is real but its ports. What a call opens is counted, and its engine is the test's.

import { EventEmitter } from "node:events";

import type { Report } from "../../src/roles.js";

/** What is open, and would be left over. */
export interface Left {
  tracks: number;
  contexts: number;
  workers: number;
  listeners: number;
  sessions: number;
  /** Of the screen's staying on. */
  locks: number;
}

/** Counts its listeners. */
class Target extends EventTarget {
  readonly #listeners = new Map<string, Set<unknown>>();

  override addEventListener(type: string, listener: EventListener): void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    super.addEventListener(type, listener);
  }

  override removeEventListener(type: string, listener: EventListener): void {
    this.#listeners.get(type)?.delete(listener);
    super.removeEventListener(type, listener);
  }

  get count(): number {
    return [...this.#listeners.values()].reduce((sum, listeners) => sum + listeners.size, 0);
  }
}

export class Track extends EventTarget {
  readyState = "live";
  muted = false;
  readonly sampleRate: number = browser.microphoneRate ?? browser.rate;
  constructor(readonly id: string) {
    super();
  }
  get label(): string {
    return `Microphone ${this.id}`;
  }
  getSettings(): object {
    return { deviceId: this.id };
  }
  stop(): void {
    this.readyState = "ended";
  }
  /** It breaks, as one does that is pulled out. */
  end(): void {
    this.stop();
    this.dispatchEvent(new Event("ended"));
  }
}

export class Stream {
  constructor(readonly track: Track) {}
  getAudioTracks(): Track[] {
    return [this.track];
  }
  getTracks(): Track[] {
    return [this.track];
  }
}

class Context {
  state = "running";
  readonly sampleRate: number;
  currentTime = 0;
  destination = {};
  sinkId = "";
  /** What it was asked to play on, also what it refused. */
  sinksAsked: string[] = [];
  setSinkId?: (deviceId: string) => Promise<void>;
  audioWorklet = { addModule: () => browser.adding() };
  constructor({ sampleRate = browser.rate }: AudioContextOptions = {}) {
    this.sampleRate = sampleRate;
    if (browser.hasNoSound) throw new Error("NotSupportedError: no sound");
    browser.contexts.push(this);
    if (!browser.canChooseSpeaker) return;
    this.setSinkId = async (deviceId) => {
      this.sinksAsked.push(deviceId);
      if (deviceId && browser.speakers.length && !browser.speakers.includes(deviceId)) throw new Error("NotFoundError: no such loudspeaker");
      this.sinkId = deviceId;
    };
  }
  /** The last one, with what it was told. */
  gain = { value: 1, targets: [] as number[], setTargetAtTime: (volume: number) => void this.gain.targets.push(volume) };
  createGain(): object {
    return { gain: this.gain, connect: (node: object) => node };
  }
  createMediaStreamSource(stream: Stream): object {
    if (!browser.resamples && stream.getAudioTracks()[0]?.sampleRate !== this.sampleRate) {
      // In Firefox's words.
      const words = "AudioContext.createMediaStreamSource: Connecting AudioNodes from AudioContexts with different sample-rate is currently not supported.";
      throw new DOMException(words, "NotSupportedError");
    }
    return { connect: (node: object) => node, disconnect: () => undefined };
  }
  async resume(): Promise<void> {
    if (this.state !== "closed") this.state = "running";
  }
  async close(): Promise<void> {
    if (this.state === "closed") throw new Error("InvalidStateError: closed twice");
    this.state = "closed";
  }
}

class WorkletNode {
  #near: MessagePort | undefined;
  readonly port = {
    onmessage: undefined as (() => void) | undefined,
    postMessage: (message: MessagePort | null) => {
      if (message) return void (this.#near = message);
      this.#near?.close();
      if (!browser.holdsBack) setTimeout(() => this.port.onmessage?.());
    },
    close: () => undefined,
  };
  connect(node: object): object {
    return node;
  }
  disconnect(): void {}
}

/** The other side of a call: hears commands as events of their names, and says what the test has it say. */
export class Engine extends EventEmitter {
  readonly sent: unknown[][] = [];
  /** Whether the relay holds a session that nobody has ended. */
  hasSession = false;
  /** The last state that it told. */
  told = "";
  isGone = false;
  #port: MessagePort | undefined;
  readonly #ports: MessagePort[] = [];

  born(port: MessagePort): void {
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<unknown[]>) => {
      const [name, ...args] = data;
      this.sent.push(data);
      this.#ports.push(...(args.filter((arg) => arg instanceof MessagePort) as MessagePort[]));
      if (name === "start") this.hasSession = true;
      this.emit(String(name), ...args);
    };
  }

  /** Tells the page. */
  say(...reports: Report[]): void {
    for (const report of reports) {
      if (report.type === "ended" || report.type === "broke") this.hasSession = false;
      this.#port?.postMessage(JSON.stringify(report));
    }
  }

  state(state: "connecting" | "connected" | "reconnecting" | "closing" | "closed", attempt = 0): void {
    this.told = state;
    this.say({ type: "state", state, attempt, retryInMs: attempt * 100 });
  }

  /** Answers `start`: the call comes up. */
  comesUp(): void {
    this.state("connecting");
    this.say(SESSION);
    this.state("connected");
  }

  /** The call is over, as the relay wishes or as the page does. */
  ends(reason: "normal" | "budget" | "internal" | "unauthorized" = "normal", code = 1000): void {
    this.state("closed");
    this.say({ type: "ended", reason, code });
  }

  gone(): void {
    this.isGone = true;
    this.#port?.close();
    for (const port of this.#ports) port.close();
  }
}

export const SESSION = {
  type: "session",
  sessionId: "s1",
  conversationId: "c1",
  agent: null,
  features: ["text"],
  epoch: 1,
  recording: false,
  limits: { sessionMs: 1, idleMs: 1, budgetNanoUsd: 1 },
  prices: { version: "1", items: [] },
} satisfies Report;

class FakeWorker {
  onmessage: ((event: object) => void) | undefined;
  onerror: ((event: object) => void) | undefined;
  readonly engine = new Engine();
  isRunning = true;
  constructor() {
    browser.workers.push(this);
  }
  postMessage({ port }: { port: MessagePort }): void {
    setTimeout(() => {
      if (!this.isRunning) return;
      if (browser.hasNoWorker) return this.onerror?.({ message: "no Worker" });
      this.engine.born(port);
      browser.onengine(this.engine);
      this.onmessage?.({ data: true });
    }, browser.workerMs);
  }
  terminate(): void {
    this.isRunning = false;
    this.engine.gone();
  }
}

/** An engine on the page, whose calls come up and end when they are closed. */
class PageEngine {
  readonly #outlet: { tell(report: string): void };
  isFreed = false;
  constructor(outlet: { tell(report: string): void }) {
    this.#outlet = outlet;
    browser.pageEngines.push(this);
  }
  tap(port: MessagePort): void {
    port.close();
  }
  speaker(port: MessagePort): void {
    port.close();
  }
  start(): void {
    this.#say(SESSION, { type: "state", state: "connected", attempt: 0, retryInMs: 0 });
  }
  close(): void {
    this.#say({ type: "state", state: "closed", attempt: 0, retryInMs: 0 }, { type: "ended", reason: "normal", code: 1000 });
  }
  free(): void {
    this.isFreed = true;
  }
  #say(...reports: Report[]): void {
    for (const report of reports) this.#outlet.tell(JSON.stringify(report));
  }
}

/** Runs one behind a port, as the engine's file does. */
function servePage(_module: WebAssembly.Module, _settings: unknown, port: MessagePort): () => void {
  const engine = new PageEngine({ tell: (report) => port.postMessage(report) });
  port.onmessage = ({ data: [name, ...args] }) => {
    (engine as any)[name]?.(...args);
  };
  return () => {
    port.close();
    engine.free();
  };
}

/** Keeps the screen on. */
class Lock {
  released = false;
  async release(): Promise<void> {
    this.released = true;
  }
}

/** What the test decides about the browser, and what it finds open. */
export const browser = {
  window: new Target(),
  document: Object.assign(new Target(), { hidden: false }),
  devices: Object.assign(new Target(), {
    getUserMedia: async ({ audio }: { audio: object }) => {
      browser.asked.push(audio);
      await browser.asking();
      const track = new Track(browser.microphone);
      browser.tracks.push(track);
      return new Stream(track);
    },
    enumerateDevices: async () => [
      ...(browser.microphones.length ? browser.microphones : [browser.microphone]).map((id) => ({ kind: "audioinput", deviceId: id, groupId: id, label: id })),
      ...browser.speakers.map((deviceId) => ({ kind: "audiooutput", deviceId, groupId: deviceId, label: deviceId })),
    ],
  }),
  /** Whether the page may open a microphone, as the user says in the browser's settings. */
  permission: Object.assign(new Target(), { state: "granted" }),
  /** What was asked of microphones. */
  asked: [] as object[],
  tracks: [] as Track[],
  contexts: [] as Context[],
  workers: [] as FakeWorker[],
  locks: [] as Lock[],
  /** What listeners threw. */
  reported: [] as unknown[],
  /** The one that is given. */
  microphone: "default",
  /** The microphones that there are, the system's first; if none is listed, the one that is given. */
  microphones: [] as string[],
  /** The loudspeakers that can be played on; if none is listed, every one can. */
  speakers: [] as string[],
  canChooseSpeaker: true,
  hasNoSound: false,
  /** The rate of the devices, which contexts and microphones get. */
  rate: 48_000,
  /** Microphones have a rate of their own. */
  microphoneRate: undefined as number | undefined,
  /** Whether contexts take microphones of another rate, too. */
  resamples: true,
  /** No processor is run any more. */
  holdsBack: false,
  hasNoWorker: false,
  workerMs: 0,
  /** What getUserMedia waits for, or is refused with. */
  asking: async (): Promise<void> => undefined,
  /** What the worklet's loading waits for, or fails with. */
  adding: async (): Promise<void> => undefined,
  /** What a lock of the screen waits for, or is refused with. */
  locking: async (): Promise<void> => undefined,
  /** What servers answer. */
  answers: async (_url: string, _signal?: AbortSignal | null): Promise<Response> => wasm("application/wasm"),
  /** The engines that run on the page. */
  pageEngines: [] as PageEngine[],
  /** An engine is there: by default one whose calls come up, and end when they are closed. */
  onengine: (engine: Engine): void => obliging(engine),
  get engine(): Engine {
    return browser.workers.at(-1)!.engine;
  },
  left(): Left {
    const { tracks, contexts, workers, window, document, devices, permission } = browser;
    return {
      tracks: tracks.filter(({ readyState }) => readyState === "live").length,
      contexts: contexts.filter(({ state }) => state !== "closed").length,
      workers: workers.filter(({ isRunning }) => isRunning).length,
      listeners: window.count + document.count + devices.count + permission.count,
      sessions: workers.filter(({ engine }) => engine.hasSession).length,
      locks: browser.locks.filter(({ released }) => !released).length,
    };
  },
  /** Nothing has happened yet. */
  reset(): void {
    for (const list of [browser.asked, browser.tracks, browser.contexts, browser.workers, browser.locks, browser.reported, browser.pageEngines]) list.splice(0);
    browser.permission.state = "granted";
    Object.assign(browser, {
      microphone: "default",
      microphones: [],
      speakers: [],
      canChooseSpeaker: true,
      hasNoSound: false,
      rate: 48_000,
      microphoneRate: undefined,
      resamples: true,
      holdsBack: false,
      hasNoWorker: false,
      workerMs: 0,
      asking: async () => undefined,
      adding: async () => undefined,
      locking: async () => undefined,
      answers: async () => wasm("application/wasm"),
      onengine: obliging,
    });
  },
};

export const NOTHING: Left = { tracks: 0, contexts: 0, workers: 0, listeners: 0, sessions: 0, locks: 0 };

/** An engine whose calls come up, and end when they are closed. */
export function obliging(engine: Engine): void {
  engine.on("start", () => engine.comesUp());
  engine.on("close", () => {
    engine.state("closing");
    engine.ends();
  });
}

/** An empty module, as bytes. */
const WASM = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

/** An answer with the engine's file, of this type. */
export function wasm(type: string): Response {
  return new Response(WASM, { headers: { "content-type": type } });
}

const GLUE = `globalThis[Symbol.for("voxrelay 0.0.0-test")] = Promise.resolve({ serve: (...args) => globalThis.servePage(...args) });`;

/** Options with which a call comes up here. */
export const OPTIONS = {
  url: "wss://voice.example.com/v1/call",
  token: () => "a.b.c",
  workerUrl: "/worker.js",
  workletUrl: `data:text/javascript,${encodeURIComponent(GLUE)}`,
  wasmUrl: "/voxrelay.wasm",
};

const { window, document, devices } = browser;
Object.assign(globalThis, {
  window,
  document,
  location: new URL("https://app.example.com/page"),
  isSecureContext: true,
  fetch: (url: string, init?: RequestInit) => browser.answers(String(url), init?.signal),
  servePage,
  reportError: (thrown: unknown) => browser.reported.push(thrown),
  MediaStream: Stream,
  AudioContext: Context,
  AudioWorkletNode: WorkletNode,
  Worker: FakeWorker,
});
const wakeLock = {
  async request(): Promise<Lock> {
    await browser.locking();
    const lock = new Lock();
    browser.locks.push(lock);
    return lock;
  },
};
Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: devices, wakeLock, permissions: { query: async () => browser.permission } }, configurable: true });

/** Waits until it is so, for 5 s at most. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 5_000;
  while (!isSo()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
