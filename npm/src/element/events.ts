import type { CallEvents } from "../index.js";

/** The events of the call that are dispatched on the element. Who listens to a tool's call has to answer it, so those are left to `options`. */
export const FORWARDED = [
  ...(["state", "session", "agent", "transcript", "usage", "budget", "degraded", "latency", "listened", "undelivered"] as const),
  ...(["level", "rtt", "gap", "microphone", "speaker", "error", "ended"] as const),
];

/** The events of the element. */
export type VoiceCallEventMap = { readonly [Name in (typeof FORWARDED)[number]]: CustomEvent<CallEvents[Name]> } & {
  /** The user agrees that the microphone opens. */
  readonly consent: CustomEvent<undefined>;
  /** There is no free place; it is tried again. */
  readonly waiting: CustomEvent<{ readonly retryInMs: number }>;
};
