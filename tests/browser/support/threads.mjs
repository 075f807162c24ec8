// @ts-check
// What the threads of a page's process took of the processor, as the kernel accounts for it: /proc/PID/task/TID/schedstat says it in
// nanoseconds. Chromium's own `Performance.getMetrics` counts how long tasks lasted, and a task that is preempted on a busy machine lasts longer;
// its tracing costs time on the very threads that are measured. The kernel's account also has what no task of the page is charged for, such as
// Chromium's own work on the thread. A page that is known to burn a tenth of a core checks it: see page-cost.mjs. Linux only.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** How a page's process is found: it burns for so long, and pauses as long, so often. */
const BURN_MS = 100;
const BURSTS = 4;

/** Nanoseconds on a processor so far, by thread. @typedef {Map<string, { name: string, ns: number }>} Taken */

/** @param {number} pid @returns {Taken} */
function taken(pid) {
  const threads = new Map();
  if (!existsSync(`/proc/${pid}/task`)) return threads;
  for (const id of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [ns] = readFileSync(`/proc/${pid}/task/${id}/schedstat`, "utf8").split(" ");
      // The main thread has its process's name.
      const name = id === `${pid}` ? "main" : readFileSync(`/proc/${pid}/task/${id}/comm`, "utf8").trim();
      threads.set(id, { name, ns: Number(ns) });
    } catch {
      // It has ended meanwhile.
    }
  }
  return threads;
}

/**
 * Milliseconds on a processor between two looks, by the names of the threads, which Linux cuts after 15 characters.
 * @param {Taken} before @param {Taken} after
 */
function spent(before, after) {
  /** @type {Record<string, number>} */
  const ms = {};
  for (const [id, { name, ns }] of after) ms[name] = (ms[name] ?? 0) + (ns - (before.get(id)?.ns ?? 0)) / 1e6;
  return ms;
}

/** The process of one page. */
export class Threads {
  /** @param {number} pid */
  constructor(pid) {
    this.pid = pid;
  }

  /**
   * Finds the page's process: the one of all renderers whose main thread is busy when the page is told to be, and only then. Others may be
   * busy at times, or about to end.
   * @param {import("playwright-core").Browser} browser
   * @param {import("playwright-core").Page} page
   */
  static async of(browser, page) {
    const session = await browser.newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    await session.detach();
    const renderers = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => ({ id, score: 0 }));
    const mainThreads = () => renderers.map(({ id }) => spent(new Map(), taken(id)).main ?? 0);
    for (let burst = 0; burst < BURSTS; burst += 1) {
      const idle = mainThreads();
      await sleep(BURN_MS);
      const begin = mainThreads();
      await page.evaluate((ms) => {
        const end = performance.now() + ms;
        while (performance.now() < end);
      }, BURN_MS);
      const end = mainThreads();
      for (const [i, renderer] of renderers.entries()) renderer.score += end[i] - begin[i] - Math.abs(begin[i] - idle[i]);
    }
    const [busiest] = renderers.sort((a, b) => b.score - a.score);
    if (!busiest) throw new Error("the browser has no process for a page");
    return new Threads(busiest.id);
  }

  /**
   * Measures while something is waited for.
   * @param {() => Promise<unknown>} wait
   * @returns {Promise<{ seconds: number, ms: Record<string, number> }>} What each thread took.
   */
  async during(wait) {
    const [begin, before] = [performance.now(), taken(this.pid)];
    await wait();
    return { seconds: (performance.now() - begin) / 1_000, ms: spent(before, taken(this.pid)) };
  }
}
