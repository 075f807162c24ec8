// @ts-check
// All that the page says of a call, in words: what happens, why it ended, what went wrong and what to do.

/** A headline, and what there is to know or to do beyond it. @typedef {readonly [headline: string, hint: string]} Words */
/** @typedef {import("../../npm/src/index.ts").CallEvents} Events */
/** @typedef {Events["budget"]["scope"]} Scope */

/** @type {Words} */
export const READY = ["Talk to the relay", "Press the button and speak, or write."];
/** What is true before and after a call. */
export const PRIVACY = "Nothing is sent before you call or write, nor heard while you are muted.";

/** Each with the word in the pill. @type {Record<string, readonly [...Words, pill: string]>} */
export const STATES = {
  starting: ["Asking for the microphone", "Your browser may ask you to allow it.", "Starting"],
  connecting: ["Connecting", "You can speak already: nothing is lost.", "Connecting"],
  reconnecting: ["Connection lost", "Keep talking. What you say is kept and sent when it is back.", "Reconnecting"],
};

/** The same of a call without a microphone. @type {typeof STATES} */
export const UNSPOKEN = {
  starting: ["Connecting", "What you wrote is sent as soon as the relay answers.", "Starting"],
  connecting: ["Connecting", "What you wrote is sent as soon as the relay answers.", "Connecting"],
  reconnecting: ["Connection lost", "Write on. It is kept and sent when it is back.", "Reconnecting"],
};

/** @type {Words} */
export const CLOSING = ["Hanging up", "Your last words are on their way."];
export const AGAIN = "The next call begins as soon as your last words have arrived.";
/** @type {Words} */
export const MUTED = ["You are muted", "Nothing is sent, and nothing is billed for listening."];

/** Each with what the agent does, in one word. @type {Record<Events["agent"]["state"], readonly [...Words, does: string]>} */
export const AGENT = {
  listening: ["The agent is listening", "Say something, then pause.", "Listening"],
  thinking: ["The agent is thinking", "An answer is being made.", "Thinking"],
  speaking: ["The agent is speaking", "Listen, or write meanwhile.", "Speaking"],
};
/** In place of the hint while the agent speaks, where the relay says that it can be interrupted. */
export const INTERRUPT = "You can interrupt by speaking.";

/** The same where nothing is said aloud. @type {typeof AGENT} */
export const READER = {
  listening: ["The agent is reading", "Write to it. It answers in the conversation.", "Reading"],
  thinking: AGENT.thinking,
  speaking: ["The agent is answering", "You can write on meanwhile.", "Answering"],
};

const CALL_AGAIN = "Press the button to call again.";
const ASK_OPERATOR = "Whoever runs the relay can say why.";

/** Why a call ended: a headline, the reason as a sentence, and what to do. @type {Record<string, readonly [headline: string, why: string, advice: string]>} */
export const ENDS = {
  hung_up: ["Call ended", "You hung up.", CALL_AGAIN],
  normal: ["Call ended", "The other side ended it.", CALL_AGAIN],
  idle: ["Call ended", "Nothing was said for a while.", CALL_AGAIN],
  too_long: ["Call ended", "It reached its longest duration.", CALL_AGAIN],
  budget: ["The budget is spent", "The relay ended the call, so it costs no more.", "Whoever runs the relay can raise it."],
  replaced: ["Taken over", "The same call goes on in another window.", "Talk on there."],
  ended_by_operator: ["Call ended", "An operator of the relay ended it.", ASK_OPERATOR],
  unauthorized: ["The relay let the call go", "It did not accept the page's token any more.", "Reload the page to get a new one."],
  forbidden: ["The relay let the call go", "This page or its user may not make this call any more.", ASK_OPERATOR],
  no_relay: ["No relay", "There is no relay at this address.", "Check that it runs, then call again."],
  abnormal: ["The connection is gone", "The relay could not be reached any more.", "Check that it runs, then call again."],
};

/** @param {string} reason @returns {readonly [headline: string, why: string, advice: string]} */
export function endOf(reason) {
  return ENDS[reason] ?? ["Call ended", `The relay ended it: ${reason}.`, CALL_AGAIN];
}

/** What a budget is for, and what is left to do when it is used up. @type {Record<Scope, Words>} */
export const BUDGETS = {
  session: ["This call's budget", CALL_AGAIN],
  user: ["Your budget for today", "The next day begins at midnight UTC."],
  account: ["Your account's budget for this month", "The next month begins on the 1st at midnight UTC."],
};

