import { VoxrelayError, failure } from "./error.js";
import type { SpeakerEvent } from "./events.js";
import { inOrder } from "./in-order.js";

/** Chromium's contexts can play elsewhere than on the system's loudspeaker; the empty id is that one. */
type Context = AudioContext & { readonly sinkId?: unknown; setSinkId?(deviceId: string): Promise<void> };

/** Chromium's name for whichever microphone or loudspeaker the system prefers; other browsers have none. */
export const DEFAULT_ID = "default";

/** A context of this page's calls has played on a loudspeaker that was chosen. */
let wasChosen: boolean | undefined;

/** The loudspeaker on which a call is heard: the system's one unless another one was chosen. */
export class Speaker {
  readonly #tell: (event: SpeakerEvent) => void;
  #chosen: string;
  /** What was said last: whether the system's stands in. */
  #told: boolean | undefined;
  #context: Context | undefined;
  /** Changes are made one after the other, so that the last one counts. */
  readonly #next = inOrder();

  constructor(chosen: string, tell: (event: SpeakerEvent) => void) {
    this.#chosen = chosen;
    this.#tell = tell;
  }

  /** Changes to another one; if it cannot be had, the one before stays. */
  choose(deviceId: string): Promise<void> {
    return this.#next(async () => {
      await this.#playOn(deviceId);
      this.#chosen = deviceId;
      this.#say(false);
      await this.#nameSystems();
    });
  }

  /** Plays by this context from here on. */
  use(context: AudioContext): void {
    this.#context = context;
    this.#told = undefined;
    void this.#next(() => this.#take(true));
  }

  /** Only these are there: takes the chosen one if it is back, and the system's if it is gone. */
  look(there: readonly string[]): void {
    // A page that may not know the devices is told that there are some, without their ids.
    if (there.includes("")) return;
    void this.#next(async () => {
      const isThere = there.includes(this.#chosen);
      if (this.#told === isThere) await this.#take(isThere);
    });
  }

  async #take(isThere: boolean): Promise<void> {
    if (this.#chosen) {
      try {
        await this.#playOn(isThere ? this.#chosen : "");
        this.#say(!isThere);
      } catch {
        this.#say(true);
      }
    }
    await this.#nameSystems();
  }

  /**
   * Names the system's loudspeaker, once another one was played on: Chromium's echo canceller goes on listening to that one, for later contexts
   * of the page as well, until a context names one. A browser that does not know the name plays on as it did.
   */
  async #nameSystems(): Promise<void> {
    if (this.#context?.sinkId) wasChosen = true;
    else if (wasChosen) await this.#playOn(DEFAULT_ID).catch(() => undefined);
  }

  async #playOn(deviceId: string): Promise<void> {
    const context = this.#context;
    if (context && !context.setSinkId) {
      throw new VoxrelayError("not_supported", "This browser plays on the system's loudspeaker only.", false);
    }
    await context?.setSinkId?.(deviceId).catch((thrown: unknown) => {
      throw failure("audio_unavailable", "This loudspeaker cannot be used.", thrown);
    });
  }

  #say(fallback: boolean): void {
    const chosen = this.#chosen;
    if (this.#told === fallback && fallback) return;
    this.#told = fallback;
    this.#tell(Object.freeze({ deviceId: (!fallback && chosen) || undefined, fallback }));
  }
}
