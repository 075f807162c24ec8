// One call: what was said, how long each stage of an answer took, what it cost, and its recording.

import { Refused, ask, read } from "./api.js";
import { busy, count, duration, el, leftOut, liveness, money, reading, refill, renew, said, table, takeAway, tell, tiles, when } from "./dom.js";
import { listening } from "./listening.js";
import { denyUser, endCall, giveCredit, tellAgent } from "./orders.js";
import { timeline } from "./timeline.js";

/** @typedef {{ turn: number, role: string, text: string, start_position: number, end_position: number, heard_position: number | null, created_at: string }} Said */

/** Pages of a transcript that are read: no call has more turns. */
const PAGES_MAX = 50;
/** The time between two looks at a call that goes on, in milliseconds. */
const LOOK_MS = 5_000;

/** @param {HTMLElement} place @param {AbortSignal} signal @param {string} id */
export async function call(place, signal, id) {
  const path = `/v1/admin/sessions/${encodeURIComponent(id)}`;
  const first = await read(path, {}, signal);
  const { user_sub: user, account, started_at: began } = first;
  let isLive = first.state === "live";
  const age = liveness();
  const orders = el("div", { class: "row" });
  const figures = el("dl", { class: "tiles all" });
  const about = el("section", { class: "card" });
  const talk = sayings(path, signal, isLive);
  const sound = el("section", { class: "card" });
  const whileLive = isLive ? [telling(id), listening(path, signal)] : [];

  /** What changes while a call goes on is shown anew in its place: somebody may be about to copy it, or to press it. @param {any} session */
  const show = (session) => {
    renew(figures, ...tiles(figuresOf(session)).children);
    renew(about, el("h2", {}, "About it"), table("About this call", [{ name: "What" }, { name: "Value" }], factsOf(session)));
    const end = session.state === "live" ? [button("End the call", "stop", () => void endIt())] : [];
    const credit = () => void giveCredit({ account, user, day: began.slice(0, 10) });
    renew(orders, ...end, button("Deny the user", "quiet", () => void denyIt()), button("Give credit", "quiet", credit));
    // One that is there, or on its way, is not taken away.
    if (!sound.querySelector("audio, button")) refill(sound, el("h2", {}, "Recording"), ...recording(path, session, signal));
  };
  /** Whether somebody writes there, or hears or reads something there. @param {HTMLElement} part */
  const isInUse = (part) => part.hasAttribute("data-used") || part.contains(document.activeElement) || [...part.querySelectorAll("input")].some(({ value }) => value !== "");
  const look = async () => {
    let session;
    try {
      session = await read(path, {}, signal);
    } catch (error) {
      if (!signal.aborted && isLive) age.stale(said(error));
      return;
    }
    if (!isLive) return;
    age.fresh();
    show(session);
    if (session.state === "live") return;
    isLive = false;
    tell("This call is over.");
    for (const part of whileLive) {
      if (!isInUse(part)) takeAway(part);
      else if (part.classList.contains("telling")) part.append(el("p", { class: "wrong" }, "This call is over: its agent can be told nothing more."));
    }
  };
  // What has become of an order is seen at once, also if its answer got lost.
  const endIt = async () => {
    const isDone = await endCall(id, user);
    await look();
    // Whoever has ended it has nothing more to say to it.
    if (isDone && !isLive) whileLive.forEach(takeAway);
  };
  const denyIt = async () => {
    if ((await denyUser(user)) && isLive) await look();
  };

  show(first);
  place.replaceChildren(
    el("div", { class: "head" }, el("h1", {}, `Call of ${user}`), orders),
    age.words,
    el("div", { class: "grid" }, ...whileLive, figures, about, sound, talk.section),
  );
  await talk.show();
  while (isLive && !signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    if (isLive && !signal.aborted) await look();
  }
}

/** @param {any} session @returns {[string, string][]} */
function figuresOf(session) {
  const end = session.ended_at ? Date.parse(session.ended_at) : Date.now();
  const lasted = (end - Date.parse(session.started_at)) / 1_000;
  return [
    ["State", session.state === "live" ? "live" : (session.end_reason ?? "–").replaceAll("_", " ")],
    ["Lasted", duration(Math.max(0, lasted))],
    ["Cost", money(session.cost_nano_usd)],
    ["Reconnects", count(session.reconnects)],
    ["Round trip", `${Math.round(session.rtt_avg_us / 1_000)} ms`],
    ["Lost sound", `${(session.lost_samples / 16_000).toFixed(1)} s`],
    ["Rating", session.rating ? `${session.rating} of 5` : "–"],
  ];
}

