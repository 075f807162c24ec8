/** A headline and what there is to know beyond it. */
export type Words = readonly [title: string, hint: string];

/** All that the element says. What stands in braces is put in by the element. */
export interface VoiceCallTexts {
  /** The name of the whole. */
  readonly name: string;
  /** On the button that makes a call. */
  readonly call: string;
  /** On the same button where the call is in text. */
  readonly chat: string;
  /** On the button within a call. */
  readonly hangUp: string;
  /** On the button while a call is being made. */
  readonly cancel: string;
  /** Mutes the microphone. */
  readonly mute: string;
  /** Unmutes it. */
  readonly unmute: string;
  /** Changes to text. */
  readonly write: string;
  /** Changes to voice. */
  readonly speak: string;
  /** Opens the choice of microphones and loudspeakers. */
  readonly settings: string;
  /** Names the choice of microphones. */
  readonly microphone: string;
  /** Names the choice of loudspeakers. */
  readonly speaker: string;
  /** Names what was said, for screen readers. */
  readonly captions: string;
  /** Before what the user said. */
  readonly you: string;
  /** Before what the agent said. */
  readonly agent: string;
  /** In the empty field for text. */
  readonly message: string;
  /** Sends what is in it. */
  readonly send: string;
  /** Agrees that the microphone opens. */
  readonly agree: string;
  /** Does not agree. */
  readonly decline: string;
  /** Puts away what went wrong. */
  readonly dismiss: string;
  /** The call is recorded. */
  readonly recorded: string;
  /** An operator listens in. */
  readonly listened: string;
  /** No WebSocket gets through: the call goes over HTTP. */
  readonly overHttp: string;
  /** With `{seconds}`. */
  readonly nextTry: string;
  /** It is being tried again now. */
  readonly trying: string;
  /** What a screen reader is told when the call is up. */
  readonly connected: string;
  /** Asks for a rating after the call. */
  readonly rate: string;
  /** A good rating. */
  readonly good: string;
  /** A bad rating. */
  readonly bad: string;
  /** The rating was taken. */
  readonly thanks: string;
  /** The rating was not taken. */
  readonly notRated: string;
  /** What is asked before the microphone opens. */
  readonly consent: string;
  /** Where the call stands: the states of a call, those before one, and what the agent does. `text` is of a call without a microphone. */
  readonly states: Readonly<Record<StateWord, Words>>;
  /** Why a call ended, by the reason of `ended`. */
  readonly ends: Readonly<Record<string, Words>> & {
    /** For every reason that has no words of its own. */
    readonly normal: Words;
  };
  /**
   * What went wrong, by the error's code, or `clipping`; `other` with `{code}`. A token that may come later is told as `gave_up`. Sound that the
   * browser holds back, or finds no loudspeaker for, is `suspended`, and sound that a phone call or another app has, `interrupted`; any other that is
   * not there is `audio_unavailable`.
   */
  readonly errors: Readonly<Record<string, Words>> & {
    /** For every code that has no words of its own. */
    readonly other: Words;
  };
}

/** Where a call stands, as far as there are words for it. */
export type StateWord =
  | "idle"
  | "idleText"
  | "consent"
  | "waiting"
  | "starting"
  | "startingText"
  | "connecting"
  | "connectingText"
  | "reconnecting"
  | "closing"
  | "listening"
  | "listeningText"
  | "thinking"
  | "speaking"
  | "muted"
  | "onHold";

/** Texts as a page gives them: what is left out stays as it is. */
export type GivenTexts = Partial<Omit<VoiceCallTexts, "states" | "ends" | "errors">> & {
  readonly [Group in "states" | "ends" | "errors"]?: Readonly<Record<string, Words>>;
};

const SPENT: Words = ["The budget is used up", "No more calls can be made for now."];
const SHUT_OUT: Words = ["You could not be let in", "Reload the page and sign in."];
const SOON: Words = ["Starting", "What you write is sent in a moment."];
const NOT_REACHED: Words = ["No connection", "Check your network, then try again."];

