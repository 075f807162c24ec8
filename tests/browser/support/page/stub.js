// @ts-check
// In the place of the SDK: a `Call` that is in whatever state the test says. `stub` is the newest one.

{
  class VoxrelayError extends Error {
    /** @param {string} code @param {string} message @param {boolean} retryable */
    constructor(code, message, retryable) {
      super(message);
      Object.assign(this, { code, retryable });
    }
  }

  /** How many calls were begun, and how many were closed by the page. */
  const count = { begun: 0, closed: 0 };

  /** Those who want to know when something has changed, and are told at once. */
  class Source {
    /** @type {Set<() => void>} */
    listeners = new Set();
    /** @param {() => void} listener */
    subscribe = (listener) => (this.listeners.add(listener), () => this.listeners.delete(listener));
    changed() {
      for (const listener of this.listeners) listener();
    }
  }

  /** What an event changes in the snapshot; of all others nothing. @type {Record<string, (event: any, before: any) => object>} */
  const CHANGES = {
    state: (event) => (event.state === "connected" ? { ...event, error: undefined } : event),
    transport: ({ transport }) => ({ transport }),
    session: (session) => ({ session }),
    agent: ({ state }) => ({ agent: state }),
    usage: (usage) => ({ usage }),
    microphone: (microphone, { devices }) => ({ devices: { ...devices, microphone } }),
    error: (error) => ({ error }),
    mended: () => ({ error: undefined }),
    ended: (ended) => ({ ended, state: "closed" }),
    transcript: (said, { captions, session }) => {
      const caption = { sessionId: session.sessionId, ...said };
      const isSame = (/** @type {any} */ other) => other.turn === said.turn && other.role === said.role;
      return { captions: captions.some(isSame) ? captions.map((/** @type {any} */ other) => (isSame(other) ? caption : other)) : [...captions, caption] };
    },
  };

  class Call {
    #changes = new Source();
    /** @type {[string, (event: unknown) => void][]} */
    #listeners = [];
    subscribe = this.#changes.subscribe;
    levels = Object.assign(new Source(), { input: -100, output: -100 });
    engine = "worker";
    /** What was typed. @type {string[]} */
    typed = [];
    /** What was said of the call. @type {unknown[]} */
    rated = [];
    /** Why the next text is not taken. @type {unknown} */
    refusal;
    /** @type {any} */
    snapshot = {
      state: "idle",
      attempt: 0,
      retryInMs: 0,
      transport: "websocket",
      captions: [],
      usage: { audioMs: 0, tokens: 0, characters: 0, cost: 0, costNanoUsd: 0, leftNanoUsd: 0 },
      devices: { muted: false },
    };
    #wasUp = false;

    /** @param {any} options */
    constructor(options) {
      this.options = options;
      this.microphone = options.microphone;
      Object.assign(globalThis, { stub: this });
    }

    get state() {
      return this.snapshot.state;
    }
    get sessionId() {
      return this.snapshot.session?.sessionId;
    }
    get muted() {
      return this.snapshot.devices.muted;
    }

    connect() {
      count.begun++;
      this.tell("state", { state: "starting", attempt: 0, retryInMs: 0 });
      return new Promise((resolve, reject) => {
        this.resolve = () => {
          this.#wasUp = true;
          resolve(undefined);
        };
        /** @param {string} code @param {string} message */
        this.refuse = (code, message) => reject(new VoxrelayError(code, message, false));
      });
    }

    /** One that is not up yet is given up at once, and says nothing more. */
    close() {
      count.closed++;
      if (this.#wasUp) this.tell("state", { state: "closing", attempt: 0, retryInMs: 0 });
      else this.refuse?.("call_over", "");
      return Promise.resolve();
    }

    /** @param {string} name @param {(event: unknown) => void} listener */
    on(name, listener) {
      this.#listeners.push([name, listener]);
    }

    /** @param {boolean} muted */
    mute(muted) {
      this.#change({ devices: { ...this.snapshot.devices, muted } });
    }

    /** @param {string} text */
    sendText(text) {
      if (this.refusal) return Promise.reject(this.refusal);
      this.typed.push(text);
      return Promise.resolve();
    }

    /** @param {unknown} feedback */
    feedback(feedback) {
      if (this.refusal) return Promise.reject(this.refusal);
      this.rated.push(feedback);
      return Promise.resolve();
    }

    setMicrophone() {
      return Promise.resolve();
    }

    simulateOutage() {
      return () => undefined;
    }

    /** Takes nothing from now on. @param {string} code */
    takeNone(code) {
      this.refusal = new VoxrelayError(code, `The message of ${code}.`, false);
    }

    /** @param {string} name @param {any} event */
    tell(name, event) {
      if (name === "level") {
        Object.assign(this.levels, event);
        return this.levels.changed();
      }
      const change = CHANGES[name]?.(event, this.snapshot);
      if (change) this.#change(change);
      for (const [wanted, listener] of this.#listeners) if (wanted === name) listener(event);
    }

    /** @param {string} code @param {boolean} retryable */
    complain(code, retryable) {
      this.tell("error", new VoxrelayError(code, `The message of ${code}.`, retryable));
    }

    /** @param {object} change */
    #change(change) {
      this.snapshot = { ...this.snapshot, ...change };
      this.#changes.changed();
    }
  }

  Object.assign(globalThis, { Voxrelay: { Call, VoxrelayError, VoiceClient: { preload: () => Promise.resolve() } }, stubCount: count });
}
