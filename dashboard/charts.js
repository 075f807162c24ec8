// Charts, each with the table behind it. Without the library that paints them the table is there alone, and open.

import { asTable, el } from "./dom.js";

/** @type {Set<() => void>} */
const shown = new Set();

/** Forgets the charts of the page before. */
export function clearCharts() {
  shown.clear();
}

addEventListener("resize", () => shown.forEach((fit) => fit()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown.forEach((fit) => fit()));

/**
 * @param {{ title: string, times: string[], lines: { name: string, values: (number | null)[] }[], write: (value: number) => string, least?: number, isWide?: boolean, beside?: Node }} chart
 *   `write` writes a value as people read it. Values that are multiples of `least` are told apart by what it writes. `beside` stands below the title.
 */
export function chart({ title, times, lines, write, least = 1, isWide = false, beside }) {
  const Plot = /** @type {any} */ (globalThis).uPlot;
  const columns = [{ name: "Time (UTC)" }, ...lines.map(({ name }) => ({ name, isNumber: true }))];
  const rows = times.map((time, at) => [
    `${time.slice(0, 10)} ${time.slice(11, 16)}`,
    ...lines.map(({ values }) => (values[at] === null ? "–" : write(/** @type {number} */ (values[at])))),
  ]);
  const behind = asTable(title, columns, rows, !Plot);
  const place = el("div", { class: "plot", role: "img", "aria-label": `${title}: a chart; its figures are in the table below.` });
  const card = el("section", { class: isWide ? "card all" : "card" }, el("h2", {}, title), ...(beside ? [beside] : []), ...(Plot ? [place] : []), behind);
  if (Plot) {
    const paint = () => {
      // A page may have taken other days in its place.
      if (!place.isConnected) return void shown.delete(paint);
      const width = place.clientWidth;
      if (width === 0) return;
      place.replaceChildren();
      paintInto(Plot, place, { times, lines, write, least, width });
    };
    shown.add(paint);
    requestAnimationFrame(paint);
  }
  return card;
}

/**
 * @param {any} Plot
 * @param {HTMLElement} place
 * @param {{ times: string[], lines: { name: string, values: (number | null)[] }[], write: (value: number) => string, least: number, width: number }} chart
 */
function paintInto(Plot, place, { times, lines, write, least, width }) {
  const style = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const colours = ["--accent", "--second", "--wait", "--stop"].map(colour);
  const written = (/** @type {any} */ _, /** @type {number | null} */ value) => (value === null || value === undefined ? "–" : write(value));
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const size = (/** @type {any} */ _, /** @type {(string | null)[] | null} */ values) => 18 + 7 * Math.max(3, ...(values ?? []).map((value) => value?.length ?? 0));
  // Marks between multiples of `least` would be written like those beside them, and have neither words nor a line.
  const isMark = (/** @type {number} */ value) => Math.abs(value / least - Math.round(value / least)) < 1e-6;
  const filter = (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((value) => (isMark(value) ? value : null));
  const values = (/** @type {any} */ _, /** @type {(number | null)[]} */ splits) => splits.map((value) => (value === null ? null : write(value)));
  const range = (/** @type {any} */ _, /** @type {number | null} */ __, /** @type {number | null} */ most) => [0, Math.max(1.1 * (most ?? 0), least)];
  const options = {
    width,
    height: 200,
    tzDate: (/** @type {number} */ seconds) => Plot.tzDate(new Date(seconds * 1_000), "Etc/UTC"),
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range } },
    axes: [axis, { ...axis, grid: { ...axis.grid, filter }, filter, size, values }],
    series: [
      { label: "Time (UTC)" },
      ...lines.map(({ name }, at) => ({
        label: name,
        stroke: colours[at % colours.length],
        width: 2,
        dash: at === 0 ? undefined : [4 + 4 * at, 4],
        value: written,
        points: { show: times.length < 3 },
      })),
    ],
  };
  const data = [times.map((time) => Date.parse(time) / 1_000), ...lines.map(({ values }) => values)];
  return new Plot(options, data, place);
}
