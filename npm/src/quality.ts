// How well the line does, and what is to be warned of: decided from samples alone.

import { UNMEASURED } from "./snapshot.js";

/** What is warned of; the first two as Twilio's SDK names them. */
export type WarningName = "high-rtt" | "high-jitter" | "late-sound" | "underruns" | "uplink-backlog" | "clipping";

/** A warning that is raised, or that clears. */
export interface QualityWarning {
  /** Which one. */
  readonly name: WarningName;
  /** Raised, or cleared. */
  readonly raised: boolean;
  /** The sample that decided it. */
  readonly value: number;
  /** What it must not exceed. */
  readonly threshold: number;
}

/** How well the line does. */
export interface Quality {
  /** The network's round-trip time, in milliseconds; `undefined` until it was measured. */
  readonly roundTripMs: number | undefined;
  /** How unevenly the agent's sound comes: the mean difference from piece to piece, smoothed as RFC 3550 does it; `undefined` until there was some. */
  readonly jitterMs: number | undefined;
  /** How late the latest piece of the agent's sound came, of those since the event before, beside the fastest of its answer since the agent last paused. */
  readonly lateMs: number | undefined;
  /** How often the agent's sound ran out within an answer because more of it came late, in the whole call. */
  readonly underruns: number;
  /** How much of the agent's sound was dropped because more was sent ahead than is kept, in the whole call. */
  readonly droppedMs: number;
  /** How much of what the user said the relay is not known to have. */
  readonly waitingMs: number;
  /** How much of the user's sound since the event before was cut off, being too loud for the microphone. */
  readonly clippedMs: number;
  /** How often a lost connection came back. */
  readonly reconnects: number;
  /** The warnings that are raised. */
  readonly warnings: readonly WarningName[];
}

/** How well the line does now. */
export interface QualityEvent extends Quality {
  /** The warnings that were raised or cleared just now. */
  readonly changed: readonly QualityWarning[];
}

/** What is measured at a time; `null`, and what is left out, is not measured now. */
export type Measured = { readonly [Name in keyof Omit<Quality, "warnings">]?: number | null };

/** So many samples are looked at. A warning clears when none of them is above three quarters of its threshold. */
const SAMPLES = 5;
const CLEAR = 0.75;

/** What must not be exceeded, and by how many of the last samples it may be until there is a warning. */
const LIMITS: Readonly<Record<WarningName, readonly [of: keyof Measured, threshold: number, enough: number]>> = {
  // Twilio's: over 400 ms in three of five samples.
  "high-rtt": ["roundTripMs", 400, 3],
  // What the playing of an answer waits for at its beginning, as long as none runs out.
  "high-jitter": ["jitterMs", 100, 3],
  // Half of what a relay sends ahead of the playing.
  "late-sound": ["lateMs", 1_000, 3],
  underruns: ["underruns", 0, 2],
  // What a line may let wait that keeps up.
  "uplink-backlog": ["waitingMs", 2_000, 3],
  // A hundredth of what comes between two events.
  clipping: ["clippedMs", 20, 3],
};

/** Decides what is to be warned of. */
export class QualityMeter {
  #quality = UNMEASURED;
  readonly #samples: { [Name in WarningName]?: number[] } = {};

  /** Takes what was measured; gives what there is to say. */
  measure(measured: Measured): QualityEvent {
    const before = this.#quality;
    const warnings = new Set(before.warnings);
    const changed: QualityWarning[] = [];
    for (const [key, [of, threshold, enough]] of Object.entries(LIMITS)) {
      const name = key as WarningName;
      let value = measured[of];
      if (value == null) continue;
      // How often it happened since, as it is counted in the whole call.
      if (of === "underruns") value = Math.max(value - before[of], 0);
      const samples = (this.#samples[name] = [...(this.#samples[name] ?? []), value].slice(-SAMPLES));
      const above = (limit: number): number => samples.filter((sample) => sample > limit).length;
      const raised = !warnings.has(name);
      if (raised ? above(threshold) < enough : above(threshold * CLEAR)) continue;
      if (raised) warnings.add(name);
      else warnings.delete(name);
      changed.push(Object.freeze({ name, raised, value, threshold }));
    }
    const known = Object.fromEntries(Object.entries(measured).filter(([, value]) => value != null));
    this.#quality = Object.freeze({ ...before, ...known, warnings: changed[0] ? Object.freeze([...warnings]) : before.warnings });
    return Object.freeze({ ...this.#quality, changed: Object.freeze(changed) });
  }

  /** How well the line does, as far as it was measured. */
  get quality(): Quality {
    return this.#quality;
  }
}
