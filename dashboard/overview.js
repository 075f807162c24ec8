// What is going on now, and what has been.

import { read, watchLive } from "./api.js";
import { chart } from "./charts.js";
import { LEAST_MONEY, count, duration, el, liveness, money, refill, renew, select, share, table, tell, tiles, when } from "./dom.js";
import { daysForm } from "./days.js";
import { endCall } from "./orders.js";

const STAGES = { stt: "understanding", llm: "thinking", tts: "speaking", send: "sending", heard: "until heard", total: "in all" };
/** The stage that was chosen last, also when other days are shown. */
let stageShown = "total";

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function overview(place, signal) {
  const live = el("section", { class: "card all", "aria-labelledby": "live-title" }, el("h2", { id: "live-title" }, "Calls now"));
  const past = el("div", { class: "grid" });
  const form = daysForm(async (days) => {
    const found = await read("/v1/admin/overview", days, signal);
    refill(past, ...sums(found));
  }, signal);
  place.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Overview"), form.element), el("div", { class: "grid" }, live), el("div", { class: "gap" }), past);
  void watchLive(signal, liveCalls(live));
  await form.show();
}

/**
 * Shows the calls that go on, as the stream tells them. Those that were told last stay when it breaks, and are said to be old.
 * @param {HTMLElement} place
 */
function liveCalls(place) {
  const age = liveness();
  const list = el("div", {}, el("p", { class: "soft" }, "…"));
  place.append(age.words, list);
  let isKnown = false;
  return (/** @type {{ sessions: any[], more: boolean } | undefined} */ line, /** @type {string} */ why) => {
    if (line) {
      isKnown = true;
      age.fresh();
      renew(list, ...calls(line));
    } else if (isKnown) age.stale(why);
    else renew(list, el("p", { class: "wrong" }, `The live calls cannot be read at the moment. ${why} They are asked for again.`));
  };
}

/** @param {{ sessions: any[], more: boolean }} line @returns {Node[]} */
function calls({ sessions, more }) {
  const number = more ? `more than ${count(sessions.length)}` : count(sessions.length);
  const words = el("p", { class: "soft" }, sessions.length === 0 ? "Nobody talks to an agent." : `${number} ${sessions.length === 1 ? "call" : "calls"}`);
  const rows = sessions.map((session) => [
    el("a", { href: `#/call/${encodeURIComponent(session.id)}`, "data-of": `call ${session.id}` }, session.user_sub),
    session.agent,
    session.account,
    when(session.started_at),
    money(session.cost_nano_usd),
    el("button", { class: "quiet", type: "button", "data-of": `end ${session.id}`, "aria-label": `End the call of ${session.user_sub}`, click: () => endCall(session.id, session.user_sub) }, "End"),
  ]);
  const columns = [{ name: "User" }, { name: "Agent" }, { name: "Account" }, { name: "Began (UTC)" }, { name: "Cost", isNumber: true }, { name: "End it" }];
  return [words, ...(rows.length > 0 ? [table("Calls now", columns, rows)] : [])];
}

/** @param {number} value */
function ms(value) {
  return `${count(Math.round(value))} ms`;
}

/** Minutes, with a digit after the point where they are no whole ones. @param {number} value */
function minutes(value) {
  return count(value, Number.isInteger(value) ? 0 : 1);
}

/** How long answers took over time, of the stage that is chosen. @param {string[]} times @param {any[]} series */
function latencies(times, series) {
  const picked = select("stage", "stage", STAGES);
  picked.value = stageShown;
  picked.setAttribute("data-of", "stage");
  const of = (/** @type {string} */ percentile) => series.map((step) => step.stages.find((/** @type {any} */ known) => known.stage === picked.value)?.[percentile] ?? null);
  const paint = () =>
    chart({
      title: `How long answers took: ${STAGES[/** @type {keyof typeof STAGES} */ (picked.value)]}`,
      times,
      lines: [
        { name: "Half within", values: of("p50_ms") },
        { name: "95 % within", values: of("p95_ms") },
        { name: "99 % within", values: of("p99_ms") },
      ],
      write: ms,
      isWide: true,
      beside: el("div", { class: "row narrow" }, el("label", { for: picked.id }, "Stage", picked)),
    });
  let shown = paint();
  picked.addEventListener("change", () => {
    stageShown = picked.value;
    const before = shown;
    const isOpen = before.querySelector("details").open;
    shown = paint();
    shown.querySelector("details").open = isOpen;
    before.replaceWith(shown);
    picked.focus();
    tell(`How long answers took: ${picked.selectedOptions[0].textContent}`);
  });
  return shown;
}

/** @param {any} found */
function sums({ total, series, endings }) {
  const times = series.map((/** @type {any} */ step) => step.at);
  const of = (/** @type {(step: any) => number | null} */ figure) => series.map(figure);
  const rate = (/** @type {any} */ step) => (step.calls === 0 ? null : (100 * (step.calls - step.failed)) / step.calls);
  const figures = tiles([
    ["Calls", count(total.calls)],
    ["Minutes", count(Math.round(total.seconds / 60))],
    ["Money", money(total.cost_nano_usd)],
    ["Success", share(total.calls - total.failed, total.calls)],
    ["Reconnects", count(total.reconnects)],
    ["Interrupted", share(total.interrupted, total.answers)],
  ]);
  figures.classList.add("all");
  const stages = total.stages.map((/** @type {any} */ known) => [
    STAGES[/** @type {keyof typeof STAGES} */ (known.stage)] ?? known.stage,
    count(known.turns),
    ms(known.p50_ms),
    ms(known.p95_ms),
    ms(known.p99_ms),
  ]);
  const columns = [{ name: "Stage" }, ...["Answers", "Half within", "95 % within", "99 % within"].map((name) => ({ name, isNumber: true }))];
  const nothing = el("p", { class: "soft" }, "Nothing is known of these days.");
  return [
    figures,
    chart({ title: "Calls", times, lines: [{ name: "Calls", values: of((step) => step.calls) }, { name: "Reconnects", values: of((step) => step.reconnects) }], write: count }),
    chart({ title: "Minutes", times, lines: [{ name: "Minutes", values: of((step) => step.seconds / 60) }], write: minutes, least: 0.1 }),
    chart({ title: "Money", times, lines: [{ name: "Spent", values: of((step) => step.cost_nano_usd) }], write: money, least: LEAST_MONEY }),
    chart({ title: "Success rate", times, lines: [{ name: "Success", values: of(rate) }], write: (value) => `${value.toFixed(0)} %` }),
    latencies(times, series),
    el("section", { class: "card" }, el("h2", {}, "Answers by stage"), stages.length > 0 ? table("Answers by stage", columns, stages) : nothing.cloneNode(true)),
    el(
      "section",
      { class: "card" },
      el("h2", {}, "How calls ended"),
      endings.length > 0
        ? table(
            "How calls ended",
            [{ name: "Reason" }, { name: "Calls", isNumber: true }, { name: "Counts as" }],
            endings.map((/** @type {any} */ ending) => [ending.reason.replaceAll("_", " "), count(ending.calls), ending.failed ? "failed" : "as wished"]),
          )
        : nothing,
      el("p", { class: "soft" }, `On average a call lasted ${total.calls === 0 ? "–" : duration(total.seconds / total.calls)}.`),
    ),
  ];
}
