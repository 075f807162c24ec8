// Asks the relay. The token is in this module's memory and nowhere else.

let token = "";

/** An answer that is no success, with what the relay says about it. */
export class Refused extends Error {
  /** @param {number} status @param {string} detail @param {string} [code] */
  constructor(status, detail, code = "") {
    super(detail);
    this.status = status;
    this.code = code;
  }

  /** Whether the token lacks the role that may read and hear what others said. */
  get needsReader() {
    return this.code === "reader_only";
  }

  /** Whether what was asked for may have been done nevertheless, or is being done. */
  get isOpen() {
    return this.status === 0 || this.status >= 500 || this.code === "idempotency_key_under_way";
  }

  /** Whether it is known that this was not done, now or before under the same key. Any other refusal says nothing of the time before. */
  get isDecided() {
    return !this.isOpen && (this.status === 404 || this.status === 409);
  }
}

/** @param {string} given Empty to forget the one before. */
export function setToken(given) {
  token = given;
}

export function hasToken() {
  return token !== "";
}

/** @param {string} path @param {RequestInit} [options] @param {string} [key] Under the same one a write is done once. @returns {Promise<Response>} */
export async function ask(path, options = {}, key = undefined) {
  const headers = { authorization: `Bearer ${token}`, ...(options.body ? { "content-type": "application/json" } : {}), ...(key ? { "idempotency-key": key } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Refused(0, "The relay does not answer. Look whether it runs, and try again.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, typeof problem.detail === "string" ? problem.detail : `The relay answered ${answer.status}.`, problem.code);
}

/** @param {string} path @param {Record<string, string | number | undefined>} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function read(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return (await ask(text === "" ? path : `${path}?${text}`, { signal })).json();
}

/** What an order is known by. A page over plain HTTP has no `randomUUID`. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} path @param {object} [body] @param {"POST" | "PUT" | "DELETE"} [method] @param {string} [key] See `ask`. */
export async function order(path, body = undefined, method = "POST", key = newKey()) {
  return ask(path, { method, ...(body ? { body: JSON.stringify(body) } : {}) }, key);
}

/** After how many milliseconds without a word the stream of live sessions counts as broken: the relay writes a line every 15 s at least. */
const SILENT_MS = 45_000;
/** How long it is waited, in milliseconds, before the stream is asked for again. */
const AGAIN_MS = 3_000;

/**
 * Tells the live sessions whenever something of them changes, until the signal says to stop.
 * @param {AbortSignal} signal
 * @param {(line: { sessions: any[], more: boolean } | undefined, why: string) => void} tell `undefined`: it is not known at the moment, and why.
 */
export async function watchLive(signal, tell) {
  while (!signal.aborted) {
    const stream = new AbortController();
    const stop = () => stream.abort();
    signal.addEventListener("abort", stop, { once: true });
    let silent = setTimeout(stop, SILENT_MS);
    try {
      const answer = await ask("/v1/admin/live/watch", { signal: stream.signal });
      const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
      const decoder = new TextDecoder();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        clearTimeout(silent);
        silent = setTimeout(stop, SILENT_MS);
        rest += decoder.decode(value, { stream: true });
        const lines = rest.split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line !== "") tell(JSON.parse(line), "");
      }
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof Refused ? error.message : "The connection to the relay broke off.";
      tell(undefined, stream.signal.aborted ? "The relay has said nothing for too long." : why);
    } finally {
      clearTimeout(silent);
      signal.removeEventListener("abort", stop);
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
