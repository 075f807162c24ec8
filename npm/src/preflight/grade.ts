// What is said of each thing that was looked at.

import type { ErrorCode } from "../codes.js";

/** How good something is. `skipped`: it was not looked at, and its message says why. */
export type PreflightGrade = "good" | "fair" | "poor" | "failed" | "skipped";

/** What is to be said of one thing. */
export interface PreflightCheck {
  /** How good it is. */
  readonly grade: PreflightGrade;
  /** What a call would be refused with, or would tell of; a newer relay may send words that `ErrorCode` does not have. */
  readonly code?: ErrorCode;
  /** What is so, in a sentence. */
  readonly message: string;
  /** What to do about it. */
  readonly cure?: string;
  /** What was measured. */
  readonly value?: number;
  /** When to come back, in milliseconds, if the relay says so. */
  readonly retryAfterMs?: number;
}

export function good(message: string, value?: number): PreflightCheck {
  return made({ grade: "good", message, ...(value !== undefined && { value }) });
}

export function skipped(message: string, cure?: string): PreflightCheck {
  return made({ grade: "skipped", message, ...(cure && { cure }) });
}

/** A measure as good as it is, with what to do if it is not. */
export function measured(grade: PreflightGrade, message: string, value: number, cure: string): PreflightCheck {
  return made({ grade, message, ...(grade !== "good" && { cure }), value });
}

/**
 * Trouble with a code. Words of its table without a cure beside them have one in themselves: the first sentence says what is so, the rest what to
 * do.
 */
export function trouble(
  code: string,
  words: string,
  { grade = "failed", retryAfterMs, cure }: { grade?: PreflightGrade; retryAfterMs?: number | undefined; cure?: string } = {},
): PreflightCheck {
  const [, said, rest] = (!cure && /^(.*?)(?:\. |; )(.*)$/s.exec(words)) || [];
  const waits = retryAfterMs !== undefined;
  const remedy = cure ?? rest?.replace("`retry_after_ms`", waits ? `${retryAfterMs} ms` : "a while") ?? (waits && `Come back in ${retryAfterMs} ms.`);
  return made({
    grade,
    code: code as ErrorCode,
    message: said ? `${said}.` : words,
    ...(remedy && { cure: remedy.charAt(0).toUpperCase() + remedy.slice(1) }),
    ...(waits && { retryAfterMs }),
  });
}

function made(check: PreflightCheck): PreflightCheck {
  return Object.freeze(check);
}
