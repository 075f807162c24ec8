import type { ConnectOptions } from "./options.js";

/** Numbers among the options, with the least and the most that each may be. */
const RANGES = { chunkMs: [20, 200], bufferSeconds: [1, 60], giveUpAfterMs: [1, 86_400_000] } as const;

/**
 * Refuses options that cannot be meant, before anything is loaded or opened.
 *
 * @throws TypeError for what is of another type, RangeError for a number outside its range
 */
export function checkOptions(options: ConnectOptions): void {
  const given = options as unknown as Record<string, unknown>;
  if (typeof given["token"] !== "function") throw new TypeError(`\`token\` is ${kind(given["token"])}, not a function that gives an access token`);
  if (!given["url"] || !/^(ws|http)s?:$/.test(schemeOf(String(given["url"])))) {
    throw new TypeError(`\`url\` is ${JSON.stringify(given["url"])}, not the address of a relay's socket, such as wss://voice.example.com/v1/call`);
  }
  for (const [name, [least, most]] of Object.entries(RANGES)) {
    const value = given[name];
    if (value === undefined) continue;
    if (typeof value !== "number") throw new TypeError(`\`${name}\` is ${kind(value)}, not a number`);
    if (!(value >= least && value <= most)) throw new RangeError(`\`${name}\` is ${value}, not ${least} to ${most}`);
  }
  for (const name of ["conversation", "agent"]) if (given[name] !== undefined) checkText(name, given[name]);
  for (const [name, value] of Object.entries(given)) {
    if (/^on[A-Z]/.test(name) && value !== undefined && typeof value !== "function") {
      throw new TypeError(`\`${name}\` is ${kind(value)}, not a function`);
    }
  }
}

/** An access token as the application gave it, without white space around it. What cannot be one is an error in words. */
export function tokenOf(given: unknown): string {
  if (typeof given !== "string") throw new TypeError(`\`token\` gave ${kind(given)}, not a text`);
  const token = given.trim();
  if (!/^[!-~]+$/.test(token)) throw new TypeError(token ? "`token` gave a text that is no token" : "`token` gave an empty text");
  return token;
}

/** Refuses what is no text: the engine would fail on it. */
export function checkText(name: string, value: unknown): void {
  if (typeof value !== "string") throw new TypeError(`\`${name}\` is ${kind(value)}, not a text`);
}

/** Refuses what is no object of texts. */
export function checkVariables(variables: unknown): void {
  if (typeof variables !== "object" || !variables) throw new TypeError(`\`variables\` is ${kind(variables)}, not an object`);
  for (const [name, value] of Object.entries(variables)) checkText(`variables.${name}`, value);
}

/** Refuses what cannot be the number of a turn. */
export function checkTurn(turn: unknown): void {
  if (typeof turn !== "number") throw new TypeError(`\`turn\` is ${kind(turn)}, not a number`);
  if (!Number.isInteger(turn) || turn < 0 || turn > 0xffff_ffff) throw new RangeError(`\`turn\` is ${turn}, not the number of a turn`);
}

function kind(value: unknown): string {
  return value === null || value === undefined ? String(value) : `of type ${typeof value}`;
}

/** The scheme of an address; of one without, that of the page. */
function schemeOf(url: string): string {
  try {
    return new URL(url, globalThis.location?.href).protocol;
  } catch {
    return "";
  }
}
