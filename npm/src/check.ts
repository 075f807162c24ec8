import type { CallEvents } from "./events.js";
import { isStream } from "./microphone.js";
import type { AssetOptions, ConnectOptions, EventOptions } from "./options.js";

/** What an application gives may be anything, whatever its declared type says. */
type Given = any;

/** Whether a value may be given, which may hang on the other options, and what may, in words. */
type Rule = readonly [fits: (value: Given, options: Given) => unknown, may: string];

const ADDRESS: Rule = [addressOf, "an address"];
const TRANSPORTS = ["auto", "websocket", "http"];
const FLAG: Rule = [isFlag, "true or false"];
const LEVELS = ["debug", "info", "warn", "error"];
const NAME: Rule = [(value) => value === "" || (isText(value) && value.trim()), "a text, not blank"];

/** A number's rule: the least and the most that it may be. */
type Range = readonly [least: number, most: number];

/** What each option may be that need not be there, besides the listeners. */
export const RULES: Record<Exclude<keyof ConnectOptions | keyof AssetOptions, keyof EventOptions | "url" | "token">, Rule | Range> = {
  wasmUrl: ADDRESS,
  voiceUrl: ADDRESS,
  workerUrl: ADDRESS,
  workletUrl: ADDRESS,
  httpUrl: ADDRESS,
  worker: [(value) => value === "auto" || value === "never", '"auto" or "never"'],
  microphone: [isMicrophone, "audio constraints, a MediaStream with live audio, or false"],
  speaker: NAME,
  wakeLock: FLAG,
  voiceActivity: FLAG,
  chunkMs: [20, 200],
  bufferSeconds: [1, 60],
  giveUpAfterMs: [1, 86_400_000],
  audioContext: [(value) => isMethod(value?.createMediaStreamSource) && value.state !== "closed", "an open AudioContext"],
  output: [
    (value, { audioContext }) => isMethod(value?.connect) && value.numberOfInputs && value.context === audioContext,
    "an AudioNode of `audioContext` with an input",
  ],
  conversation: NAME,
  transport: [(value) => TRANSPORTS.includes(value), `one of ${TRANSPORTS}`],
  agent: NAME,
  tools: [(value) => isRecord(value) && Object.values(value).every(isMethod), "an object of functions"],
  signal: [(value) => isMethod(value?.throwIfAborted), "an AbortSignal"],
  logger: [
    (value) => value && LEVELS.every((level) => value[level] === undefined || isMethod(value[level])) && typeof value === "object",
    `an object with functions ${LEVELS}`,
  ],
};

/** The events of a call. One text is shorter to download than a list. */
const NAMES =
  "state transport session agent transcript usage budget toolCall toolCancel degraded latency listened undelivered level rtt quality gap microphone speaker error ended";
export const EVENTS = /* @__PURE__ */ NAMES.split(" ") as (keyof CallEvents)[];

type Words<Text> = Text extends `${infer First} ${infer Rest}` ? First | Words<Rest> : Text;
type Holds<Same extends true> = Same;
/** Does not compile where the names are not those of the events. */
export type NamesHeld = Holds<[Words<typeof NAMES>, keyof CallEvents] extends [keyof CallEvents, Words<typeof NAMES>] ? true : false>;

/**
 * Refuses options of a call that cannot be meant, before anything is loaded or opened.
 *
 * @throws TypeError for what is of another type, RangeError for a number outside its range
 */
