// @ts-check
// The audio contexts that a page makes: whether they are open, and what their microphones gave them.

/**
 * Keeps an eye on every audio context that a page makes from here on, and records what it is given to hear.
 * @param {import("./test-call.mjs").Page} page
 */
export async function watchContexts(page) {
  await page.evaluate(() => {
    const RECORDER = `registerProcessor("captured", class extends AudioWorkletProcessor {
      process([[channel]]) {
        if (channel) this.port.postMessage(channel.slice());
        return true;
      }
    });`;
    const url = URL.createObjectURL(new Blob([RECORDER], { type: "text/javascript" }));
    /** @type {AudioContext[]} */
    const contexts = [];
    /** @type {Float32Array[]} */
    const blocks = [];
    /** When each block was here. @type {number[]} */
    const times = [];
    globalThis.AudioContext = class extends AudioContext {
      constructor() {
        super();
        contexts.push(this);
      }

      /** @param {MediaStream} stream */
      createMediaStreamSource(stream) {
        const source = super.createMediaStreamSource(stream);
        void this.audioWorklet.addModule(url).then(() => {
          const recorder = new AudioWorkletNode(this, "captured", { channelCount: 1, channelCountMode: "explicit" });
          recorder.port.onmessage = ({ data }) => {
            blocks.push(data);
            times.push(Date.now());
          };
          source.connect(recorder).connect(this.destination);
        });
        return source;
      }
    };
    Object.assign(globalThis, {
      contexts: {
        states: () => contexts.map(({ state }) => state),
        captured() {
          const samples = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
          blocks.reduce((at, block) => (samples.set(block, at), at + block.length), 0);
          const bytes = new Uint8Array(samples.buffer);
          let text = "";
          for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
          return { rate: contexts[0].sampleRate, base64: btoa(text), times };
        },
      },
    });
  }, undefined);
  /** @param {string} method @returns {Promise<any>} */
  const tell = (method) => page.evaluate((/** @type {string} */ name) => /** @type {any} */ (globalThis).contexts[name](), method);
  return {
    /** The state of each. @returns {Promise<string[]>} */
    states: () => tell("states"),
    /**
     * What the microphone gave the page, whatever became of it before: a busy machine loses some of what is played to it. `times` says when
     * (`Date.now()`), one for each block; all blocks are of a size.
     */
    async captured() {
      /** @type {{ rate: number, base64: string, times: number[] }} */
      const { rate, base64, times } = await tell("captured");
      const bytes = Buffer.from(base64, "base64");
      return { rate, samples: new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)), times };
    },
  };
}
