// @ts-check
// In the place of the SDK: a call that is in whatever state the test says. `stub` is the newest one.

{
  class VoxrelayError extends Error {
    /** @param {string} code @param {string} message @param {boolean} retryable */
    constructor(code, message, retryable) {
      super(message);
      Object.assign(this, { code, retryable });
    }
  }

  /** How many calls were begun, and how many of those that came up were closed. */
  const count = { begun: 0, closed: 0 };

  const VoiceClient = {
    preload: () => Promise.resolve(),
    /** @param {any} options */
    connect(options) {
      count.begun++;
      /** @type {(call: unknown) => void} */
      let resolve = () => undefined;
      /** @type {(thrown: unknown) => void} */
      let reject = () => undefined;
      const call = {
        state: "starting",
        engine: "worker",
        muted: false,
        mute: (/** @type {boolean} */ muted) => void (call.muted = muted),
        setMicrophone: () => Promise.resolve(),
        /** What was typed. @type {string[]} */
        typed: [],
        /** Why the next text is not taken. @type {unknown} */
        refusal: undefined,
        /** @param {string} text */
        sendText(text) {
          if (call.refusal) return Promise.reject(call.refusal);
          call.typed.push(text);
          return Promise.resolve();
        },
        /** Takes no texts from now on. @param {string} code */
        takeNone: (code) => void (call.refusal = new VoxrelayError(code, `The message of ${code}.`, false)),
        microphone: options.microphone,
        simulateOutage: () => () => undefined,
        close: () => {
          count.closed++;
          call.tell("state", { state: "closing", attempt: 0, retryInMs: 0 });
          return Promise.resolve();
        },
        /** @param {string} name @param {any} event */
        tell(name, event) {
          if (name === "state") call.state = event.state;
          options[`on${name[0].toUpperCase()}${name.slice(1)}`]?.(event);
        },
        resolve: () => resolve(call),
        /** @param {string} code @param {string} message */
        refuse: (code, message) => reject(new VoxrelayError(code, message, false)),
        /** @param {string} code @param {boolean} retryable */
        complain: (code, retryable) => call.tell("error", new VoxrelayError(code, `The message of ${code}.`, retryable)),
      };
      Object.assign(globalThis, { stub: call });
      return new Promise((...settle) => ([resolve, reject] = settle));
    },
  };
  Object.assign(globalThis, { Voxrelay: { VoiceClient, VoxrelayError }, stubCount: count });
}
