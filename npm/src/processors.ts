// Runs in AudioWorkletGlobalScope, where there is neither TextDecoder nor fetch, and on the audio thread, where nothing may take
// long. So it only carries samples: every decision about them is the engine's.

/** What TypeScript's DOM library does not say about AudioWorkletGlobalScope. */
interface WorkletScope {
  readonly sampleRate: number;
  readonly AudioWorkletProcessor: new () => { readonly port: MessagePort };
  registerProcessor(name: string, processor: new () => object): void;
}

/**
 * Registers both processors. Refers to nothing outside itself, since a page that cannot load the file hands its source over as a
 * blob.
 */
export function registerProcessors(): void {
  const { sampleRate, AudioWorkletProcessor, registerProcessor } = globalThis as unknown as WorkletScope;

  /** A processor that gets the engine's port through its own, and ends when it gets `null`: it says so when it is run for the last time. */
  abstract class Connected extends AudioWorkletProcessor {
    engine: MessagePort | undefined;
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

    abstract told(message: unknown): void;

    /** Whether to be run again. */
    goesOn(): boolean {
      if (!this.alive) this.port.postMessage(null);
      return this.alive;
    }
  }

  /** Posts the microphone, mono, in blocks of about 20 ms. Told a boolean: be still or not. */
  class Tap extends Connected {
    readonly block = new Float32Array(Math.max(1, Math.floor(sampleRate / 50 / 128)) * 128);
    filled = 0;
    muted = false;

    told(muted: boolean): void {
      this.muted = muted;
      this.filled = 0;
    }

    process([input]: Float32Array[][]): boolean {
      const samples = input?.[0];
      if (samples && !this.muted) {
        if (this.filled + samples.length > this.block.length) this.send();
        this.block.set(samples, this.filled);
        this.filled += samples.length;
        if (this.filled === this.block.length) this.send();
      }
      return this.goesOn();
    }

    /** Posts a copy, so that the audio thread makes no garbage. */
    send(): void {
      const whole = this.filled === this.block.length;
      if (this.filled > 0) this.engine?.postMessage(whole ? this.block : this.block.slice(0, this.filled));
      this.filled = 0;
    }
  }

  /**
   * Plays what it is given, in order. Told a Float32Array: play it after the rest. Told `null`: fade out within 3 ms and drop the
   * rest. Told a boolean: fade out within 10 ms and wait, or fade in where it stopped, each sample once. Says how many samples it has
   * rendered since it last said so, and `null` when it has dropped.
   */
  class Playback extends Connected {
    /** A ring: what is played next lies at `read`. */
    readonly ring = new Float32Array(Math.ceil(sampleRate / 2));
    readonly every = sampleRate / 40;
    read = 0;
    held = 0;
    rendered = 0;
    /** Samples left of a fade, and its length. */
    fading = 0;
    readonly fade = Math.ceil(sampleRate * 0.003);
    /** Told to wait, and how loud it is by now. */
    waits = false;
    gain = 1;
    readonly step = 100 / sampleRate;

    told(samples: Float32Array | boolean | null): void {
      if (typeof samples === "boolean") {
        this.waits = samples;
      } else if (samples) {
        for (const sample of samples) {
          if (this.held === this.ring.length) break;
          this.ring[(this.read + this.held++) % this.ring.length] = sample;
        }
      } else {
        this.report();
        this.engine?.postMessage(null);
        // What is silent already is dropped whole.
        this.fading = this.held = this.gain ? Math.min(this.held, this.fading || this.fade) : 0;
        this.waits = false;
      }
    }

    process(_: Float32Array[][], [output]: Float32Array[][]): boolean {
      const out = output?.[0];
      const count = this.alive ? Math.min(this.held, out?.length ?? 0) : 0;
      if (this.waits && !count) this.gain = 0;
      for (let index = 0; out && index < count; index++) {
        this.gain = this.waits ? Math.max(0, this.gain - this.step) : Math.min(1, this.gain + this.step);
        if (!this.gain) break;
        const sample = (this.ring[this.read] ?? 0) * this.gain;
        if (this.fading) {
          out[index] = (sample * this.fading--) / this.fade;
        } else {
          out[index] = sample;
          this.rendered++;
        }
        this.read = (this.read + 1) % this.ring.length;
        this.held--;
      }
      // At the end of what there is, and where it waits, too: the engine waits for the last sample.
      if (this.rendered >= this.every || (this.rendered && !(this.held && this.gain))) this.report();
      return this.goesOn();
    }

    report(): void {
      if (this.rendered) this.engine?.postMessage(this.rendered);
      this.rendered = 0;
    }
  }

  registerProcessor("voxrelay-tap", Tap);
  registerProcessor("voxrelay-playback", Playback);
}
