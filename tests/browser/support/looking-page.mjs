// @ts-check
// A page that looks whether a call would work.

import assert from "node:assert/strict";

import { TestPage } from "./test-page.mjs";

/** @typedef {import("voxrelay/preflight").PreflightReport} Report */
/** @typedef {{ url?: string, token?: string, tokenFails?: boolean, microphone?: any, agent?: string, transport?: import("voxrelay").ConnectOptions["transport"], ask?: boolean, abortMs?: number, tokenMs?: number }} Asked */

/**
 * A page that looks at this relay, and what it leaves.
 * @param {import("./stage.mjs").Stage} stage
 * @param {import("./relay.mjs").Relay} relay
 * @param {{ browser: import("playwright-core").Browser, from?: string, policy?: string, granted?: boolean }} where
 */
export async function openLooking(stage, relay, { browser, from = `http://127.0.0.1:${relay.port}`, policy, granted = true }) {
  const page = await TestPage.open(browser, from, policy ? { policy } : {});
  stage.after(() => page.context.close());
  if (granted) await page.context.grantPermissions(["local-network-access", "microphone"], { origin: from });
  await page.page.evaluate(() => {
    /** @type {any[]} */
    const made = [];
    for (const name of ["AudioContext", "WebSocket"]) {
      const Made = /** @type {any} */ (globalThis)[name];
      Object.assign(globalThis, { [name]: class extends Made { constructor(/** @type {any[]} */ ...args) { super(...args); made.push(this); } } });
    }
    const { mediaDevices } = navigator;
    const ask = mediaDevices.getUserMedia.bind(mediaDevices);
    let asked = 0;
    mediaDevices.getUserMedia = async (wanted) => {
      asked++;
      const stream = await ask(wanted);
      made.push(...stream.getTracks());
      return stream;
    };
    Object.assign(globalThis, {
      asked: () => asked,
      tracks: () => made.filter((one) => one instanceof MediaStreamTrack && one.readyState === "live").length,
      alive: () => made.filter(({ state, readyState }) => state === "running" || readyState === "live" || readyState === 1 || readyState === 0).length,
    });
  });
  /** @param {Asked} [asked] @returns {Promise<Report>} */
  const look = (asked = {}) =>
    page.page.evaluate(
      async ([sdk, fallback, { url, token, tokenFails, tokenMs, ask, abortMs, ...rest }]) => {
        const { preflight } = await import(sdk);
        const call = {
          url: url ?? fallback,
          token: async () => {
            if (tokenFails) throw new Error("the shop is closed");
            if (tokenMs) await new Promise((resolve) => setTimeout(resolve, tokenMs));
            return token ?? (await fetch("/dev/token")).text();
          },
          ...rest,
        };
        const signal = abortMs === undefined ? undefined : AbortSignal.timeout(abortMs);
        return preflight(call, { ...(ask && { askForMicrophone: true }), ...(signal && { signal }) });
      },
      /** @type {const} */ ([`http://127.0.0.1:${relay.port}/sdk/preflight.js`, `ws://127.0.0.1:${relay.port}/v1/call`, asked]),
    );
  const alive = () => page.page.evaluate(() => /** @type {any} */ (globalThis).alive());
  return { page, look, alive };
}

/** What there is to say of each thing, in short. @param {Report} report */
export const short = ({ checks }) =>
  Object.fromEntries(Object.entries(checks).map(([name, { grade, code }]) => [name, code ? `${grade}: ${code}` : grade]));

/** Whoever is told of trouble is told what to do. @param {Report} report */
export function isCurable({ checks }) {
  for (const [name, { grade, message, cure }] of Object.entries(checks)) {
    assert.ok(message.length > 10, name);
    if (grade !== "good" && grade !== "skipped") assert.ok(cure && cure.length > 10, `${name}: ${message}`);
  }
}
