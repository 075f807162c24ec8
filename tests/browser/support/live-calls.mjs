// @ts-check
// The stream of live calls, told by a test in the place of the relay.

/** @typedef {import("playwright-core").Page} Page */
/** What `globalThis` holds in the page. @typedef {any} Stub */

/** A live call, as the stream tells it. @param {string} name @param {number} [cost] In nano-dollars. */
export function liveCall(name, cost = 2_000_000) {
  return { id: `live-${name}`, user_sub: `user-${name}`, agent: "echo", account: `account-${name}`, started_at: "2026-11-28T12:00:00.000Z", cost_nano_usd: cost };
}

/**
 * Has the page hear of live calls from the test alone. The policy of the page has nothing to do with it: this is there before the page is.
 * @param {Page} page @param {boolean} [isHasty] Whether a silent relay is given up at once, and not after 45 s.
 */
export async function takeStream(page, isHasty = false) {
  await page.addInitScript((hasty) => {
    const [ask, later] = [globalThis.fetch, globalThis.setTimeout];
    /** @type {ReadableStreamDefaultController<Uint8Array> | undefined} */
    let stream;
    const live = {
      /** How often it was asked for. */
      asked: 0,
      /** Whether the relay does not answer. */
      isAway: false,
      isHasty: hasty,
      /** The line that whoever asks is told first. @type {object | undefined} */
      line: undefined,
      /** @param {object} line @returns {void} */
      tell(line) {
        live.line = line;
        stream?.enqueue(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
      },
      /** @returns {void} */
      breaks() {
        stream?.error(new TypeError("network error"));
        stream = undefined;
      },
    };
    Object.assign(globalThis, {
      live,
      fetch: async (/** @type {RequestInfo} */ address, /** @type {RequestInit} */ options) => {
        if (address !== "/v1/admin/live/watch") return ask(address, options);
        live.asked += 1;
        if (live.isAway) throw new TypeError("Failed to fetch");
        const body = new ReadableStream({
          start(controller) {
            stream = controller;
            options.signal?.addEventListener("abort", () => controller.error(options.signal?.reason));
          },
        });
        if (live.line) live.tell(live.line);
        return new Response(body);
      },
      setTimeout: (/** @type {() => void} */ work, /** @type {number} */ ms) => later(work, live.isHasty && ms === 45_000 ? 100 : ms),
    });
  }, isHasty);
}

/** Tells the page which calls go on, and waits until it shows that. @param {Page} page @param {ReturnType<typeof liveCall>[]} sessions */
export async function tellLive(page, ...sessions) {
  await page.evaluate((line) => /** @type {Stub} */ (globalThis).live.tell(line), { sessions, more: false });
  const shown = sessions.map(({ user_sub: user, cost_nano_usd: cost }) => `${user} $${(cost / 1e9).toFixed(4)}`).join();
  await page.waitForFunction((wanted) => {
    const rows = [...document.querySelectorAll("[aria-labelledby='live-title'] tbody tr")];
    return rows.map((row) => `${row.children[0]?.textContent} ${row.children[4]?.textContent}`).join() === wanted;
  }, shown);
}

/** Whether a silent relay is given up at once from here on. @param {Page} page @param {boolean} isHasty @returns {Promise<number>} How often the stream was asked for. */
export function setHasty(page, isHasty) {
  return page.evaluate((hasty) => {
    const { live } = /** @type {Stub} */ (globalThis);
    live.isHasty = hasty;
    return live.asked;
  }, isHasty);
}

/** The stream breaks, and is not to be had again until it is told that it is. @param {Page} page */
export async function breakStream(page) {
  await page.evaluate(() => {
    const { live } = /** @type {Stub} */ (globalThis);
    live.isAway = true;
    live.breaks();
  });
}

/** The stream is to be had again. @param {Page} page */
export async function mendStream(page) {
  await page.evaluate(() => void (/** @type {Stub} */ (globalThis).live.isAway = false));
}
