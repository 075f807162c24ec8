// @ts-check
// The demo page: one call with the relay that serves it. Run it with `cargo xtask demo`.

/** @typedef {import("../../npm/src/index.ts").VoiceClient} Call */
/** @typedef {import("../../npm/src/index.ts").CallEvents} Events */
/** @typedef {"idle" | "good" | "wait" | "bad"} Tone */

const { VoiceClient, VoxrelayError } = globalThis.Voxrelay;

/** How long the switch keeps the connection down, unless it is switched back before. */
const OUTAGE_MS = 15_000;
/** The level that fills the meter's left end. */
const FLOOR_DB = -60;
const MOST_NOTICES = 2;

const button = element("call", HTMLButtonElement);
const mute = element("mute", HTMLButtonElement);
const cut = element("cut", HTMLButtonElement);
const meter = element("meter");
const halo = element("halo");
const captions = element("captions");
const microphones = element("microphones", HTMLSelectElement);

/** @type {Call | undefined} */
let call;
/** Ends a call that is not connected yet. @type {AbortController | undefined} */
let attempt;
/** @type {(() => void) | undefined} */
let endOutage;
let outageTimer = 0;
let countdownTimer = 0;
/** @type {Events["agent"]["state"]} */
let agentState = "listening";

/** Headline, hint, word in the pill, and its tone. @type {Record<string, [string, string, string, Tone]>} */
const STATES = {
  starting: ["Asking for the microphone", "Your browser may ask you to allow it.", "Starting", "wait"],
  connecting: ["Connecting", "You can speak already: nothing is lost.", "Connecting", "wait"],
  reconnecting: ["Connection lost", "Keep talking. What you say is kept and sent when it is back.", "Reconnecting", "wait"],
  closing: ["Hanging up", "Your last words are on their way.", "Ending", "wait"],
};

/** @type {Record<Events["agent"]["state"], [string, string]>} */
const AGENT = {
  listening: ["Listening", "Say something, then pause."],
  thinking: ["Thinking", "An answer is being made."],
  speaking: ["Speaking", "You can interrupt by speaking."],
};

/** Why a call ended, in plain words. @type {Record<string, [string, string]>} */
const ENDS = {
  normal: ["Call ended", "Press the button to call again."],
  idle: ["Call ended", "Nothing was said for a while. Press the button to call again."],
  too_long: ["Call ended", "It reached its longest duration. Press the button to call again."],
  budget: ["The budget is spent", "The relay ended the call so that it costs no more."],
  replaced: ["Taken over", "The same call goes on in another window."],
  abnormal: ["The connection is gone", "The relay could not be reached any more. Check that it runs, then call again."],
};

/** What went wrong and what to do. Others are shown in the SDK's own words. @type {Record<string, [string, string]>} */
const ERRORS = {
  microphone_denied: [
    "No access to the microphone",
    "Allow it in the browser's address bar or settings for this page, then call again. It also needs HTTPS or localhost.",
  ],
  microphone_missing: ["No microphone found", "Plug one in, or close the program that holds it, then call again."],
  microphone_silent: ["Your microphone is silent", "Check its switch, the system's mute, or choose another one."],
  audio_unavailable: ["The sound cannot start", "Click anywhere on the page. If that does not help, reload it."],
  engine_unavailable: ["The voice engine did not load", "Reload the page. If that does not help, use a current browser."],
  token_unavailable: ["The relay gave no token", "Is it still running? Start it with `cargo xtask demo`, then call again."],
  unauthorized: ["The relay refused the token", "Reload the page to get a new one."],
  session_limit: ["Too many calls at once", "Close another call, or wait a moment and call again."],
  relay_full: ["The relay is full", "Wait a moment, then call again."],
  gave_up: ["The relay does not answer", "Is it still running? Start it with `cargo xtask demo`, then call again."],
  resume_failed: ["A new session began", "The relay had forgotten the old one. What it had not kept was sent again."],
  buffer_full: ["The connection is away for long", "The oldest of what you say now is being dropped."],
  playout_full: ["A very long answer", "Its end was dropped."],
};

button.addEventListener("click", () => (call || attempt ? hangUp() : void start()));
mute.addEventListener("click", () => {
  call?.mute(!call.muted);
  showMute();
});
cut.addEventListener("click", () => (endOutage ? stopOutage() : startOutage()));
microphones.addEventListener("change", () => {
  call?.setMicrophone(microphones.value || undefined).catch(showError);
});
// The engine is there when the button is pressed; a failure shows then.
VoiceClient.preload().catch(() => undefined);

