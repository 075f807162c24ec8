import type { CallEvents } from "../index.js";

/** The events of the call that are dispatched on the element. Who listens to a tool's call has to answer it, so those are left to `options`. */
export const FORWARDED = [
  ...(["state", "session", "agent", "transcript", "usage", "budget", "degraded", "latency", "listened", "undelivered"] as const),
  ...(["level", "rtt", "gap", "microphone", "speaker", "error", "ended"] as const),
];

/** Does not compile where one of them is left out. */
export type Whole = Holds<Exclude<keyof CallEvents, "toolCall" | "toolCancel"> extends (typeof FORWARDED)[number] ? true : false>;
type Holds<All extends true> = All;

/** The events of the element. */
export type VoiceCallEventMap = { readonly [Name in Exclude<keyof CallEvents, "toolCall" | "toolCancel">]: CustomEvent<CallEvents[Name]> } & {
  /** The user agrees that the microphone opens. */
  readonly consent: CustomEvent<undefined>;
  /** There is no free place; it is tried again. */
  readonly waiting: CustomEvent<{
    /** Milliseconds until the next attempt. */
    readonly retryInMs: number;
  }>;
};
