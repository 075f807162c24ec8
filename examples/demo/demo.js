// @ts-check
// The demo page: one call with the relay that serves it. Run it with `cargo xtask demo`. What is shown is the call's snapshot, and what the
// page notes beside that in `story.js`.

import { expected, introduced } from "./agent.js";
import { Captions } from "./captions.js";
import { dollars, duration, leftOf, milliseconds, priceOf } from "./figures.js";
import { Notices } from "./notices.js";
import { disable, element, show, showRows } from "./page.js";
import { Sound } from "./sound.js";
import { Story } from "./story.js";
import { Summary } from "./summary.js";
import { viewOf } from "./view.js";
import { PRIVACY } from "./words.js";
import { Writing } from "./writing.js";

/** @typedef {import("../../npm/src/index.ts").CallSnapshot} Snapshot */

const { Call, VoiceClient, VoxrelayError } = globalThis.Voxrelay;

/** How long the switch keeps the connection down, unless it is switched back before. */
const OUTAGE_MS = 15_000;
const TICK_MS = 200;
const TITLE = document.title;
/** The agent that the page's address asks for, if it does. */
const AGENT = new URLSearchParams(location.search).get("agent") || undefined;
const NONE = "–";

const button = element("call", HTMLButtonElement);
const mute = element("mute", HTMLButtonElement);
const cut = element("cut", HTMLButtonElement);
const more = element("more", HTMLButtonElement);
const details = element("details");
const captions = new Captions();
const notices = new Notices();
const summary = new Summary();
const writing = new Writing({
  begin: (text) => start(text),
  changed: () => render(),
  refused: (thrown) => {
    notices.trouble(thrown);
    // Without a microphone nothing else can be said to an agent that does not read.
    if (!story?.isSpoken && thrown instanceof VoxrelayError && thrown.code === "not_supported") hangUp();
  },
});
const sound = new Sound((deviceId) => {
  story?.call.setMicrophone(deviceId).catch((error) => notices.trouble(error));
});

/** The newest call. @type {Story | undefined} */
let story;
/** What was shown last. @type {Snapshot | undefined} */
let before;
/** The end of the call was shown. */
let isOver = true;
/** @type {(() => void) | undefined} */
let endOutage;
let outageTimer = 0;
let countdownTimer = 0;

// Every press counts: whatever the page is about, the next one takes it back.
button.addEventListener("click", () => {
  if (!story || story.isOver) start();
  else if (story.isEnding) {
    story.isAgain = !story.isAgain;
    render();
  } else hangUp();
});
mute.addEventListener("click", () => {
  story?.call.mute(!story.call.muted);
  render();
});
cut.addEventListener("click", () => (endOutage ? stopOutage() : startOutage()));
more.addEventListener("click", () => unfold(more.getAttribute("aria-expanded") !== "true"));
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && more.getAttribute("aria-expanded") === "true") unfold(false);
});
render();
// The engine is there when the button is pressed; a failure shows then.
VoiceClient.preload().catch(() => undefined);

