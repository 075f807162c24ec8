// @ts-check
// What a call costs its page, measured in a real Chromium against a real relay with its echo agent: threads, memory, quanta, and how soon a
// click is a chunk at the relay. The microphone is a file that speaks half of the time, and is given back raw. `cargo xtask bench page` prints
// it; tests/engines/page-cost.test.mjs keeps it alive.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { bareSocket } from "./bare-socket.mjs";
import { launch } from "./chromium.mjs";
import { heaps } from "./heaps.mjs";
import { PageServer } from "./page-server.mjs";
import "./priority.mjs";
import { Proxy } from "./proxy.mjs";
import { Relay, until } from "./relay.mjs";
import { speak } from "./speech.mjs";
import { Threads } from "./threads.mjs";

/** A turn: words, and a pause as long, in which the agent says them back. */
const WORDS = "please tell me how long the way to the station is, and whether there is a bus that goes there in the evening";
const ANSWER_S = 1.5;
/** Below every voice, and above what 16 bits take for silence: -66 dB. What is given back is never silent to the last bit. */
const HISS = "0.0005";

/** From the opening of the microphone until a call is like any other moment of it. */
const SETTLED_MS = 4_000;
/** For so long, at most, is measured what stands beside the call. */
const LONG_ENOUGH_S = 60;
/** A page is ready for a click after this. */
const READY_MS = 500;
/** What a page burns that checks the measurement: so much of each tenth of a second. */
const BURNT_MS = 10;
const CHUNK_SAMPLES = 1_600;
/** A disk that takes no time, on Linux. */
const MEMORY = "/dev/shm";

/** @typedef {Awaited<ReturnType<typeof measurePage>>} PageCost */
/** @typedef {{ open: (name: string, query?: string) => Promise<import("playwright-core").Page>, browser: import("playwright-core").Browser }} Pages */

/**
 * @param {import("./stage.mjs").Stage} stage
 * @param {{ seconds: number, clicks: number }} wanted How long the call is measured, and how often a button is clicked.
 */
export async function measurePage(stage, { seconds, clicks }) {
  // How fast the disk of this machine is says nothing about a page.
  const data = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), "voxrelay-data-"));
  stage.after(() => rmSync(data, { recursive: true, force: true }));
  const relay = await Relay.start({ VOXRELAY_DATA_DIR: data });
  stage.after(() => relay.stop());
  const server = await PageServer.start(relay.port);
  stage.after(() => server.stop());
  const proxy = await Proxy.start(server.port);
  stage.after(() => proxy.stop());
  const bare = await Proxy.start(await bareSocket(stage));
  stage.after(() => bare.stop());
  const browser = await launch(stage, { microphone: microphone(stage, seconds + 2 * (SETTLED_MS / 1_000)) });
  const context = await browser.newContext();
  const open = async (/** @type {string} */ name, query = "") => {
    const page = await context.newPage();
    await page.goto(`${proxy.url}${PageServer.path}${name}.html${query}`);
    return page;
  };
  const pages = { open, browser };

  const shortly = Math.min(seconds / 2, LONG_ENOUGH_S);
  const checked = await otherPages(pages, bare, shortly);
  const metered = await measureCall(pages, "?gauge&levels", proxy, shortly);
  const call = await measureCall(pages, "?gauge", proxy, seconds);
  const click = await measureClicks(pages, "cost", "", proxy, clicks);
  const bareClick = await measureClicks(pages, "bare", `?port=${bare.port}`, bare, clicks);
  return { seconds, clicks, ...checked, metered, call, click, bareClick };
}

/**
 * A microphone that speaks and pauses in turn.
 * @param {import("./stage.mjs").Stage} stage
 * @param {number} seconds
 */
function microphone(stage, seconds) {
  const words = speak(stage, [WORDS]);
  const turn = speak(stage, [WORDS, words.seconds + ANSWER_S]);
  const file = join(dirname(turn.file), "hissing.wav");
  const times = `${Math.ceil(seconds / turn.seconds)}`;
  const spoken = join(dirname(turn.file), "spoken.wav");
  execFileSync("sox", [turn.file, spoken, "repeat", times]);
  const hiss = join(dirname(turn.file), "hiss.wav");
  execFileSync("sox", ["-R", spoken, hiss, "synth", "whitenoise", "vol", HISS]);
  execFileSync("sox", ["-m", "-v", "1", spoken, "-v", "1", hiss, file]);
  return file;
}

/**
 * What pages without a call take: the bare one, one that does nothing, and one of which it is known.
 * @param {Pages} pages @param {Proxy} bare @param {number} seconds
 */
