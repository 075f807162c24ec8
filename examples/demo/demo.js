// @ts-check
// The demo page: one call with the relay that serves it. Run it with `cargo xtask demo`.

import { Writing } from "./writing.js";

/** @typedef {import("../../npm/src/index.ts").VoiceClient} Call */
/** @typedef {import("../../npm/src/index.ts").CallEvents} Events */
/** @typedef {Events["budget"]["scope"]} Scope */
/** @typedef {"idle" | "good" | "wait" | "bad"} Tone */

const { VoiceClient, VoxrelayError } = globalThis.Voxrelay;

/** How long the switch keeps the connection down, unless it is switched back before. */
const OUTAGE_MS = 15_000;
/** The level that fills the meter's left end. */
const FLOOR_DB = -60;
const MOST_NOTICES = 2;
/** The smallest amount that is shown. */
const LEAST_NANO_USD = 1_000;
const TITLE = document.title;
/** What is true before and after a call. */
const FOOT = "Nothing is sent before you call or write, nor heard while you are muted.";
/** Marks the notice of audio that was lost. */
const GAP = "gap";
/** Marks the notice of why there is no connection yet. */
const ATTEMPT = "attempt";

const button = element("call", HTMLButtonElement);
const mute = element("mute", HTMLButtonElement);
const cut = element("cut", HTMLButtonElement);
const meter = element("meter");
const halo = element("halo");
const captions = element("captions");
const lines = element("lines");
const microphones = element("microphones", HTMLSelectElement);
const form = element("write", HTMLFormElement);
const field = element("text", HTMLInputElement);
const writing = new Writing(form, field, {
  begin: (text) => void start(text),
  addLine,
  refused: (thrown) => {
    showError(thrown);
    // Without a microphone nothing else can be said to an agent that does not read.
    if (!isSpoken && thrown instanceof VoxrelayError && thrown.code === "not_supported") hangUp();
  },
});

/** @type {Call | undefined} */
let call;
/** Ends a call that is not connected yet. @type {AbortController | undefined} */
let attempt;
/** The call is ending, and what the button was pressed for meanwhile: a call after it. */
let ending = false;
let again = false;
/** @type {(() => void) | undefined} */
let endOutage;
let outageTimer = 0;
let countdownTimer = 0;
/** Of the microphone, in this call. */
let lostMs = 0;
/** The call has a microphone, and an agent that listens to it. Before and after a call it may have. */
let isSpoken = true;
/** @type {Events["agent"]["state"]} */
let agentState = "listening";
/** Whose budget is used up. @type {Scope | undefined} */
let spent;

/** Headline, hint, word in the pill, and its tone. @type {Record<string, [string, string, string, Tone]>} */
const STATES = {
  starting: ["Asking for the microphone", "Your browser may ask you to allow it.", "Starting", "wait"],
  connecting: ["Connecting", "You can speak already: nothing is lost.", "Connecting", "wait"],
  reconnecting: ["Connection lost", "Keep talking. What you say is kept and sent when it is back.", "Reconnecting", "wait"],
  closing: ["Hanging up", "Your last words are on their way.", "Ending", "wait"],
};

/** The same of a call without a microphone. @type {typeof STATES} */
const UNSPOKEN = {
  starting: ["Connecting", "What you wrote is sent as soon as the relay answers.", "Starting", "wait"],
  connecting: ["Connecting", "What you wrote is sent as soon as the relay answers.", "Connecting", "wait"],
  reconnecting: ["Connection lost", "Write on. It is kept and sent when it is back.", "Reconnecting", "wait"],
  closing: STATES.closing,
};

/** Headline, hint, and what the agent does in one word. @type {Record<Events["agent"]["state"], [string, string, string]>} */
const AGENT = {
  listening: ["The agent is listening", "Say something, then pause.", "Listening"],
  thinking: ["The agent is thinking", "An answer is being made.", "Thinking"],
  speaking: ["The agent is speaking", "You can interrupt by speaking.", "Speaking"],
};

/** The same where nothing is said aloud. @type {typeof AGENT} */
const READER = {
  listening: ["The agent is reading", "Write to it below. It answers in the conversation.", "Reading"],
  thinking: AGENT.thinking,
  speaking: ["The agent is answering", "You can write on meanwhile.", "Answering"],
};

/** Why a call ended, in plain words. @type {Record<string, [string, string]>} */
const ENDS = {
  normal: ["Call ended", "Press the button to call again."],
  idle: ["Call ended", "Nothing was said for a while. Press the button to call again."],
  too_long: ["Call ended", "It reached its longest duration. Press the button to call again."],
  budget: ["The budget is spent", "The relay ended the call, so it costs no more."],
  replaced: ["Taken over", "The same call goes on in another window."],
  abnormal: ["The connection is gone", "The relay could not be reached any more. Check that it runs, then call again."],
};