/** @param {any} session */
function factsOf(session) {
  return [
    ["Session", session.id],
    ["User", session.user_sub],
    ["Account", session.account],
    ["Plan", session.plan ?? "–"],
    ["Agent", session.agent],
    ["Client", session.client],
    ["Relay", session.relay || "–"],
    ["Began (UTC)", when(session.started_at)],
    ["Ended (UTC)", when(session.ended_at)],
    ["Longest round trip", `${Math.round(session.rtt_max_us / 1_000)} ms`],
    ["Comment", session.comment ?? "–"],
  ];
}

/** What the agent of a live call can be told. @param {string} id */
function telling(id) {
  const words = el("p", { class: "soft" });
  const form = (/** @type {"say" | "context"} */ kind, /** @type {string} */ label, /** @type {string} */ yes) => {
    const input = el("input", { id: `tell-${kind}`, required: true, maxlength: 4000, autocomplete: "off" });
    const send = el("button", { class: "quiet", type: "submit" }, yes);
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      const told = await busy(send, () => tellAgent(id, kind, input.value));
      words.textContent = told.words;
      tell(told.words);
      if (told.isDone) input.value = "";
    };
    return el("form", { class: "row", submit }, el("label", { for: input.id }, label, input), send);
  };
  return el("section", { class: "card all telling" }, el("h2", {}, "Tell the agent"), form("say", "To say, word by word", "Have it said"), form("context", "To know, without an answer", "Have it known"), words);
}

/** @param {string} name @param {string} kind @param {() => unknown} click */
function button(name, kind, click) {
  return el("button", { class: kind, type: "button", "data-of": name, click }, name);
}

/**
 * What was said. Of a call that goes on it is read anew when that is wanted, and not by itself: each reading is in the audit.
 * @param {string} path @param {AbortSignal} signal @param {boolean} isLive
 */
function sayings(path, signal, isLive) {
  const shown = reading(signal);
  const turns = el("div", {}, el("p", { class: "soft" }, "…"));
  const show = async () => {
    const isNew = await shown.show(async () => refill(turns, ...(await transcript(path, signal))));
    if (isNew) at.textContent = `As it was at ${when(new Date().toISOString())} (UTC).`;
    else if (shown.isEmpty()) refill(turns);
  };
  const at = el("p", { class: "soft" });
  const again = button("Read it again", "quiet", () => busy(again, show));
  const section = el("section", { class: "card all" }, el("h2", {}, "What was said"), ...(isLive ? [el("div", { class: "row line" }, again, at)] : []), shown.words, turns);
  return { section, show };
}

/** @param {string} path @param {AbortSignal} signal */
async function transcript(path, signal) {
  /** @type {(Said & import("./timeline.js").Answer)[]} */
  const turns = [];
  let damaged = 0;
  let cursor = "";
  try {
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const found = await read(`${path}/transcript`, { limit: 100, cursor }, signal);
      turns.push(...found.turns);
      damaged += found.damaged ?? 0;
      cursor = found.next ?? "";
      if (cursor === "") break;
    }
  } catch (error) {
    if (!(error instanceof Refused && error.needsReader)) throw error;
    return [el("p", { class: "soft" }, "This relay does not let this token read what was said.")];
  }
  if (turns.length === 0 && damaged > 0) return leftOut(damaged);
  if (turns.length === 0) return [el("p", { class: "soft" }, "Nothing was said, or it is not kept any more.")];
  const cut = (/** @type {Said} */ turn) => turn.role === "agent" && turn.heard_position !== null && turn.heard_position < turn.end_position;
  const lines = turns.map((turn) =>
    el(
      "li",
      { class: turn.role },
      el("p", { class: "soft" }, `${turn.role === "agent" ? "Agent" : "User"}, ${when(turn.created_at)} UTC${cut(turn) ? ", interrupted" : ""}`),
      el("p", {}, turn.text),
    ),
  );
  return [...leftOut(damaged), el("ol", { class: "said" }, ...lines), ...timeline(turns)];
}

/** @param {string} path @param {any} session @param {AbortSignal} signal */
function recording(path, session, signal) {
  if (!session.recorded) return [el("p", { class: "soft" }, "There is none.")];
  if (session.state === "live") return [el("p", { class: "soft" }, "It can be heard once the call is over.")];
  const wrong = el("p", { class: "wrong", role: "alert" });
  const get = async () => {
    wrong.textContent = "";
    try {
      const answer = await ask(`${path}/recording`, { signal });
      const address = URL.createObjectURL(await answer.blob());
      signal.addEventListener("abort", () => URL.revokeObjectURL(address), { once: true });
      const player = el("audio", { controls: true, src: address, "aria-label": "The recording: the user on the left, the agent on the right" });
      load.replaceWith(player);
      player.focus();
      tell("The recording is there.");
    } catch (error) {
      if (signal.aborted) return;
      const closed = error instanceof Refused && error.needsReader;
      wrong.textContent = closed ? "This relay does not let this token hear what was said." : said(error);
    }
  };
  const load = button("Load the recording", "quiet", () => busy(load, get));
  return [load, wrong];
}
