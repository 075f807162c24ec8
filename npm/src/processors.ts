// Runs in AudioWorkletGlobalScope, where there is neither TextDecoder nor fetch, and on the audio thread, where nothing may take
// long. So it only carries samples: every decision about them is the engine's.

import type { PlaybackTells, PlaybackTold, TapTells, TapTold } from "./wasm/voxrelay_wasm.js";

/** What TypeScript's DOM library does not say about AudioWorkletGlobalScope. */
interface WorkletScope {
  readonly sampleRate: number;
  readonly AudioWorkletProcessor: new () => { readonly port: MessagePort };
  registerProcessor(name: string, processor: new () => object): void;
}

/** A port that takes such messages. */
interface PortFor<Message> extends MessagePort {
  postMessage(message: Message): void;
}

/**
 * Registers both processors. Refers to nothing outside itself, since a page that cannot load the file hands its source over as a
 * blob.
 */
export function registerProcessors(): void {
  const { sampleRate, AudioWorkletProcessor, registerProcessor } = globalThis as unknown as WorkletScope;

  /** How often it is told what was rendered, and how long a fade is: 25 and 3 ms. */
  const every = sampleRate / 40;
  const loudest = Math.ceil(sampleRate * 0.003);

  /** A processor that gets the engine's port through its own, and ends when it gets `null`: it says so when it is run for the last time. */
  class Connected<Told, Tells> extends AudioWorkletProcessor {
    engine: PortFor<Tells> | undefined;
    alive = true;

    constructor() {
      super();
      this.port.onmessage = ({ data }: MessageEvent<MessagePort | null>) => {
        this.alive = data !== null;
        if (!data) return this.engine?.close();
        this.engine = data;
        data.onmessage = (event) => this.told(event.data);
      };
    }

    declare told: (message: Told) => void;
    /** Takes samples of the microphone, and gives some of the loudspeaker's. */
    declare run: (input?: Float32Array, output?: Float32Array) => void;

    /** Says whether to be run again. */
    process([input]: Float32Array[][], [output]: Float32Array[][]): boolean {
      this.run(input?.[0], output?.[0]);
      if (!this.alive) this.port.postMessage(null);
      return this.alive;
    }
  }

  /** Posts the microphone, mono, in blocks of about 20 ms. Told `true`: be still. Told a number: go on, in blocks of as many samples at most if it is not 0. */
  class Tap extends Connected<TapTold, TapTells> {
    constructor() {
      super();
      const block = new Float32Array(Math.floor(sampleRate / 6_400) * 128 || 128);
      const silence = new Float32Array(128);
      let { length } = block;
      let filled = 0;
      let muted = false;

      /** Posts a copy, so that the audio thread makes no garbage. */
      const send = (): void => {
        if (filled) this.engine?.postMessage(filled === block.length ? block : block.slice(0, filled));
        filled = 0;
      };

      this.told = (message) => {
        muted = message === true;
        if (muted) filled = 0;
        else length = (message as number) || block.length;
      };

      // An input without a channel is silent: its time counts, and a microphone that gives nothing is noticed.
      this.run = (samples = silence) => {
        if (!muted) {
          if (filled + samples.length > length) send();
          block.set(samples, filled);
          filled += samples.length;
          if (filled >= length) send();
        }
      };
    }
  }

  /**
   * Plays what it is given, in order. Told a Float32Array: play it after the rest. Told a boolean: fade out and wait, or fade in where it
   * stopped, each sample once. Told a number: the same as `true`, for so many samples at most. Told `null`: fade out, drop the rest, and wait no
   * more. A fade takes 3 ms. Says how many samples it has
   * rendered since it last said so, and `null` when it has dropped.
   */
  class Playback extends Connected<PlaybackTold, PlaybackTells> {
    /** A ring: what is played next lies at `read`. The variables are the constructor's own, since those have short names in what is downloaded. */
    constructor() {
      super();
      const ring = new Float32Array(sampleRate);
      let read = 0;
      let held = 0;
      let rendered = 0;
      // How loud it is, in steps of a fade; told to wait; samples left of what is dropped.
      let gain = loudest;
      let waits: boolean | number | null = false;
      let fading = 0;

      const report = (): void => {
        if (rendered) this.engine?.postMessage(rendered);
        rendered = 0;
      };

      this.told = (samples) => {
        if (samples instanceof Float32Array) {
          for (const sample of samples) {
            if (held < ring.length) ring[(read + held++) % ring.length] = sample;
          }
          return;
        }
        waits = samples;
        if (samples === null) {
          report();
          this.engine?.postMessage(null);
          fading = held = Math.min(held, gain);
        }
      };

      this.run = (_, out) => {
        // Of `true` nothing is taken away.
        if ((waits as number) > 1) waits = Math.max(0, (waits as number) - 128);
        if (waits && !held) gain = 0;
        for (let index = 0; out && index < out.length && held && this.alive; index++) {
          if (waits && !gain) break;
          gain = waits || fading ? gain - 1 : Math.min(gain + 1, loudest);
          out[index] = ((ring[read++] ?? 0) * gain) / loudest;
          read %= ring.length;
          held--;
          if (fading) fading--;
          else rendered++;
        }
        // Every 25 ms, at the end of what there is, and where it waits: the engine waits for the last sample.
        if (rendered >= every || !(held && gain)) report();
      };
    }
  }

  registerProcessor("voxrelay-tap", Tap);
  registerProcessor("voxrelay-playback", Playback);
}
