// @ts-check
// The page whose call is measured: shows its state and what was said, as most pages would. Beside it, in the audio thread, each quantum of the
// SDK's two processors is looked at.

{
  const { Call, VoiceClient } = /** @type {typeof import("voxrelay")} */ (Reflect.get(globalThis, "Voxrelay"));

  /**
   * Loaded before the SDK's worklet. A quantum is missed if the processor was not run for it; one of the microphone's is empty if it brought no
   * samples. Silence of less than 0.3 s within what the agent says, to the last bit, is what was not there in time: the microphone that it
   * echoes hisses all the time.
   */
  const GAUGE = `
    const counts = {};
    const PAUSE = 0.3 * sampleRate;
    const register = registerProcessor;
    globalThis.registerProcessor = (name, Processor) => register(name, class extends Processor {
      constructor(...args) {
        super(...args);
        this.count = counts[name] ??= { run: 0, missed: 0, empty: 0, sounding: 0, silences: 0, silent: 0 };
        this.zeros = Infinity;
      }
      process(inputs, outputs) {
        const alive = super.process(inputs, outputs);
        const { count } = this;
        if (this.next !== undefined) count.missed += (currentFrame - this.next) / 128;
        this.next = currentFrame + 128;
        count.run++;
        if (inputs.length && inputs[0].length) this.heard = true;
        else if (this.heard) count.empty++;
        if (!inputs.length) {
          for (const sample of outputs[0][0]) {
            if (!sample) { this.zeros++; continue; }
            if (this.zeros > 16 && this.zeros < PAUSE) { count.silences++; count.silent += this.zeros; }
            count.sounding++;
            this.zeros = 0;
          }
        }
        return alive;
      }
    });
    register("gauge", class extends AudioWorkletProcessor {
      constructor() { super(); this.port.onmessage = () => this.port.postMessage(counts); }
      process() { return true; }
    });`;
  const gauge = URL.createObjectURL(new Blob([GAUGE], { type: "text/javascript" }));
  const asked = new URLSearchParams(location.search);

  /** @type {AudioContext | undefined} */
  let context;
  /** @type {AudioWorkletNode | undefined} */
  let node;
  if (asked.has("gauge")) {
    const { addModule } = AudioWorklet.prototype;
    AudioWorklet.prototype.addModule = async function (url) {
      await addModule.call(this, gauge);
      await addModule.call(this, url);
    };
    globalThis.AudioContext = class extends AudioContext {
      constructor() {
        super();
        context = this;
      }
    };
  }

  /** @type {MediaStreamTrack | undefined} */
  let track;
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    [track] = stream.getAudioTracks();
    return stream;
  };

  /** @type {import("voxrelay").Call | undefined} */
  let call;
  /** When what happened, in milliseconds since 1970. @type {Record<string, number>} */
  const times = {};
  const happened = (/** @type {string} */ name) => (times[name] ??= performance.timeOrigin + performance.now());
  const counts = { answers: 0, gaps: 0, levels: 0 };
  /** @type {string[]} */
  const errors = [];

  const show = (/** @type {string} */ id, /** @type {string} */ text) => {
    const element = document.getElementById(id);
    if (element && element.textContent !== text) element.textContent = text;
  };

  document.getElementById("call")?.addEventListener("click", ({ timeStamp }) => {
    times.click = performance.timeOrigin + timeStamp;
    const made = (call = new Call({
      url: "/v1/call",
      token: async () => {
        happened("token asked for");
        const token = await (await fetch("/dev/token")).text();
        happened("token there");
        return token;
      },
      microphone: { echoCancellation: false, autoGainControl: false, noiseSuppression: false },
      onState: ({ state }) => happened(state),
      onMicrophone: () => happened("microphone open"),
      onAgent: ({ state }) => void (state === "speaking" && counts.answers++),
      onGap: () => void counts.gaps++,
      onError: ({ code }) => void errors.push(code),
    }));
    made.subscribe(() => {
      show("state", made.state);
      show("said", made.snapshot.captions.at(-1)?.text ?? "");
    });
    if (asked.has("levels")) made.levels.subscribe(() => void counts.levels++);
    made.connect().catch((/** @type {unknown} */ error) => errors.push(String(error)));
  });

  Object.assign(globalThis, {
    cost: {
      preload: () => VoiceClient.preload(),
      times: () => times,
      close: () => call?.close(),
      /** What was counted so far, by the gauge, by the browser and by the call. */
      async counts() {
        if (context && !node) {
          node = new AudioWorkletNode(context, "gauge", { numberOfInputs: 0 });
          node.connect(context.destination);
        }
        const port = node?.port;
        const quanta = await new Promise((resolve) => {
          if (!port) return resolve({});
          port.onmessage = ({ data }) => resolve(data);
          port.postMessage(null);
        });
        // What TypeScript's library does not know yet, nor every browser.
        const { playbackStats } = /** @type {any} */ (context ?? {});
        const { stats } = /** @type {any} */ (track ?? {});
        return { quanta, loudspeaker: playbackStats?.toJSON(), microphone: stats?.toJSON(), engine: call?.engine, state: call?.state, errors, ...counts };
      },
    },
  });
}