/** What the agent does less well. @type {Record<Events["degraded"]["what"], Words>} */
export const DEGRADED = {
  hearing: ["The agent hears badly", "Write to it if it does not understand you."],
  thinking: ["The agent is not at its best", "Its answers may be late or plain."],
  speaking: ["The agent has lost its voice", "Its answers come as text."],
};

/** What went wrong and what to do. Others are shown in the SDK's own words. @type {Record<string, Words>} */
const ERRORS = {
  microphone_denied: [
    "No access to the microphone",
    "Allow it in the browser's address bar or settings for this page, and in the system's, and call again; or write.",
  ],
  microphone_dismissed: ["No access to the microphone", "Your browser asked for it and got no answer. Call again and allow it, or write."],
  microphone_blocked: ["This page may not use the microphone", `You can write.${isSecureContext ? "" : " For voice it needs HTTPS."}`],
  microphone_missing: ["No microphone found", "Plug one in and call again, or write."],
  microphone_busy: ["Your microphone is in use", "Close the program that holds it and call again, or write."],
  microphone_silent: ["Your microphone is silent", "Check its switch, the system's mute, or choose another one."],
  audio_unavailable: ["There is no sound", "Choose another loudspeaker in the system, call again, or write."],
  suspended: ["The sound cannot start", "Click anywhere on the page. If that does not help, connect a loudspeaker."],
  interrupted: ["Another app has the sound", "A phone call, for example. The call goes on when it is over."],
  engine_unavailable: ["The voice engine did not load", "Reload the page. If that does not help, use a current browser."],
  token_unavailable: ["The relay gave no token", "Is it still running? Start it with `cargo xtask demo`, then call again."],
  unauthorized: ["The relay refused the token", "Reload the page to get a new one."],
  budget: ["The budget is too small for a call", "Whoever runs the relay can raise it."],
  user_budget: [`${BUDGETS.user[0]} is spent`, BUDGETS.user[1]],
  account_budget: [`${BUDGETS.account[0]} is spent`, BUDGETS.account[1]],
  missing_price: ["The relay cannot say what a call would cost", "Whoever runs the relay has to add the missing price."],
  agent_unknown: ["The relay has no such agent", "Take `?agent=` out of this page's address, or name another one."],
  agent_forbidden: ["You may not speak with this agent", "Take `?agent=` out of this page's address, or name another one."],
  agent_unavailable: ["The agent cannot answer just now", "Say it again in a moment."],
  not_heard: ["The agent has not heard you", "Say it again in a moment, or write it."],
  session_limit: ["Too many calls at once", "Close another call, or wait a moment and call again."],
  account_session_limit: ["Too many calls at once", "Your account has no more free. Wait a moment and call again."],
  session_rate: ["Too many calls in a minute", "Wait a minute, then call again."],
  address_rate: ["Too many calls in a minute", "Your network began them. Wait a minute, then call again."],
  relay_full: ["The relay is full", "Wait a moment, then call again."],
  relay_stopping: ["The relay restarts", "The call goes on by itself in a moment."],
  resume_rate: ["The connection breaks very often", "It is tried again in a while. What you say meanwhile is kept."],
  store_unavailable: ["The relay cannot store calls now", "Wait a moment, then call again."],
  gave_up: ["The relay does not answer", "Is it still running? Start it with `cargo xtask demo`, then call again."],
  resume_failed: ["A new session began", "The relay had forgotten the old one. What it had not kept was sent again."],
  buffer_full: ["The connection is away for long", "The oldest of what you say now is being dropped."],
  playout_full: ["A very long answer", "Its end was dropped."],
  messages_full: ["Too much waits to be sent", "Wait until the connection is back, then send it again."],
  not_supported: ["The agent does not read", "Press the button and speak to it."],
};

/** An error in words. @param {unknown} thrown @returns {Words} */
export function inWords(thrown) {
  const { code, message, cause } = /** @type {{ code?: string, message?: string, cause?: unknown }} */ (thrown ?? {});
  // What the sound waits for stands before the cause.
  const word = /^audio_unavailable (suspended|interrupted):/.exec(`${code} ${cause}`)?.[1] ?? code;
  return (word ? ERRORS[word] : undefined) ?? ["Something went wrong", message ?? String(thrown)];
}
