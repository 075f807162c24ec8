// @ts-check
// How loud it is, and by which microphone.

import { element } from "./page.js";

/** @typedef {import("../../npm/src/index.ts").Call} Call */

/** The level that fills the meter's left end. */
const FLOOR_DB = -60;
const SILENCE_DB = -100;

export class Sound {
  #meter = element("meter");
  #halo = element("halo");
  #picker = element("picker");
  #microphones = element("microphones", HTMLSelectElement);

  /** @param {(deviceId: string | undefined) => void} choose */
  constructor(choose) {
    this.#microphones.addEventListener("change", () => choose(this.#microphones.value || undefined));
  }

  /** @param {Call} call */
  showLevels({ levels, snapshot, muted }) {
    const input = muted ? SILENCE_DB : levels.input;
    this.#show(input, snapshot.agent === "speaking" ? levels.output : input);
  }

  silence() {
    this.#show(SILENCE_DB, SILENCE_DB);
  }

  /** @param {number} input @param {number} loudest */
  #show(input, loudest) {
    this.#meter.style.setProperty("--rms", share(input).toFixed(3));
    this.#meter.setAttribute("aria-valuenow", String(Math.round(Math.max(FLOOR_DB, input))));
    this.#halo.style.setProperty("--level", share(loudest).toFixed(3));
  }

  /** Whether a microphone is in use, and can be chosen. @param {boolean} isOpen @param {boolean} isMuted */
  offer(isOpen, isMuted) {
    this.#meter.toggleAttribute("data-off", !isOpen || isMuted);
    // The system's default, and at least two to choose from.
    this.#picker.hidden = !isOpen || this.#microphones.length < 3;
  }

  /** The browser tells their names once one of them is open. */
  async list() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const chosen = this.#microphones.value;
    const inputs = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "default" && deviceId !== "communications");
    const options = inputs.map(({ label, deviceId }) => new Option(label, deviceId, false, deviceId === chosen));
    this.#microphones.replaceChildren(new Option("The system's default", "", false, chosen === ""), ...options);
  }
}

/** @param {number} decibels */
function share(decibels) {
  return Math.min(1, Math.max(0, 1 - decibels / FLOOR_DB));
}