/** What a budget is for, and what is left to do when it is used up. @type {Record<Scope, [string, string]>} */
const BUDGETS = {
  session: ["This call's budget", "Press the button to call again."],
  user: ["Your budget for today", "The next day begins at midnight UTC."],
  account: ["Your account's budget for this month", "The next month begins on the 1st at midnight UTC."],
};

/** What went wrong and what to do. Others are shown in the SDK's own words. @type {Record<string, [string, string]>} */
const ERRORS = {
  microphone_denied: [
    "No access to the microphone",
    `Allow it in the browser's address bar or settings for this page and call again, or write below.${isSecureContext ? "" : " It also needs HTTPS."}`,
  ],
  microphone_missing: ["No microphone found", "Plug one in, or close the program that holds it, and call again; or write below."],
  microphone_silent: ["Your microphone is silent", "Check its switch, the system's mute, or choose another one."],
  audio_unavailable: ["The sound cannot start", "Click anywhere on the page. If that does not help, reload it."],
  engine_unavailable: ["The voice engine did not load", "Reload the page. If that does not help, use a current browser."],
  token_unavailable: ["The relay gave no token", "Is it still running? Start it with `cargo xtask demo`, then call again."],
  unauthorized: ["The relay refused the token", "Reload the page to get a new one."],
  budget: ["The budget is too small for a call", "Whoever runs the relay can raise it."],
  user_budget: [`${BUDGETS.user[0]} is spent`, BUDGETS.user[1]],
  account_budget: [`${BUDGETS.account[0]} is spent`, BUDGETS.account[1]],
  missing_price: ["The relay cannot say what a call would cost", "Whoever runs the relay has to add the missing price."],
  session_limit: ["Too many calls at once", "Close another call, or wait a moment and call again."],
  account_session_limit: ["Too many calls at once", "Your account has no more free. Wait a moment and call again."],
  session_rate: ["Too many calls in a minute", "Wait a minute, then call again."],
  address_rate: ["Too many calls in a minute", "Your network began them. Wait a minute, then call again."],
  relay_full: ["The relay is full", "Wait a moment, then call again."],
  resume_rate: ["The connection breaks very often", "It is tried again in a while. What you say meanwhile is kept."],
  store_unavailable: ["The relay cannot store calls now", "Wait a moment, then call again."],
  gave_up: ["The relay does not answer", "Is it still running? Start it with `cargo xtask demo`, then call again."],
  resume_failed: ["A new session began", "The relay had forgotten the old one. What it had not kept was sent again."],
  buffer_full: ["The connection is away for long", "The oldest of what you say now is being dropped."],
  playout_full: ["A very long answer", "Its end was dropped."],
  messages_full: ["Too much waits to be sent", "Wait until the connection is back, then send it again."],
  not_supported: ["The agent does not read", "Press the button and speak to it."],
};

// Every press counts: whatever the page is about, the next one takes it back.
button.addEventListener("click", () => {
  if (ending) waitForEnd(!again);
  else if (call || attempt) hangUp();
  else void start();
});
mute.addEventListener("click", () => {
  call?.mute(!call.muted);
  showMute();
});
cut.addEventListener("click", () => (endOutage ? stopOutage() : startOutage()));
microphones.addEventListener("change", () => {
  call?.setMicrophone(microphones.value || undefined).catch((error) => showError(error));
});
// What was said last stays in sight when something else takes room.
new ResizeObserver(() => (captions.scrollTop = captions.scrollHeight)).observe(captions);
// The engine is there when the button is pressed; a failure shows then.
VoiceClient.preload().catch(() => undefined);

