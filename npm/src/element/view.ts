import type { CallSnapshot } from "../index.js";
import type { Caller } from "./caller.js";
import type { StateWord, VoiceCallTexts, Words } from "./texts.js";

/** The user is so loud that the microphone cuts it off. */
const CLIPPING = { code: "clipping" };

/**
 * What is not told, by the state and the error's code: nothing in these states, and before the call is over nothing of its being let in. Until then it
 * asks for another token by itself, and in an outage none comes.
 */
const UNTOLD = /^(idle|consent|waiting|closing)|^(?!closed).* (token_una|unauth)/;

/** How things stand, as a colour says it, too. */
export type Tone = "idle" | "good" | "wait" | "bad";

/** What the element shows, of all that there is. */
export interface View {
  readonly state: CallSnapshot["state"] | "consent" | "waiting";
  readonly tone: Tone;
  readonly words: Words;
  /** What the button does next. */
  readonly press: "call" | "chat" | "hangUp" | "cancel";
  /** There is a session: the user may mute, and choose a microphone. */
  readonly isLive: boolean;
  /** What went wrong and is to be told. */
  readonly trouble: unknown;
}

/** What there is to see. */
export function viewOf(
  { phase, call, ended, failure, isAsking }: Pick<Caller, "phase" | "call" | "ended" | "failure" | "isAsking">,
  isSpoken: boolean,
  texts: VoiceCallTexts,
): View {
  const snapshot = call?.snapshot;
  const state = stateOf(phase, isAsking, snapshot);
  const isOver = state === "closed";
  const isLive = state === "connected" || state === "reconnecting";
  const words = isOver ? endOf(snapshot, ended, texts) : texts.states[wordOf(state, snapshot, isSpoken)];
  const trouble = troubleOf(state, snapshot, failure, texts);
  return {
    state,
    tone: toneOf(state, (isOver && trouble) || isBad(ended), !!snapshot?.onHold || (isSpoken && !!snapshot?.devices.muted)),
    words,
    // What is hanging up needs nobody: the next call may begin.
    press: isLive ? "hangUp" : state !== "idle" && state !== "closing" && !isOver ? "cancel" : isSpoken ? "call" : "chat",
    isLive,
    // The end may say it already.
    trouble: trouble === undefined || inWords(trouble, texts)[0] === words[0] ? undefined : trouble,
  };
}

function stateOf(phase: Caller["phase"], isAsking: boolean, snapshot: CallSnapshot | undefined): View["state"] {
  if (phase === "call" && snapshot) return snapshot.state === "idle" ? "starting" : snapshot.state;
  if (isAsking) return "consent";
  if (phase === "waiting" || phase === "idle" || phase === "starting") return phase;
  return snapshot?.state === "closing" ? "closing" : "closed";
}

function toneOf(state: View["state"], isBadly: unknown, isSilent: boolean): Tone {
  if (state === "closed" && isBadly) return "bad";
  if (state === "closed" || state === "idle") return "idle";
  return state === "connected" && !isSilent ? "good" : "wait";
}

function wordOf(state: View["state"], snapshot: CallSnapshot | undefined, isSpoken: boolean): StateWord {
  if (state === "connected") {
    if (snapshot?.onHold) return "onHold";
    if (isSpoken && snapshot?.devices.muted) return "muted";
    const agent = snapshot?.agent ?? "listening";
    return agent === "listening" && !isSpoken ? "listeningText" : agent;
  }
  const hasOther = state === "idle" || state === "starting" || state === "connecting";
  return (hasOther && !isSpoken ? `${state}Text` : state) as StateWord;
}

function isBad(ended = "normal"): boolean {
  return !/^(normal|idle|too_long)$/.test(ended);
}

function endOf(snapshot: CallSnapshot | undefined, ended: string | undefined, { ends }: VoiceCallTexts): Words {
  return (ended ? ends[ended] : snapshot?.session ? undefined : ends["failed"]) ?? ends.normal;
}

/** What went wrong and is worth telling: whatever kept a call from being made, and within one what there are words for. */
function troubleOf(state: View["state"], snapshot: CallSnapshot | undefined, failure: unknown, texts: VoiceCallTexts): unknown {
  const error = snapshot?.error;
  const told = !UNTOLD.test(`${state} ${error?.code}`);
  if (told && (failure || (error && Object.hasOwn(texts.errors, error.code)))) return failure ?? error;
  return snapshot?.quality.warnings.includes("clipping") ? CLIPPING : undefined;
}

/** An error in the user's words; one that nobody foresaw with its code, for whom the user asks. */
export function inWords(trouble: unknown, { errors }: VoiceCallTexts): Words {
  const { code, name, retryable, cause } = trouble as { code?: string; name?: string; retryable?: boolean; cause?: unknown };
  // A token that may come later was kept away by the network, or by what gives it.
  const word = /^audio_unavailable (suspended|interrupted):/.exec(`${code} ${String(cause)}`)?.[1] ?? (retryable && code === "token_unavailable" ? "gave_up" : code);
  const known = word && Object.hasOwn(errors, word) ? errors[word] : undefined;
  if (known) return known;
  const [title, hint] = errors.other;
  return [title, hint.replace("{code}", code ?? name ?? "?")];
}
