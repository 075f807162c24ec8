// @ts-check
// The browsers behind one contract: a page is opened, a microphone is spoken to, and everything is closed.

import { launch as chromium } from "./chromium-tabs.mjs";
import { watchContexts } from "./contexts.mjs";
import { launch as firefox } from "./firefox.mjs";
import { PageServer } from "./page-server.mjs";
import "./priority.mjs";
import { Proxy } from "./proxy.mjs";
import { Relay } from "./relay.mjs";
import { TestCall } from "./test-call.mjs";
import { watchTracks } from "./tracks.mjs";
import { launch as webkit } from "./webkit.mjs";

/** @typedef {import("./stage.mjs").Stage} Stage */

/**
 * A page in a browser. What `evaluate` runs in it is a function that refers to nothing outside itself.
 * @typedef {object} Tab
 * @property {import("./test-call.mjs").Page["evaluate"]} evaluate
 * @property {() => Promise<unknown>} click As a user does, so that the page may make sound.
 * @property {() => Promise<unknown>} hide Puts another tab before it.
 * @property {() => Promise<unknown>} show
 */

/**
 * A browser that runs.
 * @typedef {object} Engine
 * @property {string} version
 * @property {readonly [string, string]} microphones What two of its microphones are called, the default one first.
 * @property {boolean} isTold Whether its microphones hear a file; else they hum, and beep once a second.
 * @property {(url: string) => Promise<Tab>} open
 * @property {() => void} speak Begins to play the file, unless that began when the microphone was opened.
 * @property {((microphone: number) => void) | undefined} unplug Takes a microphone away, where that can be done.
 */

/**
 * @typedef {object} Microphones
 * @property {string} [microphone] A WAV file at 44.1 kHz.
 * @property {boolean} [isPlugged] They can be pulled out, where the engine has such.
 * @property {boolean} [isRoom] Where they can be pulled out: the default one hears what the loudspeakers play.
 * @property {boolean} [hasSound] Whether the machine has a loudspeaker; only Firefox asks.
 */

/** @typedef {(stage: Stage, options: Microphones) => Promise<Engine>} Launch */

const LAUNCH = /** @type {Record<string, Launch>} */ ({ chromium, firefox, webkit });

/** The engines to be tried. */
export const ENGINES = process.env.E2E_ENGINES?.split(",") ?? Object.keys(LAUNCH);

/**
 * Opens a page for a call in an engine, behind a network that can be cut.
 * @param {Stage} stage Clears everything away.
 * @param {string} name Of the engine.
 * @param {Microphones & { settings?: Record<string, string>, headers?: Record<string, string> }} [options] `settings`: the relay's; `headers`: the page's.
 */
export async function openPage(stage, name, { settings, headers = {}, ...microphones } = {}) {
  const relay = await Relay.start(settings);
  stage.after(() => relay.stop());
  const server = await PageServer.start(relay.port);
  stage.after(() => server.stop());
  server.headers = headers;
  const proxy = await Proxy.start(server.port);
  stage.after(() => proxy.stop());
  const engine = await LAUNCH[name](stage, microphones);
  const tab = await engine.open(proxy.url + PageServer.path);
  const tracks = await watchTracks(tab);
  const contexts = await watchContexts(tab);
  await tab.click();
  return { relay, server, proxy, engine, tab, call: new TestCall(tab), tracks, contexts };
}