/** Makes a call: with a microphone, or for what was typed. @param {string} [typed] */
async function start(typed) {
  const own = (attempt = new AbortController());
  const { signal } = own;
  /**
   * Lets nothing through of an attempt that was given up: another one may be running.
   * @template Event
   * @param {(event: Event) => void} listener
   */
  const current = (listener) => (/** @type {Event} */ event) => {
    if (!signal.aborted) listener(event);
  };
  isSpoken = typed === undefined;
  reset();
  writing.begin(typed);
  form.dataset.live = "";
  showState({ state: "starting", attempt: 0, retryInMs: 0 });
  try {
    const connected = await VoiceClient.connect({
      url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/call`,
      token,
      signal,
      ...(isSpoken ? {} : { microphone: /** @type {const} */ (false) }),
      onState: current(showState),
      onSession: current(showSession),
      onAgent: current(showAgent),
      onTranscript: current(showCaption),
      onUsage: current(showUsage),
      onBudget: current(showBudget),
      onUndelivered: current(({ message }) => {
        if (message.type === "text") writing.undelivered(message.text);
      }),
      onLevel: current(showLevel),
      onRtt: current(({ ms }) => show("rtt", ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`)),
      onGap: current(({ ms }) => {
        lostMs += ms;
        const title = `${(lostMs / 1000).toFixed(1)} s of what you said were lost`;
        notice("wait", title, "The connection was away for too long. Please say it again.", GAP);
      }),
      onMicrophone: current(({ live }) => {
        if (live) void listMicrophones();
      }),
      onError: current((error) => {
        // The state says that the connection is lost (no token comes without one, either), and before there was a connection the promise
        // says what is wrong, unless it is being tried again.
        const known = call
          ? error.code === "link_lost" || (error.code === "token_unavailable" && call.state === "reconnecting")
          : !error.retryable;
        if (!known) showError(error, call || error.code === "microphone_silent" ? undefined : ATTEMPT);
      }),
      onEnded: current(showEnd),
    });
    // Given up in the very moment in which it came up.
    if (signal.aborted) return void connected.close();
    if (connected.state === "closed") return;
    call = connected;
    attempt = undefined;
    dropNotice(ATTEMPT);
    showControls(true);
    writing.connected(call);
    if (call.engine === "page") {
      notice("wait", "The engine runs on the page", "No Worker could be started, so a busy page can delay the sound.");
    }
  } catch (thrown) {
    // Unless another attempt has begun since.
    if (!signal.aborted && (!attempt || attempt === own)) showFailure(thrown);
  }
}

async function token() {
  const response = await fetch("/dev/token", { cache: "no-store" });
  if (!response.ok) throw new Error(`/dev/token answered ${response.status}`);
  return (await response.text()).trim();
}

function hangUp() {
  if (call) {
    stopOutage();
    showControls(false);
    waitForEnd(false);
    void call.close();
  } else {
    attempt?.abort();
    showEnd({ reason: "normal" });
  }
}

/** What was said is still being sent. @param {boolean} thenCall Whether another call follows. */
function waitForEnd(thenCall) {
  ending = field.readOnly = true;
  again = thenCall;
  const [headline, hint, pill, tone] = STATES.closing;
  action(again ? "hang-up" : "call");
  say(headline, again ? "The next call begins as soon as your last words have arrived." : hint, pill, tone);
}

/** @param {Events["state"]} event */
function showState({ state, attempt: failed, retryInMs }) {
  clearInterval(countdownTimer);
  show("countdown", "");
  if (state === "closing") return waitForEnd(again);
  action("hang-up");
  if (state === "connected") return showAgent({ state: agentState });
  if (state === "closed") return;
  const said = (isSpoken ? STATES : UNSPOKEN)[state];
  if (said) say(...said);
  show("agent", "–");
  if (state === "reconnecting") {
    showLevel({ inputRms: -100, inputPeak: -100, outputRms: -100, outputPeak: -100 });
    countDown(Date.now() + retryInMs, failed);
  }
}

/** Counts down to the next attempt. Outside the live region, so that a screen reader does not read every second. @param {number} due @param {number} failed */
function countDown(due, failed) {
  const tick = () => {
    const left = Math.ceil((due - Date.now()) / 1000);
    const next = left > 0 ? `Next attempt in ${left} s` : "Trying now …";
    show("countdown", failed > 1 ? `${next} · ${failed} failed` : next);
  };
  tick();
  countdownTimer = window.setInterval(tick, 200);
}

/** @param {Events["agent"]} event */
function showAgent({ state }) {
  agentState = state;
  if (ending || (call && call.state !== "connected")) return;
  const [headline, hint, word] = (isSpoken ? AGENT : READER)[state];
  show("agent", word);
  if (call?.muted) say("You are muted", "Nothing is sent, and nothing is billed for listening.", "Muted", "wait");
  else say(headline, hint, "Connected", "good");
}

/** @param {Events["session"]} event */
function showSession({ recording, limits, features, prices }) {
  const reads = features.includes("text");
  writing.offer(reads);
  // An agent that listens has a price for it, by the second.
  isSpoken &&= !reads || prices.items.some(({ unit }) => unit === "second");
  showSpoken();
  const most = `at most ${Math.round(limits.sessionMs / 60_000)} minutes and ${dollars(limits.budgetNanoUsd)}`;
  show("foot", `${recording ? "This call is recorded. " : ""}This call lasts ${most}.`);
}