/** The element's own texts. */
export const ENGLISH: VoiceCallTexts = {
  name: "Voice call",
  call: "Call",
  chat: "Chat",
  hangUp: "Hang up",
  cancel: "Cancel",
  mute: "Mute",
  unmute: "Unmute",
  write: "Write",
  speak: "Speak",
  settings: "Choose devices",
  microphone: "Microphone",
  speaker: "Loudspeaker",
  captions: "Conversation",
  you: "You",
  agent: "Agent",
  message: "Write a message",
  send: "Send",
  agree: "Agree",
  decline: "Not now",
  dismiss: "Dismiss",
  recorded: "Recorded",
  listened: "Listened to",
  overHttp: "Over HTTP",
  nextTry: "Next try in {seconds} s. Your microphone is off.",
  trying: "Trying …",
  connected: "Connected",
  rate: "How was the call?",
  good: "Good",
  bad: "Bad",
  thanks: "Thank you!",
  notRated: "That was not sent. Please try again.",
  consent: "Your voice is sent to a voice service, which turns it into text to answer you. Your microphone is on only during the call.",
  states: {
    idle: ["Talk to us", "Press the button and speak."],
    idleText: ["Write to us", "Type a message to begin."],
    consent: ["Before we begin", "Your microphone is still off."],
    waiting: ["All lines are busy", "You get in when a place is free."],
    starting: ["Starting", "Your browser may ask for the microphone."],
    startingText: SOON,
    connecting: ["Connecting", "You can speak already."],
    connectingText: SOON,
    reconnecting: ["Connection lost", "Go on: what you say is kept."],
    closing: ["Hanging up", "Your last words are on their way."],
    listening: ["Listening", "Say something, then pause."],
    listeningText: ["Connected", "Write whatever you like."],
    thinking: ["Thinking", "An answer is on its way."],
    speaking: ["Answering", "You can interrupt at any time."],
    muted: ["You are muted", "Nothing you say is sent."],
    onHold: ["On hold", "Nothing is sent, and nothing sounds."],
  },
  ends: {
    normal: ["Call ended", "Press the button to begin again."],
    idle: ["Call ended", "Nothing was said for a while."],
    too_long: ["Call ended", "It reached its longest duration."],
    budget: SPENT,
    ended_by_operator: ["Call ended", "The service ended it."],
    abnormal: NOT_REACHED,
    failed: ["No call", "Press the button to try again."],
  },
  errors: {
    microphone_denied: ["No access to the microphone", "Allow it in your browser’s settings, or write."],
    microphone_dismissed: ["No access to the microphone", "Press the button again and allow it, or write."],
    microphone_blocked: ["No access to the microphone", "This page may not use it. You can write."],
    microphone_missing: ["No microphone found", "Plug one in, or write."],
    microphone_busy: ["Your microphone is in use", "Close the program that holds it, or write."],
    microphone_silent: ["Your microphone is silent", "Check its switch, or choose another one."],
    clipping: ["You are very loud", "Turn your microphone down, or move away from it."],
    audio_unavailable: ["There is no sound", "Choose another loudspeaker, or write."],
    suspended: ["There is no sound yet", "Press anywhere on this page, or connect a loudspeaker."],
    interrupted: ["Your sound is in use", "End the phone call or app that has it, or write."],
    engine_unavailable: ["The call did not load", "Reload the page."],
    token_unavailable: SHUT_OUT,
    unauthorized: SHUT_OUT,
    budget: SPENT,
    user_budget: ["Your calls for today are used up", "Come back tomorrow."],
    account_budget: SPENT,
    agent_unavailable: ["No answer just now", "Please say it again in a moment."],
    not_heard: ["That was not heard", "Please say it again in a moment."],
    messages_full: ["Too much waits to be sent", "Send it again in a moment."],
    gave_up: NOT_REACHED,
    other: ["That did not work", "Please try again later. ({code})"],
  },
};

/** The texts with what the page gave in their place. */
export function textsWith(given: GivenTexts): VoiceCallTexts {
  return {
    ...ENGLISH,
    ...given,
    states: { ...ENGLISH.states, ...given.states },
    ends: { ...ENGLISH.ends, ...given.ends },
    errors: { ...ENGLISH.errors, ...given.errors },
  };
}
