// Decides what is to be done about a context whose clock stands still.

/** A context that stood still for so many looks is told to the application. */
const TELL_AFTER = 2;
/**
 * A context that says it runs and stood still for so many looks is made anew, and again after as many. One that is held back is resumed again
 * after as many.
 */
const AGAIN_AFTER = 5;

/**
 * What a context says about itself. `suspended`: the browser waits for a gesture, or for `resume()`. `interrupted`, which only some browsers
 * say: the system has given the sound to something else, such as a phone call. Asked to resume meanwhile, some browsers refuse, or say that it
 * runs while its clock stands still.
 */
export type Sound = "running" | "suspended" | "interrupted";

/** What is to be done after a look. */
export interface Remedy {
  readonly tell: boolean;
  /** What was told is over: the clock moves. */
  readonly isHeard: boolean;
  /** An interruption is over. */
  readonly isBack: boolean;
  readonly resume: boolean;
  readonly rebuild: boolean;
}

/** What the last looks at a context's clock showed. */
export class Watch {
  #time = 0;
  #stuck = 0;
  #told = false;
  /** What the context said at the last look. */
  sound: Sound = "running";

  /** Looks at a context's clock and at what it says. iOS may call a context `running` whose clock stands still, so the clock is what counts. */
  look(time: number, sound: Sound): Remedy {
    const before = this.sound;
    const moved = time - this.#time;
    this.sound = sound;
    this.#time = time;
    // A context that was made anew begins at zero, which is no news.
    const isHeard = this.#told && moved > 0;
    this.#told &&= !isHeard;
    this.#stuck = moved ? 0 : sound === before ? this.#stuck + 1 : 1;
    const tell = this.#stuck >= TELL_AFTER && !this.#told;
    this.#told ||= tell;
    const isBack = before === "interrupted" && sound !== before;
    return {
      tell,
      isHeard,
      isBack,
      resume: isBack || (sound === "suspended" && this.#stuck % AGAIN_AFTER === 1),
      // One that waits for a gesture, or for the end of an interruption, would only be replaced by another that waits.
      rebuild: sound === "running" && this.#stuck > 0 && this.#stuck % AGAIN_AFTER === 0,
    };
  }
}

/** What a context says. One that is closed is the application's own, which knows that it closed it. */
export function soundOf({ state }: BaseAudioContext): Sound {
  return state === "suspended" ? state : state === "running" || state === "closed" ? "running" : "interrupted";
}