async function otherPages({ open, browser }, bare, seconds) {
  const own = async (/** @type {string} */ name, query = "", prepare = async (/** @type {import("playwright-core").Page} */ _) => {}) => {
    const page = await open(name, query);
    await prepare(page);
    const threads = await Threads.of(browser, page);
    await sleep(SETTLED_MS);
    const chromium = await chromiumsAccount(page);
    const used = percents(await threads.during(() => sleep(seconds * 1_000)));
    const tasks = await chromium();
    await page.close();
    return { ...used, tasks };
  };
  const idle = await own("idle");
  const burning = await own("idle", "", (page) =>
    page.evaluate((ms) => {
      setInterval(() => {
        const end = performance.now() + ms;
        while (performance.now() < end);
      }, 10 * ms);
    }, BURNT_MS),
  );
  const bareCall = await own("bare", `?port=${bare.port}`, (page) => page.click("#call"));
  return { idle, burning, bare: bareCall };
}

/**
 * Chromium's own account of its tasks on the page's thread, by the thread's clock: it stands beside the kernel's where nothing else is measured.
 * @param {import("playwright-core").Page} page
 * @returns {Promise<() => Promise<number>>} Gives the % of a core since now.
 */
async function chromiumsAccount(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const tasks = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")?.value ?? 0;
  };
  const [before, begin] = [await tasks(), performance.now()];
  return async () => (100_000 * ((await tasks()) - before)) / (performance.now() - begin);
}

/** @param {{ seconds: number, ms: Record<string, number> }} used In % of a core: the page's thread, the Worker's, and those that render sound. */
function percents({ seconds, ms }) {
  const of = (/** @type {RegExp} */ name) =>
    Object.entries(ms).reduce((sum, [own, value]) => sum + (name.test(own) ? value : 0), 0) / seconds / 10;
  return { main: of(/^main$/), worker: of(/^DedicatedWorker/), audio: of(/^(Audio|Realtime Audio)/), all: of(/./), threads: ms };
}

/**
 * One call, once it has settled.
 * @param {Pages} pages @param {string} query @param {Proxy} proxy @param {number} seconds
 */
async function measureCall({ open, browser }, query, proxy, seconds) {
  const page = await open("cost", query);
  const threads = await Threads.of(browser, page);
  await page.click("#call");
  await until("the call is up", () => page.evaluate(() => /** @type {any} */ (globalThis).cost.times().connected));
  const counts = () => page.evaluate(() => /** @type {any} */ (globalThis).cost.counts());
  await counts();
  await sleep(SETTLED_MS);
  const [heapsBefore, before, begin] = [await heaps(page), await counts(), Date.now()];
  const used = percents(await threads.during(() => sleep(seconds * 1_000)));
  const [end, after, heapsAfter] = [Date.now(), await counts(), await heaps(page)];
  await page.evaluate(() => /** @type {any} */ (globalThis).cost.close());
  await page.close();

  const frames = proxy.audioUp(begin, end);
  const gaps = frames.slice(1).map((frame, i) => ({ ms: frame.time - frames[i].time, samples: frame.position - frames[i].position }));
  return {
    engine: after.engine,
    errors: after.errors,
    ...used,
    memory: { before: heapsBefore, after: heapsAfter },
    tap: difference(before.quanta["voxrelay-tap"], after.quanta["voxrelay-tap"]),
    playback: difference(before.quanta["voxrelay-playback"], after.quanta["voxrelay-playback"]),
    loudspeaker: difference(before.loudspeaker, after.loudspeaker),
    microphone: difference(before.microphone, after.microphone),
    answers: after.answers - before.answers,
    gaps: after.gaps,
    chunks: {
      count: frames.length,
      longestGapMs: Math.max(0, ...gaps.map(({ ms }) => ms)),
      lost: gaps.filter(({ samples }) => samples !== CHUNK_SAMPLES).length,
    },
  };
}

/** @param {Record<string, number>} [before] @param {Record<string, number>} [after] @returns {Record<string, number>} */
function difference(before = {}, after = {}) {
  return Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]));
}

/**
 * From a click to the first audio frame at the relay's side, with a fresh page each time that has loaded everything a page can load before.
 * @param {Pages} pages @param {string} name @param {string} query @param {Proxy} proxy @param {number} clicks
 */
async function measureClicks({ open }, name, query, proxy, clicks) {
  const trials = [];
  for (let click = 0; click < clicks; click += 1) {
    const page = await open(name, query);
    await page.evaluate(() => /** @type {any} */ (globalThis).cost.preload());
    await sleep(READY_MS);
    const seen = proxy.frames.length;
    await page.click("#call");
    const first = await until("a chunk is there", () => proxy.frames.slice(seen).find(({ direction, opcode }) => direction === "up" && opcode === 2));
    /** @type {Record<string, number>} */
    const times = await page.evaluate(() => /** @type {any} */ (globalThis).cost.times());
    const stages = Object.entries(times).map(([stage, time]) => [stage, time - times.click]);
    trials.push({ ms: first.time - times.click, stages: Object.fromEntries(stages) });
    await page.evaluate(() => /** @type {any} */ (globalThis).cost.close());
    await page.close();
  }
  const sorted = trials.map(({ ms }) => ms).toSorted((a, b) => a - b);
  const quantile = (/** @type {number} */ part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return { half: quantile(0.5), most: quantile(0.95), longest: quantile(1), shortest: sorted[0], trials };
}