async function start() {
  attempt = new AbortController();
  const { signal } = attempt;
  reset();
  showState({ state: "starting", attempt: 0, retryInMs: 0 });
  try {
    const connected = await VoiceClient.connect({
      url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/call`,
      token,
      signal,
      onState: showState,
      onSession: showSession,
      onAgent: showAgent,
      onTranscript: showCaption,
      onUsage: showUsage,
      onLevel: showLevel,
      onRtt: ({ ms }) => show("rtt", ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`),
      onGap: ({ ms }) =>
        notice("wait", `${(ms / 1000).toFixed(1)} s of what you said were lost`, "The connection was away for too long. Please say it again."),
      onMicrophone: ({ live }) => {
        if (live) void listMicrophones();
      },
      onError: (error) => {
        // The state says that the connection is lost (no token comes without one, either), and before there was a connection the promise
        // says what is wrong.
        const known = !call || error.code === "link_lost" || (error.code === "token_unavailable" && call.state === "reconnecting");
        if (!known) showError(error);
      },
      onEnded: showEnd,
    });
    if (connected.state === "closed") return;
    call = connected;
    attempt = undefined;
    showControls(true);
    if (call.engine === "page") {
      notice("wait", "The engine runs on the page", "No Worker could be started, so a busy page can delay the sound.");
    }
  } catch (thrown) {
    attempt = undefined;
    if (signal.aborted) showEnd({ reason: "normal" });
    else showFailure(thrown);
  }
}

async function token() {
  const response = await fetch("/dev/token", { cache: "no-store" });
  if (!response.ok) throw new Error(`/dev/token answered ${response.status}`);
  return (await response.text()).trim();
}

function hangUp() {
  stopOutage();
  showControls(false);
  attempt?.abort();
  void call?.close();
}

/** @param {Events["state"]} event */
function showState({ state, attempt: failed, retryInMs }) {
  clearInterval(countdownTimer);
  show("countdown", "");
  action("hang-up");
  if (state === "connected") return showAgent({ state: agentState });
  if (state === "closed") return;
  const said = STATES[state];
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
  if (call && call.state !== "connected") return;
  const [headline, hint] = AGENT[state];
  show("agent", headline);
  if (call?.muted) say("You are muted", "Nothing is sent, and nothing is billed for listening.", "Muted", "wait");
  else say(headline, hint, "Connected", "good");
}

/** @param {Events["session"]} event */
function showSession({ recording, limits }) {
  const most = `at most ${Math.round(limits.sessionMs / 60_000)} minutes and ${dollars(limits.budgetNanoUsd)}`;
  show("foot", `${recording ? "This call is recorded. " : ""}This call lasts ${most}.`);
}

/** @param {Events["transcript"]} event */
function showCaption({ role, turn, text, last }) {
  const id = `${role}-${turn}`;
  let line = document.getElementById(id);
  if (!line) {
    line = document.createElement("li");
    line.id = id;
    line.className = role;
    const who = document.createElement("b");
    who.textContent = role === "user" ? "You" : "Agent";
    line.append(who, document.createElement("span"));
    captions.append(line);
  }
  line.dataset.last = String(last);
  const words = line.querySelector("span");
  // What was said is foreign text: never HTML.
  if (words) words.textContent = text;
  element("empty").hidden = true;
  captions.scrollTop = captions.scrollHeight;
}

/** @param {Events["usage"]} event */
function showUsage({ audioMs, costNanoUsd }) {
  const seconds = audioMs / 1000;
  const whole = Math.floor(seconds);
  show("seconds", seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`);
  show("cost", dollars(costNanoUsd));
}

/** Six digits while it is less than a cent. @param {number} nanoUsd */
function dollars(nanoUsd) {
  const value = nanoUsd / 1e9;
  return `$${value.toFixed(value < 0.01 ? 6 : value < 1 ? 4 : 2)}`;
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
  const failed = reason !== "normal" && reason !== "idle" && reason !== "too_long";
  over(...(ENDS[reason] ?? ["Call ended", `The relay ended it: ${reason}.`]), "Ended", failed ? "bad" : "idle");
}

/** @param {unknown} thrown */
function showFailure(thrown) {
  const [headline, hint] = words(thrown);
  over(headline, hint, "Failed", "bad");
}

/** @param {unknown} thrown */
function showError(thrown) {
  notice(thrown instanceof VoxrelayError && thrown.retryable ? "wait" : "bad", ...words(thrown));
}

/** @param {unknown} thrown @returns {[string, string]} */
function words(thrown) {
  const known = thrown instanceof VoxrelayError ? ERRORS[thrown.code] : undefined;
  return known ?? ["Something went wrong", thrown instanceof Error ? thrown.message : String(thrown)];
}

/** @param {string} headline @param {string} hint @param {string} pill @param {Tone} tone */
function over(headline, hint, pill, tone) {
  call = attempt = undefined;
  stopOutage();
  showControls(false);
  clearInterval(countdownTimer);
  show("countdown", "");
  showLevel({ inputRms: -100, inputPeak: -100, outputRms: -100, outputPeak: -100 });
  show("agent", "–");
  action("call");
  say(headline, hint, pill, tone);
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
  element("pill").dataset.tone = halo.dataset.tone = tone;
}

/** @param {boolean} live */
function showControls(live) {
  mute.disabled = cut.disabled = !live;
  meter.toggleAttribute("data-off", !live);
  element("picker").hidden = !live || microphones.length < 2;
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

/** @param {"wait" | "bad"} tone @param {string} title @param {string} advice */
function notice(tone, title, advice) {
  const line = document.createElement("li");
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

function reset() {
  agentState = "listening";
  captions.replaceChildren();
  element("notices").replaceChildren();
  element("empty").hidden = false;
  showUsage({ audioMs: 0, tokens: 0, characters: 0, cost: 0, costNanoUsd: 0, leftNanoUsd: 0 });
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