/** Makes a call: with a microphone, or for what was typed. @param {string} [typed] */
function start(typed) {
  const call = new Call({
    url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/call`,
    token,
    ...(AGENT === undefined ? {} : { agent: AGENT }),
    ...(typed === undefined ? {} : { microphone: /** @type {const} */ (false) }),
  });
  const own = new Story(call, typed === undefined);
  /**
   * Lets nothing through of a call that was given up: another one may be running.
   * @template Event
   * @param {(event: Event) => void} listener
   */
  const current = (listener) => (/** @type {Event} */ event) => {
    if (story === own && !own.isOver) listener(event);
  };
  // The last words of the one before are not heard over this one's.
  if (story && !story.isHungUp) void story.call.close();
  story = own;
  before = undefined;
  isOver = false;
  captions.clear();
  notices.clear();
  summary.clear();
  show("rtt", NONE);
  show("answer", NONE);
  element("told").hidden = true;
  call.subscribe(() => {
    own.note();
    if (story === own) render();
  });
  call.levels.subscribe(() => story === own && own.isLive && sound.showLevels(call));
  // What no snapshot has.
  call.on("budget", current((budget) => {
    own.budgets.set(budget.scope, budget);
    notices.budget(budget);
    render();
  }));
  call.on("gap", current(({ ms }) => notices.lost((own.lostMs += ms))));
  call.on("degraded", current((event) => notices.degraded(event)));
  call.on("rtt", current(({ ms }) => show("rtt", milliseconds(ms))));
  call.on("latency", current(({ totalMs }) => totalMs !== null && show("answer", milliseconds(totalMs))));
  call.on("listened", current(({ listening }) => showTold(listening)));
  call.on("undelivered", current(({ message }) => message.type === "text" && writing.undelivered(message.text)));
  call.on("error", current((error) => {
    // The state says that the connection is lost (no token comes without one, either), and before there was a connection the promise
    // says what is wrong, unless it is being tried again.
    const known = own.isUp
      ? error.code === "link_lost" || (error.code === "token_unavailable" && call.state === "reconnecting")
      : !error.retryable;
    if (!known) notices.trouble(error, !own.isUp && error.code !== "microphone_silent");
  }));
  writing.begin(typed);
  call.connect().then(
    () => {
      own.isUp = true;
      if (story !== own || own.isOver) return;
      notices.connected();
      writing.connected(call);
      if (call.engine === "page") notices.onPage();
      render();
    },
    (thrown) => {
      if (!own.isHungUp) own.failure = thrown;
      if (story === own) render();
    },
  );
  render();
}

async function token() {
  const response = await fetch("/dev/token", { cache: "no-store" });
  if (!response.ok) throw new Error(`/dev/token answered ${response.status}`);
  return (await response.text()).trim();
}

function hangUp() {
  if (!story) return;
  story.isHungUp = true;
  void story.call.close();
  render();
}

/** Shows how things stand. */
function render() {
  const view = viewOf(story);
  const snapshot = story?.snapshot;
  button.dataset.action = view.action;
  show("call-label", view.action === "call" ? "Call" : "Hang up");
  show("headline", view.headline);
  show("hint", view.hint);
  show("pill-text", view.pill);
  show("agent", view.agent);
  // A tab in the background says, too, where the call stands.
  document.title = story ? `${view.pill} · ${TITLE}` : TITLE;
  element("pill").dataset.tone = element("halo").dataset.tone = view.tone;
  showControls();
  showAgent(snapshot?.session);
  // A WebSocket is what everybody expects.
  element("over-http").hidden = snapshot?.transport !== "http";
  if (story && snapshot) {
    showUsage(story);
    const { error } = before ?? {};
    // A session that began anew stays so when it is connected.
    if (error && !snapshot.error && error.code !== "resume_failed") notices.drop(error.code);
    captions.show(snapshot.captions, writing.waiting, (text) => writing.arrived(text));
    const { state, attempt, retryInMs } = before ?? {};
    if (state !== snapshot.state || attempt !== snapshot.attempt || retryInMs !== snapshot.retryInMs || !story.isLive) countDown();
    if (snapshot.state === "reconnecting") sound.silence();
    const { microphone } = snapshot.devices;
    if (microphone?.live && microphone !== before?.devices.microphone) void sound.list().then(showControls);
    before = snapshot;
  }
  if (story?.isOver && !isOver) end(story);
}

/** The call is over, and there is one thing to do: to call again. @param {Story} over */
function end(over) {
  isOver = true;
  stopOutage();
  sound.silence();
  writing.close();
  captions.show(over.snapshot.captions, writing.waiting, (text) => writing.arrived(text));
  notices.over(over.reason, over.spent);
  element("told").hidden = true;
  // The summary is in the conversation.
  unfold(false);
  if (over.isAgain) start();
  else if (over.isUp) captions.reveal(summary.show(over));
}

function showControls() {
  const isLive = story?.isLive === true;
  const isMuted = story?.snapshot.devices.muted === true;
  const isOpen = isLive && story?.isSpoken === true;
  disable(cut, !isLive, button);
  disable(mute, !isOpen, button);
  mute.dataset.muted = String(isOpen && isMuted);
  // Its name says what a press does: that it is pressed as well would say the opposite.
  show("mute-label", isOpen && isMuted ? "Unmute" : "Mute");
  sound.offer(isOpen, isMuted);
  writing.offer(!story || story.isOver || story.reads !== false, story?.isEnding === true);
  if (!isLive) stopOutage();
}

/** What the agent is, what a call of it costs, and how long it may last. @param {Snapshot["session"]} session */
function showAgent(session) {
  const about = session ? introduced(session, AGENT, story?.isOver === true) : expected(location.host, AGENT);
  show("about", about);
  show("about-brief", about);
  showRows("prices", session?.prices.items.map(priceOf) ?? []);
  const { limits, recording } = (!story?.isOver && session) || {};
  const [minutes, money] = limits ? [`${Math.round(limits.sessionMs / 60_000)} minutes`, dollars(limits.budgetNanoUsd)] : [NONE, NONE];
  show("longest", minutes);
  show("most", money);
  show("foot", limits ? `${recording ? "This call is recorded. " : ""}This call lasts at most ${minutes} and ${money}.` : PRIVACY);
  if (recording && element("told").hidden) showTold(false);
}

/** Says who else hears the call. @param {boolean} isListened By an operator. */
function showTold(isListened) {
  const isRecorded = story?.snapshot.session?.recording === true;
  element("told").hidden = !isListened && !isRecorded;
  show("told", isListened ? "An operator listens" : "Recorded");
}

/** @param {Story} told */
function showUsage({ snapshot, isSpoken, isUp, budgets, spent, reconnects }) {
  const { audioMs, tokens, costNanoUsd, leftNanoUsd } = snapshot.usage;
  show("billed", isSpoken ? "Billed time" : "Tokens");
  show("seconds", isSpoken ? duration(audioMs) : String(tokens));
  show("cost", dollars(costNanoUsd));
  show("brief", dollars(costNanoUsd));
  // Of a call that never was, and before the relay has told, nothing is known.
  show("left", isUp && (costNanoUsd > 0 || leftNanoUsd > 0) ? leftOf(leftNanoUsd) : "");
  const left = element("left");
  if (spent) left.dataset.tone = "bad";
  else if (budgets.size > 0) left.dataset.tone = "wait";
  else delete left.dataset.tone;
  show("reconnects", isUp ? String(reconnects) : NONE);
}

/** Counts down to the next attempt. Outside the live region, so that a screen reader does not read every second. */
function countDown() {
  clearInterval(countdownTimer);
  const { state, attempt, retryInMs } = story?.snapshot ?? {};
  if (state !== "reconnecting" || !story?.isLive) return show("countdown", "");
  const due = Date.now() + (retryInMs ?? 0);
  const tick = () => {
    const left = Math.ceil((due - Date.now()) / 1000);
    const next = left > 0 ? `Next attempt in ${left} s` : "Trying now …";
    show("countdown", attempt && attempt > 1 ? `${next} · ${attempt} failed` : next);
  };
  tick();
  countdownTimer = window.setInterval(tick, TICK_MS);
}

/** Shows the details in place of the conversation, where both have no room. @param {boolean} isOpen */
function unfold(isOpen) {
  const isInside = details.contains(document.activeElement);
  more.setAttribute("aria-expanded", String(isOpen));
  document.body.toggleAttribute("data-details", isOpen);
  if (isOpen) details.focus();
  else if (isInside) more.focus();
}

function startOutage() {
  if (!story?.isLive) return;
  endOutage = story.call.simulateOutage(OUTAGE_MS);
  outageTimer = window.setTimeout(stopOutage, OUTAGE_MS);
  cut.setAttribute("aria-checked", "true");
}

function stopOutage() {
  clearTimeout(outageTimer);
  endOutage?.();
  endOutage = undefined;
  cut.setAttribute("aria-checked", "false");
}