export function checkOptions(options: ConnectOptions): void {
  checkObject("options", options);
  const { url, token } = options;
  const isSocket = /^(ws|http)s?:[^#]*$/.test(addressOf(url)?.href ?? "");
  check("url", url, isSocket, "a relay's address, such as wss://voice.example.com/v1/call, without a fragment");
  // It may be a token, which is not to stand in a log.
  check("token", isText(token) ? Object(token) : token, isMethod(token), "a function that gives an access token");
  checkOptional(options);
  for (const [name, listener] of Object.entries(options)) {
    if (listener === undefined || !/^on/.test(name)) continue;
    check(name, listener, isMethod(listener) && /^on[A-Z]/.test(name) && EVENTS.includes(eventOf(name) as keyof CallEvents), "a listener of an event that there is");
  }
}

/** The same for those that need not be there. */
export function checkOptional(options: AssetOptions | { readonly microphone: ConnectOptions["microphone"] | undefined }): void {
  checkObject("options", options);
  for (const [name, rule] of Object.entries(RULES)) {
    const value = (options as Given)[name];
    if (value === undefined) continue;
    const [fits, may] = rule;
    if (typeof fits === "number") checkNumber(name, value, fits, may as number);
    else check(name, value, fits(value, options), may as string);
  }
}

/** `state` of `onState`, and so on. */
export function eventOf(option: string): string {
  return option.charAt(2).toLowerCase() + option.slice(3);
}

/** An access token as the application gave it, without white space around it. What cannot be one is an error in words. */
export function tokenOf(given: unknown): string {
  if (!isText(given)) throw new TypeError(`\`token\` gave ${shown(given)}, not a text`);
  const token = given.trim();
  // A JSON Web Token, and not what a server says when it has none.
  if (!/^[\w-]+(\.[\w-]+){2}$/.test(token)) throw new TypeError("`token` gave a text that is no token");
  return token;
}

/** Refuses what is no listener, or listens to none of these events. */
export function checkListener(events: readonly unknown[], name: unknown, listener: unknown): void {
  check("name", name, events.includes(name), `one of ${events}`);
  checkMethod("listener", listener);
}

/** Refuses what is no function. */
export function checkMethod(name: string, value: unknown): void {
  check(name, value, isMethod(value), "a function");
}

/** Refuses what is no text: the engine would fail on it. */
export function checkText(name: string, value: unknown): void {
  check(name, value, isText(value), "a text");
}

/** Refuses what is neither `true` nor `false`. */
export function checkFlag(name: string, value: unknown): void {
  check(name, value, isFlag(value), FLAG[1]);
}

/** Refuses options of a message that are no object, or one that is neither `true` nor `false` nor left out. */
export function checkFlags(options: unknown, name: string): void {
  checkObject("options", options);
  const flag = (options as Given)[name];
  if (flag !== undefined) checkFlag(name, flag);
}

/** Refuses what is no object of texts. */
export function checkVariables(variables: unknown): void {
  check("variables", variables, isRecord(variables), "an object of texts");
  for (const [name, value] of Object.entries(variables as object)) checkText(`variables.${name}`, value);
}

/** Refuses what cannot be the number of a turn. */
export function checkTurn(turn: unknown): void {
  checkWhole("turn", turn, 0, 0xffff_ffff);
}

/** Refuses what says nothing about a call. */
export function checkFeedback(feedback: unknown): void {
  checkObject("feedback", feedback);
  const { rating, comment } = feedback as Given;
  if (rating !== undefined) checkWhole("rating", rating, 1, 5);
  if (comment !== undefined) checkText("comment", comment);
}

function checkWhole(name: string, value: unknown, least: number, most: number): void {
  checkNumber(name, value, least, most);
  if (!Number.isInteger(value)) throw new RangeError(`\`${name}\` is ${shown(value)}, not a whole number`);
}

/** Refuses what is no number from `least` to `most`. */
export function checkNumber(name: string, value: unknown, least: number, most: number): void {
  check(name, value, typeof value === "number", "a number");
  if (!(Number(value) >= least && Number(value) <= most)) {
    throw new RangeError(`\`${name}\` is ${shown(value)}, not ${least} to ${most}`);
  }
}

/** Refuses a value that does not fit, in words that say what may be. */
export function check(name: string, value: unknown, fits: unknown, may: string): void {
  if (!fits) throw new TypeError(`\`${name}\` is ${shown(value)}, not ${may}`);
}

function checkObject(name: string, value: unknown): void {
  check(name, value, typeof value === "object" && value && !Array.isArray(value), "an object");
}

/** Whether it is what `getUserMedia` may be asked for, as `audio`, or what it gives. */
function isMicrophone(value: Given): unknown {
  if (isStream(value)) return value.getAudioTracks().some(({ readyState }) => readyState === "live");
  // Of what wraps the constraints of audio, and of other objects, the browser would take nothing.
  return value === false || (isRecord(value) && !("audio" in value));
}

/** Whether it is an object that has no class of the language's or the browser's. */
function isRecord(value: unknown): value is object {
  return typeof value === "object" && kindOf(value) === "Object";
}

function isFlag(value: unknown): boolean {
  return typeof value === "boolean";
}

export function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isMethod(value: unknown): boolean {
  return typeof value === "function";
}

/** A whole address; of one without a scheme, on the page's server: where the page is made on one, whichever that will be. Nothing for what is none. */
function addressOf(value: unknown): URL | undefined {
  try {
    const isGiven = isText(value) ? value.trim() : kindOf(value) === "URL";
    return isGiven ? new URL(value as string, globalThis.location?.href ?? "http://a") : undefined;
  } catch {
    return undefined;
  }
}

/** A value that has a name of its own by that, and any other by its type. */
function shown(value: unknown): string {
  if (isText(value)) return JSON.stringify(value.slice(0, 99));
  return Object(value) === value ? `of type ${kindOf(value)}` : String(value);
}

/** `Array`, `Map`, `MediaStream`, … */
function kindOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}
