import { ERROR_CODES, type ErrorCode } from "./codes.js";
import type { Failure } from "./wasm/voxrelay_wasm.js";

/** What may be known of an error beyond its words. */
export interface ErrorDetails {
  /** The limit that was exceeded: sessions, bytes, or nano-dollars. */
  readonly limit?: number | undefined;
  /** When to come back, in milliseconds, as the relay says. */
  readonly retryAfterMs?: number | undefined;
  /** What the browser or the application threw. */
  readonly cause?: unknown;
}

/** Something went wrong. The table of codes is in `docs/errors.md`. */
export class VoxrelayError extends Error {
  /** Always this word, as errors have it. */
  override readonly name = "VoxrelayError";
  /** A word that programs can compare. A newer relay may send words that {@link ErrorCode} does not have. */
  declare readonly code: ErrorCode;
  /** Whether the same may work later without a change. */
  declare readonly retryable: boolean;
  /** The limit that was exceeded, if it was one: sessions, bytes, or nano-dollars. */
  declare readonly limit: number | undefined;
  /** When to come back, in milliseconds, if the relay says so. */
  declare readonly retryAfterMs: number | undefined;

  /**
   * @param code a word that programs can compare; a newer relay may send words that {@link ErrorCode} does not have
   * @param message what happened and what to do about it, for a developer
   * @param retryable whether the same may work later without a change
   * @param details what is known beyond that; its `cause` is the error's `cause`
   */
  constructor(code: ErrorCode, message: string, retryable: boolean, details: ErrorDetails = {}) {
    super(message, details);
    const { limit, retryAfterMs } = details;
    // The engine says `null` where there is nothing to say.
    Object.assign(this, { code, retryable, limit: limit ?? undefined, retryAfterMs: retryAfterMs ?? undefined });
  }
}

/** What the engine says went wrong. */
export function errorFrom({ code, message, retryable, ...details }: Failure): VoxrelayError {
  return new VoxrelayError(code as ErrorCode, message, retryable, details as ErrorDetails);
}

export function callOver(): VoxrelayError {
  return new VoxrelayError("call_over", "The call is over or hung up.", false);
}

export function noCall(): TypeError {
  return new TypeError("there is no call yet");
}

/**
 * An error of the page's own, with what the browser says. Its words are named one by one, so that of all of them only these are downloaded.
 *
 * The same may work later for these codes, and by the kind of the cause, with which its text begins, for what did not come: words further on may be
 * parts of an address.
 */
export function failure(code: ErrorCode, message: string, cause: unknown): VoxrelayError {
  return new VoxrelayError(code, `${message} Cause: ${String(cause)}`, /^\w+_(busy|dismissed|unavailable (Timeout|Abort))|^engine_unavailable T/.test(`${code} ${String(cause)}`), { cause });
}

/** The engine had to start on the page. */
export function workerUnavailable(cause: string): VoxrelayError {
  return new VoxrelayError(
    "worker_unavailable",
    `No Worker started (${cause}), so a busy page delays the call. Check that its file loads and that the content security policy allows it.`,
    false,
  );
}

/** The files of the engine did not load or run. */
export function engineUnavailable(cause: unknown): VoxrelayError {
  return failure("engine_unavailable", ERROR_CODES.engine_unavailable.message, cause);
}
