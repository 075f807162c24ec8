import type { CallEvents } from "../index.js";

/** The events of the call that are dispatched on the element. Who listens to a tool's call has to answer it, so those are left to `options`. */
type Forwarded = Exclude<keyof CallEvents, "toolCall" | "toolCancel">;

/** Their names. One text is shorter to download than a list, and the test of the element holds it to the events. */
export const FORWARDED = "state transport session agent transcript usage budget degraded latency listened undelivered level rtt quality gap microphone speaker error ended".split(
  " ",
) as Forwarded[];

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
