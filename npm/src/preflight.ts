/**
 * Whether a call would work, before it is made.
 *
 * @packageDocumentation
 */

import { unlessAborted } from "./abort.js";
import { checkFlags, checkOptional, checkOptions } from "./check.js";
import type { ConnectOptions } from "./options.js";
import { gradeRelay } from "./preflight/connection.js";
import type { PreflightCheck, PreflightGrade } from "./preflight/grade.js";
import { gradeMicrophone } from "./preflight/microphone.js";

export type { PreflightCheck, PreflightGrade };

/** What of a call's options matters before it; more may be given, and does nothing. */
export type PreflightCall = Pick<ConnectOptions, "url" | "token" | "microphone" | "conversation" | "agent" | "transport">;

/** How to look. */
export interface PreflightOptions {
  /**
   * Whether to ask the user for the microphone if they have not been asked yet. Default `false`: what is not granted is not opened, so that a
   * page may look while it loads, when nobody would know what the question is about.
   */
  readonly askForMicrophone?: boolean;
  /** Gives it up. */
  readonly signal?: AbortSignal;
}

/** What was looked at. */
export interface PreflightChecks {
  /** Whether the page may open a microphone. */
  readonly permission: PreflightCheck;
  /** Whether one can be opened, and something comes from it. `value`: its peak, in dBFS. */
  readonly microphone: PreflightCheck;
  /** Whether there is a relay at `url` that pages of this origin may use. */
  readonly address: PreflightCheck;
  /** Whether the relay accepts the token. */
  readonly token: PreflightCheck;
  /**
   * Whether a WebSocket opens, and the relay would take the call over it now. `value`: milliseconds until the relay said so. `fair` where no
   * WebSocket carries a call, but plain requests reach the relay, so that the call goes over HTTP. With `transport: "http"` they have to.
   */
  readonly connection: PreflightCheck;
  /** Whether the connection carries a call's audio. `value`: bytes a second upwards, while half as much again came down; a call needs 32,000. */
  readonly throughput: PreflightCheck;
  /** How far away the relay is. `value`: milliseconds there and back, the median of five. */
  readonly roundTrip: PreflightCheck;
}

/** What came of it. */
export interface PreflightReport {
  /** The worst grade among those that are not `skipped`. */
  readonly grade: Exclude<PreflightGrade, "skipped">;
  /** What was found of each. */
  readonly checks: PreflightChecks;
}

/** From good to bad. */
const GRADES = ["skipped", "good", "fair", "poor", "failed"] as const;

/**
 * Looks whether a call with these options would work: permission, microphone, address, token, connection, throughput, round trip, each with
 * what to do about it. It begins no call: it takes no place, writes nothing and costs nothing. When it is over nothing of it lives on, neither
 * a socket nor a microphone. It takes a few seconds. Given up by its signal it rejects at once, and a moment later nothing of it lives on.
 *
 * What is wrong is in the report. It rejects only with a `TypeError` or `RangeError` for what cannot be meant, and the signal's reason.
 */
export async function preflight(call: PreflightCall, options: PreflightOptions = {}): Promise<PreflightReport> {
  checkOptions(call);
  checkFlags(options, "askForMicrophone");
  checkOptional(options as object);
  // Whatever ends first, the other one ends with it.
  const stop = new AbortController();
  const { askForMicrophone, signal = stop.signal } = options;
  signal.throwIfAborted();
  const abort = (): void => stop.abort(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    const looks = Promise.all([
      gradeMicrophone(call.microphone, askForMicrophone, stop.signal),
      gradeRelay(call, stop.signal),
    ]);
    const [[permission, microphone], relay] = await unlessAborted(stop.signal, looks);
    const checks: PreflightChecks = Object.freeze({ permission, microphone, ...relay });
    const worst = Math.max(1, ...Object.values(checks).map(({ grade }: PreflightCheck) => GRADES.indexOf(grade)));
    return Object.freeze({ grade: GRADES[worst] as PreflightReport["grade"], checks });
  } finally {
    signal.removeEventListener("abort", abort);
    stop.abort();
  }
}
