// @ts-check
// In the place of the SDK's module, for the element: calls that are in whatever state the test says. `calls` has all of them.

export class VoxrelayError extends Error {
  /** @param {string} code @param {string} message @param {boolean} retryable @param {object} [details] */
  constructor(code, message, retryable, details) {
    super(message);
    this.code = code;
    Object.assign(this, { retryable }, details);
  }
}

/** As the SDK's does where loudspeakers can be chosen. */
export async function listDevices() {
  const all = await navigator.mediaDevices.enumerateDevices();
  const list = (/** @type {MediaDeviceKind} */ wanted) => all.filter(({ kind, deviceId }) => kind === wanted && deviceId);
  return { microphones: list("audioinput"), speakers: list("audiooutput") };
}

/** @type {Call[]} */
const calls = [];
Object.assign(globalThis, { calls });

/** As the SDK's does, it tells in a microtask of its own. */
function source() {
  /** @type {Set<() => void>} */
  const listeners = new Set();
  return {
    changed: () => queueMicrotask(() => listeners.forEach((listener) => listener())),
    subscribe: (/** @type {() => void} */ listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export class Call {
  /** @type {Map<string, ((event: any) => void)[]>} */
  #listeners = new Map();
  #changes = source();
  #levels = source();
  /** @type {PromiseWithResolvers<void> | any} */
  #up = {};
  /** What was typed. @type {string[]} */
  typed = [];
  /** @type {any[]} */
  ratings = [];
  /** @type {(string | undefined)[]} */
  microphones = [];
  /** What each `close` said of finishing. @type {(boolean | undefined)[]} */
  closes = [];
  /** @type {(string | undefined)[]} */
  speakers = [];
  /** Why the next thing that is asked is refused. @type {string | undefined} */
  refusal = undefined;
  levels = { input: -100, output: -100, subscribe: this.#levels.subscribe };
  subscribe = this.#changes.subscribe;

  /** @param {any} options */
  constructor(options) {
    if (typeof options.token !== "function") throw new TypeError("`token` is undefined, not a function that gives an access token");
    this.options = options;
    this.snapshot = /** @type {any} */ ({ state: "idle", captions: [], devices: { muted: false }, quality: { warnings: [] }, levels: this.levels });
    calls.push(this);
  }

  get sessionId() {
    return this.snapshot.session?.sessionId;
  }

  get state() {
    return this.snapshot.state;
  }

  get muted() {
    return this.snapshot.devices.muted;
  }

  /** @param {string} name @param {(event: any) => void} listener */
  on(name, listener) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
  }

  connect() {
    this.enter("starting");
    return new Promise((resolve, reject) => (this.#up = { resolve, reject }));
  }

  /** @param {boolean} [muted] */
  mute(muted = true) {
    this.change({ devices: { ...this.snapshot.devices, muted } });
  }

  /** @param {string | { deviceId?: string } | false} [asked] */
  setMicrophone(asked) {
    if (asked === false) {
      this.change({ devices: { ...this.snapshot.devices, microphone: undefined } });
      return Promise.resolve();
    }
    const id = typeof asked === "object" ? asked.deviceId : asked;
    this.microphones.push(id);
    if (this.refusal) return this.#refused();
    this.microphone(id ?? "default");
    return Promise.resolve();
  }

  /** @param {string} [id] */
  setSpeaker(id) {
    this.speakers.push(id);
    if (this.refusal) return this.#refused();
    this.change({ devices: { ...this.snapshot.devices, speaker: { deviceId: id, fallback: false } } });
    return Promise.resolve();
  }

  /** @param {string} text */
  sendText(text) {
    if (this.refusal) return this.#refused();
    this.typed.push(text);
    return Promise.resolve();
  }

  /** @param {any} feedback */
  feedback(feedback) {
    this.ratings.push(feedback);
    return this.refusal ? this.#refused() : Promise.resolve();
  }

  /** @param {{ finish?: boolean } | undefined} options */
  async close(options) {
    this.closes.push(options?.finish);
    if (this.snapshot.state === "closing" || this.snapshot.state === "closed") return;
    this.enter("closing");
    // A call that is not up is given up at once.
    if (!this.sessionId) this.end("normal");
  }

  // What the test says.

  /** @param {object} changed */
  change(changed) {
    this.snapshot = Object.freeze({ ...this.snapshot, ...changed });
    this.#changes.changed();
  }

  /** @param {string} name @param {any} event */
  tell(name, event) {
    for (const listener of this.#listeners.get(name) ?? []) listener(event);
  }

  /** @param {string} state */
  enter(state) {
    const event = { state, attempt: 0, retryInMs: 0 };
    this.change({ ...event, ...(state === "connected" && { error: undefined }) });
    this.tell("state", event);
  }

  /** The relay has answered. @param {object} [session] */
  answer(session) {
    this.enter("connecting");
    const whole = { sessionId: `session-${calls.length}`, features: ["text"], recording: false, prices: { items: [{ unit: "second" }] }, ...session };
    this.change({ session: whole, agent: "listening" });
    this.tell("session", whole);
    if (this.options.microphone !== false) this.microphone("default");
    this.enter("connected");
    this.#up.resolve();
  }

  /** @param {string} deviceId */
  microphone(deviceId) {
    const microphone = { label: deviceId, deviceId, live: true, fallback: false };
    this.change({ devices: { ...this.snapshot.devices, microphone } });
    this.tell("microphone", microphone);
  }

  /** @param {"user" | "agent"} role @param {number} turn @param {string} text @param {boolean} [last] */
  say(role, turn, text, last = true) {
    const said = { sessionId: this.sessionId, role, turn, text, last };
    const others = this.snapshot.captions.filter((/** @type {any} */ other) => other.role !== role || other.turn !== turn);
    this.change({ captions: [...others, said] });
    this.tell("transcript", said);
  }

  /** @param {number} input @param {number} output */
  loud(input, output) {
    Object.assign(this.levels, { input, output });
    this.#levels.changed();
  }

  /** Tells of an error; the call goes on. @param {string} code @param {object} [details] */
  complain(code, details) {
    const error = new VoxrelayError(code, `The message of ${code}.`, true, details);
    this.change({ error });
    this.tell("error", error);
  }

  /** Is refused, for good unless `details` say otherwise. @param {string} code @param {object} [details] */
  refuse(code, details) {
    const error = new VoxrelayError(code, `The message of ${code}.`, false, details);
    this.change({ error });
    this.enter("closed");
    this.#up.reject(error);
  }

  /** @param {string} reason */
  end(reason) {
    this.enter("closed");
    this.tell("ended", { reason, code: 1000 });
    this.#up.reject(new VoxrelayError("call_over", "The call is over.", false));
  }

  #refused() {
    return Promise.reject(new VoxrelayError(String(this.refusal), `The message of ${this.refusal}.`, false));
  }
}
