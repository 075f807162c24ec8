import type { VoxrelayError } from "./error.js";
import type { AgentEvent, CallState, EndedEvent, LevelEvent, MicrophoneEvent, SessionEvent, SpeakerEvent, StateEvent, TranscriptEvent, Transport, Usage } from "./events.js";
import type { Quality } from "./quality.js";
import { Source } from "./source.js";

/** So many captions are kept; of more, the oldest fall away. */
const CAPTIONS = 500;

/** What was said in a turn, as it was last understood. */
export interface Caption {
  /** The session that counts the turn: a call whose session could not be resumed has more than one. */
  readonly sessionId: string;
  /** Counts the turns of the session in the order in which they began, with gaps. */
  readonly turn: number;
  /** Who said it. */
  readonly role: "user" | "agent";
  /** Plain text: show it as `textContent`, never as HTML. Of a turn that was taken back whole there is no caption. */
  readonly text: string;
  /** Whether the turn is over. */
  readonly last: boolean;
}

/** What a call hears with, and what it is heard on. */
export interface Devices {
  /** The microphone that was opened last; `undefined` before the first one, when it was taken away by `setMicrophone(false)`, and once the call is over. */
  readonly microphone: MicrophoneEvent | undefined;
  /** The loudspeaker, once one was chosen; `undefined` while that is left to the system. */
  readonly speaker: SpeakerEvent | undefined;
  /** Whether the microphone is muted. */
  readonly muted: boolean;
  /** How loud the agent is heard, from 0 to 1. */
  readonly volume: number;
}

/** Who looks at the levels without listening to them has all of them for as many more. */
const LOOKED_AT = 20;

/** How loud it is. It changes 20 times a second while somebody listens or looks, 4 times otherwise, and no snapshot with it. */
export interface Levels {
  /** Calls `listener` after each change; gives the function that stops it. */
  readonly subscribe: Source["subscribe"];
  /** The microphone, in dBFS (0 is full scale; -100 stands for silence). */
  readonly input: number;
  /** The agent, as it is heard, in dBFS. */
  readonly output: number;
}

/** The same for who sets it. */
export class LevelSource extends Source implements Levels {
  input = -100;
  output = -100;
  #looked = 0;
  #isMuted = false;
  #isOver = false;

  /** The user is not heard, or is heard again; on hold, and at the end of a call, nobody is. What was measured before that may still come. */
  mute(isMuted: boolean, isOver = false): void {
    this.#isMuted = isMuted;
    this.#isOver = isOver;
    if (isMuted) this.input = -100;
    if (isOver) this.output = -100;
    this.changed();
  }

  /** Takes what the engine measured, in millionths of full scale; gives all of it, in dBFS. */
  measured({ inputRms, inputPeak, outputRms, outputPeak }: LevelEvent): LevelEvent {
    const isMuted = this.#isMuted;
    const isOver = this.#isOver;
    this.input = decibels(inputRms, isMuted);
    this.output = decibels(outputRms, isOver);
    this.changed();
    return { inputRms: this.input, inputPeak: decibels(inputPeak, isMuted), outputRms: this.output, outputPeak: decibels(outputPeak, isOver) };
  }

  /** Somebody looks. */
  look(): void {
    this.#looked = LOOKED_AT;
  }

  /** Whether the next change is of interest to anybody. */
  isWatched(): boolean {
    return this.#looked-- > 0 || this.isHeard;
  }
}

function decibels(level: number, isSilent: boolean): number {
  return level > 10 && !isSilent ? 20 * Math.log10(level / 1e6) : -100;
}

/**
 * All that there is to show of a call, at one moment. The object and what is in it are frozen; it is the same object until something of it
 * changes, and so is each part of it.
 */
export interface CallSnapshot extends StateEvent {
  /** Where the call stands. */
  readonly state: CallState;
  /** What the call goes over, or is tried over. */
  readonly transport: Transport;
  /** Where the engine runs; `undefined` until it does. */
  readonly engine: "worker" | "page" | undefined;
  /** The session; `undefined` until the relay has answered. */
  readonly session: SessionEvent | undefined;
  /** What the agent does; `undefined` until it says so, and once the call is over. */
  readonly agent: AgentEvent["state"] | undefined;
  /** What was said, in the order in which it began: the newest 500 turns. */
  readonly captions: readonly Caption[];
  /** What the session has used, as the relay last told. */
  readonly usage: Usage;
  /** Whether the call is on hold. */
  readonly onHold: boolean;
  /** Microphone and loudspeaker. */
  readonly devices: Devices;
  /** How well the line does: another object every 2 s while there is sound and for 12 s more, and whenever a warning is raised or clears. */
  readonly quality: Quality;
  /** Always the same: has listeners of its own. */
  readonly levels: Levels;
  /**
   * What went wrong last. Trouble with the microphone is over when one is live, with the sound when there is some again, and everything else
   * when the call is connected (again). Of a call that failed it is the reason.
   */
  readonly error: VoxrelayError | undefined;
  /** Why the call is over; `undefined` before, and for a call that was given up before it began to connect. */
  readonly ended: EndedEvent | undefined;
}

/** What it is after a change: the same object if it says nothing else, and frozen otherwise. */
export function merged<T extends object>(before: T, changed: Partial<T>): T {
  const isSame = Object.entries(changed).every(([name, value]) => before[name as keyof T] === value);
  return isSame ? before : Object.freeze({ ...before, ...changed });
}

/** A call that was not begun. */
export function untouched(levels: Levels): CallSnapshot {
  return Object.freeze({
    state: "idle",
    attempt: 0,
    retryInMs: 0,
    transport: "websocket",
    engine: undefined,
    session: undefined,
    agent: undefined,
    captions: Object.freeze([]),
    usage: Object.freeze({ audioMs: 0, tokens: 0, characters: 0, cost: 0, costNanoUsd: 0, leftNanoUsd: 0 }),
    onHold: false,
    devices: Object.freeze({ microphone: undefined, speaker: undefined, muted: false, volume: 1 }),
    quality: UNMEASURED,
    levels,
    error: undefined,
    ended: undefined,
  });
}

/**
 * The captions after a transcript, which takes the place of an earlier one of its turn. A new one stands where its turn began, which may be before
 * turns whose words came sooner; one that is empty when its turn is over goes.
 */
export function caption(
  captions: readonly Caption[],
  sessionId: string,
  { turn, role, text, last }: TranscriptEvent,
): readonly Caption[] {
  const said = captions.filter((other) => other.turn !== turn || other.sessionId !== sessionId);
  if (text || !last) said.push(Object.freeze({ sessionId, turn, role, text, last }));
  // What was said in an earlier session stands before all of a later one.
  return Object.freeze(said.sort((a, b) => (a.sessionId === b.sessionId ? a.turn - b.turn : 0)).slice(-CAPTIONS));
}

/** The captions when a relay that knows nothing of unfinished turns goes on: what was said in them is heard and answered anew. */
export function finished(captions: readonly Caption[]): readonly Caption[] {
  return Object.freeze(captions.filter(({ last }) => last));
}

/** What is known of a call that was not begun. */
export const UNMEASURED = Object.freeze({
  underruns: 0,
  droppedMs: 0,
  waitingMs: 0,
  clippedMs: 0,
  reconnects: 0,
  warnings: Object.freeze([]),
}) as Partial<Quality> as Quality;
