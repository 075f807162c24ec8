// One call: what was said, how long each stage of an answer took, what it cost, and its recording.

import { Refused, ask, read } from "./api.js";
import { busy, count, duration, el, money, refill, table, tell, tiles, when } from "./dom.js";
import { listening } from "./listening.js";
import { denyUser, endCall, giveCredit, tellAgent } from "./orders.js";
import { timeline } from "./timeline.js";

/** @typedef {{ turn: number, role: string, text: string, start_position: number, end_position: number, heard_position: number | null, created_at: string }} Said */

/** Pages of a transcript that are read: no call has more turns. */
const PAGES_MAX = 50;

/** @param {HTMLElement} place @param {AbortSignal} signal @param {string} id */
export async function call(place, signal, id) {
  const path = `/v1/admin/sessions/${encodeURIComponent(id)}`;
  const session = await read(path, {}, signal);
  const user = session.user_sub;
  const again = () => void call(place, signal, id);
  const orders = el(
    "div",
    { class: "row" },
    ...(session.state === "live" ? [button("End the call", "stop", async () => (await endCall(id, user)) && again())] : []),
    button("Deny the user", "quiet", () => denyUser(user)),
    button("Give credit", "quiet", () => giveCredit({ account: session.account, user, day: session.started_at.slice(0, 10) })),
  );
  const end = session.ended_at ? Date.parse(session.ended_at) : Date.now();
  const lasted = (end - Date.parse(session.started_at)) / 1_000;
  const figures = tiles([
    ["State", session.state === "live" ? "live" : (session.end_reason ?? "–").replaceAll("_", " ")],
    ["Lasted", duration(Math.max(0, lasted))],
    ["Cost", money(session.cost_nano_usd)],
    ["Reconnects", count(session.reconnects)],
    ["Round trip", `${Math.round(session.rtt_avg_us / 1_000)} ms`],
    ["Lost sound", `${(session.lost_samples / 16_000).toFixed(1)} s`],
    ["Rating", session.rating ? `${session.rating} of 5` : "–"],
  ]);
  figures.classList.add("all");
  const facts = [
    ["User", user],
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
  const about = el("section", { class: "card" }, el("h2", {}, "About it"), table("About this call", [{ name: "What" }, { name: "" }].map(named), facts));
  const said = el("section", { class: "card all" }, el("h2", {}, "What was said"), el("p", { class: "soft" }, "…"));
  const sound = el("section", { class: "card" }, el("h2", {}, "Recording"), ...recording(path, session.recorded, signal));
  // It is shown anew once the call is ended.
  refill(place, el("div", { class: "head" }, el("h1", {}, `Call of ${user}`), orders), el("div", { class: "grid" }, ...(session.state === "live" ? [telling(id), listening(path, signal)] : []), figures, about, sound, said));
  said.replaceChildren(el("h2", {}, "What was said"), ...(await transcript(path, signal)));
}

/** What the agent of a live call can be told. @param {string} id */
function telling(id) {
  const words = el("p", { class: "soft" });
  const form = (/** @type {"say" | "context"} */ kind, /** @type {string} */ label, /** @type {string} */ yes) => {
    const input = el("input", { id: `tell-${kind}`, required: true, maxlength: 4000, autocomplete: "off" });
    const send = el("button", { class: "quiet", type: "submit" }, yes);
    // Of a text whose answer got lost nobody knows whether the agent was told it: sent again, it is told once.
    let unsure = { text: "", key: "" };
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      const text = input.value;
      if (text !== unsure.text) unsure = { text, key: crypto.randomUUID() };
      const told = await busy(send, () => tellAgent(id, kind, text, unsure.key));
      if (!told.isOpen) unsure = { text: "", key: "" };
      words.textContent = told.words;
      tell(told.words);
      if (told.isDone) input.value = "";
    };
    return el("form", { class: "row", submit }, el("label", { for: input.id }, label, input), send);
  };
  return el("section", { class: "card all telling" }, el("h2", {}, "Tell the agent"), form("say", "To say, word by word", "Have it said"), form("context", "To know, without an answer", "Have it known"), words);
}

/** A column without a heading has one for screen readers. @param {{ name: string }} column */
function named(column) {
  return column.name === "" ? { name: "Value" } : column;
}

/** @param {string} name @param {string} kind @param {() => unknown} click */
function button(name, kind, click) {
  return el("button", { class: kind, type: "button", click }, name);
}

/** @param {string} path @param {AbortSignal} signal */
async function transcript(path, signal) {
  /** @type {(Said & import("./timeline.js").Answer)[]} */
  const turns = [];
  let cursor = "";
  try {
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const found = await read(`${path}/transcript`, { limit: 100, cursor }, signal);
      turns.push(...found.turns);
      cursor = found.next ?? "";
      if (cursor === "") break;
    }
  } catch (error) {
    if (signal.aborted) return [];
    const closed = error instanceof Refused && error.needsReader;
    const words = error instanceof Error ? error.message : String(error);
    return [el("p", { class: "soft" }, closed ? "This relay does not let this token read what was said." : words)];
  }
  if (turns.length === 0) return [el("p", { class: "soft" }, "Nothing was said, or it is not kept any more.")];
  const cut = (/** @type {Said} */ turn) => turn.role === "agent" && turn.heard_position !== null && turn.heard_position < turn.end_position;
  const lines = turns.map((turn) =>
    el(
      "li",
      { class: turn.role },
      el("p", { class: "soft" }, `${turn.role === "agent" ? "Agent" : "User"}, ${when(turn.created_at)}${cut(turn) ? ", interrupted" : ""}`),
      el("p", {}, turn.text),
    ),
  );
  return [el("ol", { class: "said" }, ...lines), ...timeline(turns)];
}

/** @param {string} path @param {boolean} isThere @param {AbortSignal} signal */
function recording(path, isThere, signal) {
  if (!isThere) return [el("p", { class: "soft" }, "There is none.")];
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
      wrong.textContent = closed ? "This relay does not let this token hear what was said." : String(error instanceof Error ? error.message : error);
    }
  };
  const load = button("Load the recording", "quiet", () => busy(load, get));
  return [load, wrong];
}