/** @param {Events["transcript"]} event */
function showCaption({ role, turn, text, last }) {
  const id = `${role}-${turn}`;
  const line = document.getElementById(id) ?? ((role === "user" && writing.spoken(text)) || addLine(role, text));
  line.id = id;
  line.dataset.last = String(last);
  const words = line.querySelector("span");
  if (words && words.textContent !== text) words.textContent = text;
  captions.scrollTop = captions.scrollHeight;
}

/** Adds a line to the conversation. @param {"user" | "agent"} role @param {string} text */
function addLine(role, text) {
  const line = document.createElement("li");
  line.className = role;
  const who = document.createElement("b");
  who.textContent = role === "user" ? "You" : "Agent";
  const words = document.createElement("span");
  // What was said is foreign text: never HTML.
  words.textContent = text;
  line.append(who, words);
  lines.append(line);
  // There is something to scroll with the keys.
  captions.tabIndex = 0;
  element("empty").hidden = true;
  captions.scrollTop = captions.scrollHeight;
  return line;
}

/** Whether something is said aloud: else what is of the microphone is not there, and tokens are billed in place of time. */
function showSpoken() {
  element("stage").toggleAttribute("data-silent", !isSpoken);
  show("billed", isSpoken ? "Billed time" : "Tokens");
}

/** @param {Events["usage"]} event */
function showUsage({ audioMs, tokens, costNanoUsd, leftNanoUsd }) {
  const seconds = audioMs / 1000;
  const whole = Math.floor(seconds);
  const time = seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  show("seconds", isSpoken ? time : String(tokens));
  show("cost", dollars(costNanoUsd));
  show("left", leftNanoUsd < LEAST_NANO_USD ? "nothing left" : `${dollars(leftNanoUsd, true)} left`);
}

/** @param {Events["budget"]} event */
function showBudget({ scope, percent, limitNanoUsd, spentNanoUsd }) {
  const [name] = BUDGETS[scope];
  const share = percent === 100 ? "" : `${Math.floor((spentNanoUsd * 100) / limitNanoUsd)} % `;
  const tone = percent === 100 ? "bad" : "wait";
  if (percent === 100) spent = scope;
  element("left").dataset.tone = tone;
  const advice = `${dollars(spentNanoUsd)} of ${dollars(limitNanoUsd)}. When nothing is left, the call ends.`;
  notice(tone, `${name} is ${share}spent`, advice, `budget-${scope}`);
}

/** Six digits while it is less than a cent. @param {number} nanoUsd @param {boolean} down Rounded so that it never seems more. */
function dollars(nanoUsd, down = false) {
  const digits = nanoUsd < 1e7 ? 6 : nanoUsd < 1e9 ? 4 : 2;
  const shown = down ? nanoUsd - (nanoUsd % 10 ** (9 - digits)) : nanoUsd;
  return `$${(shown / 1e9).toFixed(digits)}`;
}

/** @param {Events["level"]} event */
function showLevel({ inputRms, inputPeak, outputRms }) {
  const share = (/** @type {number} */ decibels) => Math.min(1, Math.max(0, 1 - decibels / FLOOR_DB));
  meter.style.setProperty("--rms", share(inputRms).toFixed(3));
  meter.style.setProperty("--peak", share(inputPeak).toFixed(3));
  meter.setAttribute("aria-valuenow", String(Math.round(Math.max(FLOOR_DB, inputRms))));
  halo.style.setProperty("--level", share(agentState === "speaking" ? outputRms : inputRms).toFixed(3));
}

/** @param {{ reason: string }} event */
function showEnd({ reason }) {
  // Where the relay ended it, what it did not take any more needs no repeating.
  if (reason !== "abnormal") dropNotice(GAP);
  const failed = reason !== "normal" && reason !== "idle" && reason !== "too_long";
  const [headline, hint] = ENDS[reason] ?? ["Call ended", `The relay ended it: ${reason}.`];
  if (reason === "budget" && spent) {
    const [name, next] = BUDGETS[spent];
    // The headline says it now.
    dropNotice(`budget-${spent}`);
    over(`${name} is spent`, `${hint} ${next}`, "Ended", "bad");
  } else over(headline, hint, "Ended", failed ? "bad" : "idle");
}

/** @param {unknown} thrown */
function showFailure(thrown) {
  const [headline, hint] = words(thrown);
  dropNotice(ATTEMPT);
  // Of a call that never was nothing is known.
  show("left", "");
  over(headline, hint, "Failed", "bad");
}

