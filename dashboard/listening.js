// Listening in to a live call: what both sides say, about two seconds later, as the relay streams it.

import { Refused, ask, read } from "./api.js";
import { el, said } from "./dom.js";

/** How the relay's WAV file is: its head, then 16-bit little-endian samples of user and agent in turns. */
const HEAD_BYTES = 44;
const RATE = 16_000;
const CHANNELS = 2;
const FRAME_BYTES = 2 * CHANNELS;
/** How far ahead sound is put that comes after a pause, and how far at most, in seconds: what comes sooner than that is left out. */
const AHEAD = 0.3;
const AHEAD_MAX = 3;
/** How often it is tried again where a stream broke off, since the call may be on its way to another relay, and after how many milliseconds. */
const TRIES = 5;
const AGAIN_MS = 2_000;
const IDLE = "The user is heard on the left, the agent on the right. It stands in the audit, and the page of the call is told unless the relay is configured not to.";

/** @param {string} path Of the session. @param {AbortSignal} signal Aborted when another page is shown. */
export function listening(path, signal) {
  const words = el("p", { class: "soft", role: "status" }, IDLE);
  /** @type {AbortController | undefined} */
  let running;
  signal.addEventListener("abort", () => running?.abort(), { once: true });
  const begin = async () => {
    const now = (running = new AbortController());
    // Made by the press of the button, so the browser lets it sound.
    const context = new AudioContext({ sampleRate: RATE });
    // What is said here stays when the call ends.
    section.setAttribute("data-used", "");
    press.textContent = "Stop listening";
    words.textContent = "The relay is asked.";
    try {
      await follow(path, context, now.signal, () => {
        words.textContent = "You listen in: the user on the left, the agent on the right, about two seconds later.";
      });
    } catch (error) {
      words.textContent = now.signal.aborted ? IDLE : ended(error);
    }
    running = undefined;
    press.textContent = "Listen in";
    await context.close();
  };
  const press = el("button", { class: "quiet", type: "button", click: () => (running ? running.abort() : void begin()) }, "Listen in");
  const section = el("section", { class: "card" }, el("h2", {}, "Listen in"), press, words);
  return section;
}

/** @param {unknown} error */
function ended(error) {
  return error instanceof Refused && error.needsReader ? "This relay does not let this token listen in." : said(error);
}

/**
 * Plays what is said until the call has ended, which is thrown as whatever else ends it.
 * @param {string} path @param {AudioContext} context @param {AbortSignal} signal @param {() => void} heard
 */
async function follow(path, context, signal, heard) {
  let left = 0;
  for (;;) {
    try {
      const answer = await ask(`${path}/listen`, { signal });
      left = TRIES;
      heard();
      await play(/** @type {ReadableStream<Uint8Array>} */ (answer.body), context);
    } catch (error) {
      const isPassing = !(error instanceof Refused) || [0, 409, 503].includes(error.status);
      if (signal.aborted || left === 0 || !isPassing) throw error;
      left -= 1;
    }
    await new Promise((resolve) => {
      setTimeout(resolve, AGAIN_MS);
      signal.addEventListener("abort", resolve, { once: true });
    });
    const session = await read(path, {}, signal).catch(() => undefined);
    if (session && session.state !== "live") throw new Error("The call has ended.");
  }
}

/** Plays a stream to its end. @param {ReadableStream<Uint8Array>} stream @param {AudioContext} context */
async function play(stream, context) {
  const reader = stream.getReader();
  let [head, at] = [HEAD_BYTES, 0];
  let rest = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const bytes = new Uint8Array(rest.length + value.length);
    bytes.set(rest);
    bytes.set(value, rest.length);
    const from = Math.min(head, bytes.length);
    head -= from;
    const frames = Math.floor((bytes.length - from) / FRAME_BYTES);
    rest = bytes.slice(from + frames * FRAME_BYTES);
    if (frames === 0 || at > context.currentTime + AHEAD_MAX) continue;
    const source = new AudioBufferSourceNode(context, { buffer: sound(new DataView(bytes.buffer, from), frames) });
    source.connect(context.destination);
    if (at < context.currentTime) at = context.currentTime + AHEAD;
    source.start(at);
    at += frames / RATE;
  }
}

/** @param {DataView} view @param {number} frames */
function sound(view, frames) {
  const buffer = new AudioBuffer({ length: frames, numberOfChannels: CHANNELS, sampleRate: RATE });
  for (let channel = 0; channel < CHANNELS; channel += 1) {
    const samples = buffer.getChannelData(channel);
    for (let frame = 0; frame < frames; frame += 1) samples[frame] = view.getInt16(frame * FRAME_BYTES + channel * 2, true) / 0x8000;
  }
  return buffer;
}
