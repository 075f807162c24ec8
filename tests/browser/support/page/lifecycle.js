// @ts-check
// Makes calls and has something happen to them, in an order that a seed decides; then says what is left of them. A classic script.

{
  const { Call } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));
  const { mediaDevices } = navigator;

  /** A call has to be over by then, whatever happened to it. */
  const OVER_MS = 20_000;

  /** @type {MediaStreamTrack[]} */
  const tracks = [];
  /** @type {AudioContext[]} */
  const contexts = [];
  /** @type {WebSocket[]} */
  const sockets = [];
  /** @type {Set<Worker>} */
  const workers = new Set();
  /** Every listener that is on one of these, by its target, type and function. @type {Map<EventTarget, Map<string, Set<unknown>>>} */
  const listeners = new Map([window, document, mediaDevices].map((target) => [target, new Map()]));
  /** What the browser does this time. */
  const browser = { refuses: false, slowMs: 0 };

  const ask = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async (constraints) => {
    await sleep(browser.slowMs);
    if (browser.refuses) throw new DOMException("no", "NotAllowedError");
    const stream = await ask(constraints);
    tracks.push(...stream.getTracks());
    return stream;
  };
  globalThis.AudioContext = class extends AudioContext {
    /** @param {AudioContextOptions} [options] */
    constructor(options) {
      super(options);
      contexts.push(this);
    }
  };
  globalThis.WebSocket = class extends WebSocket {
    /** @param {string | URL} url @param {string | string[]} [protocols] */
    constructor(url, protocols) {
      super(url, protocols);
      sockets.push(this);
    }
  };
  globalThis.Worker = class extends Worker {
    /** @param {string | URL} url @param {WorkerOptions} [options] */
    constructor(url, options) {
      super(url, options);
      workers.add(this);
    }
    terminate() {
      workers.delete(this);
      super.terminate();
    }
  };
  for (const [target, types] of listeners) {
    const { addEventListener, removeEventListener } = target;
    target.addEventListener = (/** @type {string} */ type, /** @type {any} */ listener, /** @type {any} */ options) => {
      types.set(type, (types.get(type) ?? new Set()).add(listener));
      addEventListener.call(target, type, listener, options);
    };
    target.removeEventListener = (/** @type {string} */ type, /** @type {any} */ listener, /** @type {any} */ options) => {
      types.get(type)?.delete(listener);
      removeEventListener.call(target, type, listener, options);
    };
  }

  const left = () => ({
    tracks: tracks.filter(({ readyState }) => readyState === "live").length,
    contexts: contexts.filter(({ state }) => state !== "closed").length,
    workers: workers.size,
    sockets: sockets.filter(({ readyState }) => readyState < WebSocket.CLOSING).length,
    listeners: [...listeners.values()].flatMap((types) => [...types.values()]).reduce((sum, { size }) => sum + size, 0),
  });

  /** @param {number} ms */
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  /** Numbers from 0 to below `most`, the same for the same seed (mulberry32). @param {number} seed */
  function random(seed) {
    let state = seed;
    return (/** @type {number} */ most) => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) % most;
    };
  }

  /**
   * What may happen to a call.
   * @typedef {{ call: InstanceType<typeof Call>, controller: AbortController, dice: (most: number) => number }} Scene
   * @type {Record<string, (scene: Scene) => unknown>}
   */
  const STEPS = {
    waits: ({ dice }) => sleep(dice(250)),
    close: ({ call }) => void call.close(),
    abort: ({ controller }) => controller.abort("unmounted"),
    async microphone({ call, dice }) {
      const inputs = (await mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "audioinput");
      call.setMicrophone(dice(3) > 0 && (inputs[dice(inputs.length)]?.deviceId || undefined)).catch(() => undefined);
    },
    unplugged() {
      const track = tracks.findLast(({ readyState }) => readyState === "live");
      track?.stop();
      track?.dispatchEvent(new Event("ended"));
    },
    devices: () => mediaDevices.dispatchEvent(new Event("devicechange")),
    outage: ({ call, dice }) => void call.simulateOutage(50 + dice(200)),
    async hides({ dice }) {
      window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
      await sleep(dice(150));
      window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    },
    wakes: () => document.dispatchEvent(new Event("visibilitychange")),
    network() {
      window.dispatchEvent(new Event("offline"));
      window.dispatchEvent(new Event("online"));
    },
    mute: ({ call, dice }) => call.mute(dice(2) === 0),
    text: ({ call }) => void call.sendText("a").catch(() => undefined),
  };

  /**
   * What may follow each state, the event `session`, and the event `ended`; the first stands under no name. A session is told before the call is
   * connected to it, which it may be while the last words are on their way, and the end is told last.
   * @type {Record<string, string>}
   */
  const FOLLOWS = {
    "": "starting closed",
    starting: "connecting closed",
    connecting: "connecting session closing closed",
    session: "connected reconnecting closed",
    connected: "reconnecting closing closed",
    reconnecting: "reconnecting session connected closing closed",
    closing: "closing session-while-closing closed",
    "session-while-closing": "closing closed",
    closed: "ended",
    ended: "",
  };

  /** The first that may not follow what was before it. @param {string[]} told */
  const outOfOrder = (told) => told.find((name, at) => !FOLLOWS[told[at - 1] ?? ""]?.split(" ").includes(name));

  /**
   * Runs the schedule of a seed.
   * @param {number} seed
   * @returns {Promise<{ schedule: string, problem?: string, sessionId?: string }>} The session that the page was told of, if any.
   */
  async function run(seed) {
    const dice = random(seed);
    const controller = new AbortController();
    browser.refuses = dice(12) === 0;
    browser.slowMs = dice(3) ? 0 : dice(150);
    const tokenMs = dice(4) ? 0 : dice(150);
    const isBad = dice(12) === 0;
    const call = new Call({
      url: "/v1/call",
      token: async () => {
        await sleep(tokenMs);
        return isBad ? "no.token.ofanybody" : (await fetch("/dev/token")).text();
      },
      signal: controller.signal,
      ...(dice(6) === 0 && { worker: /** @type {const} */ ("never") }),
      ...(dice(8) === 0 && { microphone: /** @type {const} */ (false) }),
      ...(dice(12) === 0 && { workletUrl: "/missing.js" }),
    });
    const before = left().listeners;
    const names = Object.keys(STEPS);
    const steps = Array.from({ length: 1 + dice(7) }, () => (dice(3) ? names[dice(names.length)] : "waits"));
    const schedule = ["connect", ...steps].join(", ");
    /** States, sessions, and the end. @type {string[]} */
    const told = [];
    call.on("state", ({ state }) => told.push(state));
    call.on("session", () => told.push(told.at(-1) === "closing" ? "session-while-closing" : "session"));
    call.on("ended", () => told.push("ended"));
    const connecting = call.connect().then(() => "connected", String);
    for (const step of steps) await STEPS[step]({ call, controller, dice });
    const isOver = await Promise.race([call.close().then(() => true), sleep(OVER_MS)]);
    if (!isOver) return { schedule, problem: `it was not over within ${OVER_MS} ms: ${told}` };
    const { contexts: open } = left();
    if (open > 0) return { schedule, problem: `${open} contexts are open` };
    await connecting;
    // Whatever was being opened is let go of when it is open.
    await sleep(browser.slowMs + 30);
    const is = JSON.stringify(left());
    const wanted = JSON.stringify({ tracks: 0, contexts: 0, workers: 0, sockets: 0, listeners: before });
    if (is !== wanted) return { schedule, problem: `left over: ${is}, not ${wanted}` };
    for (const list of [tracks, contexts, sockets]) list.splice(0);
    const wrong = outOfOrder(told);
    if (call.state !== "closed" || wrong) return { schedule, problem: `${wrong} is out of order: ${told}` };
    return { schedule, sessionId: call.sessionId };
  }

  Object.assign(globalThis, { lifecycle: { run, left } });
}
