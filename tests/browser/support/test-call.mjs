// @ts-check
// The test's hands on a page with a call, in whatever browser.

import { PATIENCE_MS, until } from "./relay.mjs";

/** @typedef {import("./page/page.js").Noted} Noted */

/**
 * What every driver of a browser can do: run a function in the page, and give what it returns or what its promise brings.
 * @typedef {object} Page
 * @property {<A, R>(work: (argument: A) => R | Promise<R>, argument: A) => Promise<R>} evaluate
 */

export class TestCall {
  #page;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
  }

  /**
   * Makes the call.
   * @param {{ record?: boolean, meter?: boolean } & Partial<import("voxrelay").ConnectOptions>} [options] `record`: what the agent says
   *   instead of playing it; `meter`: that and the microphone, by the same clock; the others are the SDK's.
   * @returns {Promise<{ sessionId: string, conversationId: string, engine: string }>}
   */
  start(options = {}) {
    return this.#tell("start", options);
  }

  /** What the call said so far. @returns {Promise<Noted[]>} */
  noted() {
    return this.#tell("noted");
  }

  /**
   * Waits for something the call says.
   * @param {(noted: Noted) => boolean} wanted
   * @param {number} [from] How much of what was noted is not meant.
   * @param {number} [patienceMs]
   * @returns {Promise<number>} How much was noted when it came, itself included.
   */
  async hears(wanted, from = 0, patienceMs = PATIENCE_MS) {
    const heard = async () => {
      const index = (await this.noted()).findIndex((noted, i) => i >= from && wanted(noted));
      return index >= 0 && index + 1;
    };
    return until(`the call said ${wanted}`, heard, patienceMs);
  }

  /** The code of the trouble that there is now. @returns {Promise<string | undefined>} */
  async trouble() {
    return (await this.#tell("trouble")) ?? undefined;
  }

  /** What the agent said. */
  async heard() {
    /** @type {{ rate: number, base64: string }} */
    const { rate, base64 } = await this.#tell("heard");
    const bytes = Buffer.from(base64, "base64");
    return { rate, samples: new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)) };
  }

  /** The loudest that the agent was, in dB of full scale. @returns {Promise<number>} */
  loudest() {
    return this.#tell("loudest");
  }

  /** Forgets how loud the agent was. */
  forget() {
    return this.#tell("forget");
  }

  /** How loud the agent is, as the call shows it, in dB of full scale. @returns {Promise<number>} */
  output() {
    return this.#tell("output");
  }

  /**
   * How loud loudspeaker and microphone were, in blocks.
   * @returns {Promise<{ blockMs: number, loudspeaker: number[], microphone: number[] }>}
   */
  levels() {
    return this.#tell("levels");
  }

  /** When each of these blocks was rendered, by `Date.now()`. @returns {Promise<number[]>} */
  rendered() {
    return this.#tell("rendered");
  }

  /** Keeps the page busy. @param {number} ms @returns {Promise<{ begin: number, end: number }>} */
  block(ms) {
    return this.#tell("block", ms);
  }

  /** Mutes the microphone, or unmutes it. @param {boolean} muted */
  mute(muted) {
    return this.#tell("mute", muted);
  }

  /** Puts the call on hold, or takes it up again. @param {boolean} onHold */
  hold(onHold) {
    return this.#tell("hold", onHold);
  }

  /** Changes the loudspeaker. @param {string} [deviceId] */
  setSpeaker(deviceId) {
    return this.#tell("speaker", deviceId);
  }

  /** How loud the agent is heard. @param {number} volume */
  setVolume(volume) {
    return this.#tell("volume", volume);
  }

  /** Changes the microphone, or takes it away. @param {string | false} [deviceId] */
  setMicrophone(deviceId) {
    return this.#tell("microphone", deviceId);
  }

  /**
   * Says something among the audio.
   * @param {string} method Of the call.
   * @param {unknown[]} args
   * @returns {Promise<string>} `taken`, or the code or the name of the error that it was refused with.
   */
  say(method, ...args) {
    return this.#tell("say", [method, ...args]);
  }

  /**
   * Has a tool of the agent run by the page, and noted as `tool`, and as `aborted`.
   * @param {{ name: string, answer?: unknown, error?: string, ms?: number }} tool
   */
  tool(tool) {
    return this.#tell("tool", tool);
  }

  /** Hangs up; what the call still says is noted. */
  hangUp() {
    return this.#tell("hangUp");
  }

  /** Hangs up. */
  close() {
    return this.#tell("close");
  }

  /**
   * @param {string} method
   * @param {unknown} [argument]
   * @returns {Promise<any>}
   */
  #tell(method, argument) {
    return this.#page.evaluate(
      // Nothing becomes `null` on the way to the page.
      ([name, value]) => /** @type {any} */ (globalThis).harness[/** @type {string} */ (name)](value ?? undefined),
      [method, argument],
    );
  }
}