/** @param {unknown} thrown @param {string} [about] */
function showError(thrown, about) {
  const [title, advice] = words(thrown);
  notice(thrown instanceof VoxrelayError && thrown.retryable ? "wait" : "bad", title, advice, about);
}

/** @param {unknown} thrown @returns {[string, string]} */
function words(thrown) {
  const known = thrown instanceof VoxrelayError ? ERRORS[thrown.code] : undefined;
  return known ?? ["Something went wrong", thrown instanceof Error ? thrown.message : String(thrown)];
}

/** @param {string} headline @param {string} hint @param {string} pill @param {Tone} tone */
function over(headline, hint, pill, tone) {
  call = attempt = undefined;
  const next = again;
  ending = again = field.readOnly = false;
  writing.close();
  writing.offer(true);
  delete form.dataset.live;
  stopOutage();
  showControls(false);
  clearInterval(countdownTimer);
  show("countdown", "");
  showLevel({ inputRms: -100, inputPeak: -100, outputRms: -100, outputPeak: -100 });
  show("agent", "–");
  show("foot", FOOT);
  action("call");
  say(headline, hint, pill, tone);
  if (next) void start();
}

/** @param {"call" | "hang-up"} what */
function action(what) {
  button.dataset.action = what;
  show("call-label", what === "call" ? "Call" : "Hang up");
}

/** @param {string} headline @param {string} hint @param {string} pill @param {Tone} tone */
function say(headline, hint, pill, tone) {
  show("headline", headline);
  show("hint", hint);
  show("pill-text", pill);
  // A tab in the background says, too, where the call stands.
  document.title = `${pill} · ${TITLE}`;
  element("pill").dataset.tone = halo.dataset.tone = tone;
}

/** @param {boolean} live */
function showControls(live) {
  cut.disabled = !live;
  mute.disabled = !live || !isSpoken;
  element("picker").hidden = mute.disabled || microphones.length < 2;
  showMute();
}

function showMute() {
  const muted = call?.muted ?? false;
  mute.setAttribute("aria-pressed", String(muted));
  show("mute-label", muted ? "Unmute" : "Mute");
  meter.toggleAttribute("data-off", muted || mute.disabled);
  if (call?.state === "connected") showAgent({ state: agentState });
}

function startOutage() {
  if (!call) return;
  endOutage = call.simulateOutage(OUTAGE_MS);
  outageTimer = window.setTimeout(stopOutage, OUTAGE_MS);
  cut.setAttribute("aria-checked", "true");
}

function stopOutage() {
  clearTimeout(outageTimer);
  endOutage?.();
  endOutage = undefined;
  cut.setAttribute("aria-checked", "false");
}

async function listMicrophones() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const chosen = microphones.value;
  const inputs = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "default" && deviceId !== "communications");
  const options = inputs.map(({ label, deviceId }) => new Option(label, deviceId, false, deviceId === chosen));
  microphones.replaceChildren(new Option("The system's default", "", false, chosen === ""), ...options);
  element("picker").hidden = mute.disabled || options.length < 2;
}

/** Takes the place of the one before about the same. @param {"wait" | "bad"} tone @param {string} title @param {string} advice */
function notice(tone, title, advice, about = title) {
  dropNotice(about);
  const line = document.createElement("li");
  line.dataset.about = about;
  line.className = "notice";
  line.dataset.tone = tone;
  const text = document.createElement("div");
  const strong = document.createElement("strong");
  strong.textContent = title;
  text.append(strong, advice);
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", `Dismiss: ${title}`);
  close.addEventListener("click", () => line.remove());
  line.append(text, close);
  const notices = element("notices");
  notices.append(line);
  while (notices.children.length > MOST_NOTICES) notices.firstElementChild?.remove();
}

/** @param {string} about */
function dropNotice(about) {
  element("notices").querySelector(`[data-about="${CSS.escape(about)}"]`)?.remove();
}

function reset() {
  agentState = "listening";
  spent = undefined;
  lostMs = 0;
  showSpoken();
  lines.replaceChildren();
  captions.removeAttribute("tabindex");
  element("notices").replaceChildren();
  element("empty").hidden = false;
  showUsage({ audioMs: 0, tokens: 0, characters: 0, cost: 0, costNanoUsd: 0, leftNanoUsd: 0 });
  show("left", "");
  delete element("left").dataset.tone;
  show("rtt", "–");
}

/** @param {string} id @param {string} text */
function show(id, text) {
  const target = element(id);
  // A live region reads what is set again even if it is the same.
  if (target.textContent !== text) target.textContent = text;
}

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof (kind ?? HTMLElement))) throw new Error(`index.html has no #${id}`);
  return /** @type {T} */ (found);
}
