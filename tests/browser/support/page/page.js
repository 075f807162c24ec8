// @ts-check
// The page's half of the harness: makes a call, keeps what it said and what was heard. A classic script, as a script tag is.

/**
 * @typedef {object} Noted
 * @property {number} time `Date.now()`.
 * @property {string} name
 * @property {any} event
 */

{
  const { VoiceClient } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));

  /** @type {Noted[]} */
  const noted = [];
  /** @type {Float32Array[]} */
  const heard = [];
  /** @type {Float32Array[]} */
  const spoken = [];
  /** When each block of both was rendered: `Date.now()` of the thread that renders. @type {number[]} */
  const renderedAt = [];
  /** @typedef {{ record?: boolean, meter?: boolean } & Partial<import("voxrelay").ConnectOptions>} Start */

  /** @type {import("voxrelay").VoiceClient | undefined} */
  let call;
  let rate = 0;
  /** The loudest that the agent was, in dB of full scale. */
  let loudest = -Infinity;

  /** @param {string} name */
  const note = (name) => (/** @type {any} */ event) => {
    const { code, message, retryable, limit, retryAfterMs } = event;
    noted.push({ time: Date.now(), name, event: name === "error" ? { code, message, retryable, limit, retryAfterMs } : event });
  };

  /** Where a loudspeaker would be: hands over everything that reaches it. Inline, as Playwright cannot serve a worklet. */
  const RECORDER = `registerProcessor("recorder", class extends AudioWorkletProcessor {
    process(inputs) {
      this.port.postMessage([Date.now(), ...inputs.map(([channel]) => channel ? channel.slice() : new Float32Array(128))]);
      return true;
    }
  });`;

  async function recorder() {
    const context = new AudioContext();
    rate = context.sampleRate;
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([RECORDER], { type: "text/javascript" })));
    const node = new AudioWorkletNode(context, "recorder", { numberOfInputs: 2, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data: [time, loudspeaker, microphone] }) => {
      heard.push(loudspeaker);
      if (!isMeasured) return;
      spoken.push(microphone);
      renderedAt.push(time);
    };
    node.connect(context.destination);
    await context.resume();
    return { audioContext: context, output: node };
  }

  /** The microphone is recorded, too, by the same clock as the loudspeaker and from the same block on. */
  let isMeasured = false;

  /** Records both, so that they can be held against one another. */
  async function meter() {
    isMeasured = true;
    const { audioContext, output } = await recorder();
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    audioContext.createMediaStreamSource(microphone).connect(output, 0, 1);
    return { audioContext, output, microphone };
  }

  /** How loud each block of 128 samples is, from 0 to 1. @param {Float32Array[]} blocks */
  const loudness = (blocks) => blocks.map((block) => Math.sqrt(block.reduce((sum, sample) => sum + sample * sample, 0) / block.length));

  const harness = {
    /** Makes the call; with `record`, what the agent says is recorded instead of played, and with `meter` the microphone too. @param {Start} options */
    async start({ record, meter: isMetered, ...asked }) {
      const events = ["State", "Transport", "Session", "Transcript", "Usage", "Budget", "Gap", "Error", "Ended", "Microphone", "Speaker", "Rtt", "Quality", "Undelivered", "ToolCall", "Agent", "Degraded", "Listened"];
      const options = {
        url: new URL("/v1/call", location.href),
        token: async () => {
          const response = await fetch("/dev/token");
          if (!response.ok) throw new Error(`the relay answered ${response.status}`);
          return response.text();
        },
        microphone: { echoCancellation: false, autoGainControl: false, noiseSuppression: false },
        ...(record ? await recorder() : {}),
        ...(isMetered ? await meter() : {}),
        ...asked,
        onLevel: (/** @type {any} */ { outputRms }) => void (loudest = Math.max(loudest, outputRms)),
        ...Object.fromEntries(events.map((name) => [`on${name}`, note(name.charAt(0).toLowerCase() + name.slice(1))])),
      };
      call = await VoiceClient.connect(options).catch((error) => {
        // An error loses its fields on the way to the test.
        throw new Error(`${error.code}: ${error.message}`);
      });
      return { sessionId: call.sessionId, conversationId: call.conversationId, engine: call.engine };
    },

    /** What the call said so far. */
    noted: () => noted,

    /** The code of the trouble that there is now. */
    trouble: () => call?.snapshot.error?.code,

    /** What the agent said: samples as base64 of little-endian floats, a JSON string being far slower. */
    heard() {
      const samples = new Float32Array(heard.reduce((sum, block) => sum + block.length, 0));
      heard.reduce((at, block) => (samples.set(block, at), at + block.length), 0);
      const bytes = new Uint8Array(samples.buffer);
      let text = "";
      for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
      return { rate, base64: btoa(text) };
    },

    /** The loudest that the agent was, in dB of full scale. */
    loudest: () => loudest,

    /** Forgets how loud the agent was. */
    forget: () => void (loudest = -Infinity),

    /** How loud the agent is, as the call shows it, in dB of full scale. */
    output: () => call?.levels.output,

    /** How loud loudspeaker and microphone were, by the same clock. */
    levels: () => ({ blockMs: 128_000 / rate, loudspeaker: loudness(heard), microphone: loudness(spoken) }),

    /** When each of these blocks was rendered. */
    rendered: () => renderedAt,

    /** Keeps the page's main thread busy, as a bad script would. @param {number} ms */
    block(ms) {
      const begin = Date.now();
      const end = performance.now() + ms;
      while (performance.now() < end);
      return { begin, end: Date.now() };
    },

    mute: (/** @type {boolean} */ muted) => call?.mute(muted),
    hold: (/** @type {boolean} */ onHold) => call?.hold(onHold),

    volume: (/** @type {number} */ volume) => call?.setVolume(volume),

    /** Changes the microphone. @param {string} [deviceId] */
    microphone: (deviceId) => call?.setMicrophone(deviceId),
    /** Changes the loudspeaker. @param {string} [deviceId] */
    speaker: (deviceId) => call?.setSpeaker(deviceId),

    /** Calls a method of the call, and gives what it was refused with, if it was. @param {[string, ...unknown[]]} asked */
    async say([method, ...args]) {
      try {
        await /** @type {any} */ (call)[method](...args);
        return "taken";
      } catch (thrown) {
        return /** @type {any} */ (thrown).code ?? /** @type {any} */ (thrown).name;
      }
    },

    /**
     * Runs a tool of the agent: it takes a while, gives or throws the answer, and is noted.
     * @param {{ name: string, answer?: unknown, error?: string, ms?: number }} tool
     */
    tool({ name, answer, error, ms = 0 }) {
      call?.registerTool(name, async (args, { callId, signal }) => {
        signal.onabort = () => note("aborted")({ callId });
        note("tool")({ callId, name, args });
        await new Promise((resolve) => setTimeout(resolve, ms));
        if (error) throw new Error(error);
        return answer;
      });
    },

    /** Hangs up and keeps the call. */
    hangUp: () => call?.close(),

    /** Hangs up, and forgets the call, which holds one end of a port. */
    async close() {
      await call?.close();
      call = undefined;
    },
  };
  Object.assign(globalThis, { harness });
}
