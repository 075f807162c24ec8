// How long each stage of an agent's answers took: a bar for each answer, and the table behind it.

import { asTable, count, el, svg } from "./dom.js";

/** @typedef {{ turn: number, total_ms: number | null } & Record<string, any>} Answer */

/** The stages in their order: one begins where the one before has ended. */
const STAGES = [
  ["stt_ms", "understanding"],
  ["llm_ms", "thinking"],
  ["tts_ms", "speaking"],
  ["send_ms", "sending"],
  ["heard_ms", "until heard"],
];
const TITLE = "How long its answers took";
/** Of a bar, in pixels. */
const HEIGHT = 12;

/** @param {Answer[]} turns @returns {Node[]} Nothing if nothing is known of any. */
export function timeline(turns) {
  const answers = turns.filter((turn) => STAGES.some(([stage]) => turn[stage] !== null) || turn.total_ms !== null);
  if (answers.length === 0) return [];
  const took = (/** @type {Answer} */ answer) => STAGES.reduce((sum, [stage]) => sum + (answer[stage] ?? 0), 0);
  const longest = answers.reduce((most, answer) => Math.max(most, took(answer)), 1);
  const bars = answers.map((answer) =>
    el("div", { class: "bar" }, el("span", { class: "soft" }, `Turn ${answer.turn}`), bar(answer, longest), el("span", { class: "soft number" }, `${count(took(answer))} ms`)),
  );
  const legend = STAGES.map(([, name], at) => el("li", {}, svg("svg", { width: HEIGHT, height: HEIGHT, "aria-hidden": "true" }, piece(at, 0, HEIGHT)), name));
  const ms = (/** @type {number | null | undefined} */ value) => (value === null || value === undefined ? "–" : `${count(value)} ms`);
  const rows = answers.map((answer) => [String(answer.turn), ...STAGES.map(([stage]) => ms(answer[stage])), ms(answer.total_ms)]);
  const columns = [{ name: "Turn" }, ...[...STAGES.map(([, name]) => name), "in all, until sent"].map((name) => ({ name, isNumber: true }))];
  return [
    el("h2", {}, TITLE),
    el("ul", { class: "legend soft" }, ...legend),
    el("div", { class: "bars", role: "img", "aria-label": `${TITLE}: bars; their figures are in the table below.` }, ...bars),
    asTable(TITLE, columns, rows),
  ];
}

/** The bar of an answer, as wide as its place if it is the longest. @param {Answer} answer @param {number} longest In milliseconds. */
function bar(answer, longest) {
  let from = 0;
  const pieces = STAGES.map(([stage], at) => {
    const ms = answer[stage] ?? 0;
    from += ms;
    return piece(at, from - ms, ms);
  });
  return svg("svg", { viewBox: `0 0 ${longest} ${HEIGHT}`, preserveAspectRatio: "none", width: "100%", height: HEIGHT }, ...pieces);
}

/** @param {number} stage @param {number} x @param {number} width */
function piece(stage, x, width) {
  return svg("rect", { class: `stage-${stage}`, x, y: 0, width, height: HEIGHT });
}
