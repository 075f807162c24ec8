// Plain requests to the relay.

import { type VoxrelayError, errorOf } from "./error.js";
import type { ConnectOptions, Feedback } from "./options.js";

/** A plain request to the relay is given up after this. */
const ASKING_DEADLINE_MS = 5_000;

/** Characters of its answer that are looked at. */
const ANSWER_MAX = 4_096;

/** Where the relay's socket is. */
export function socketOf({ url }: Pick<ConnectOptions, "url">): string {
  return new URL(url, location.href).href.replace(/^http/, "ws");
}

/** Where plain requests go. */
export function plainOf(options: Pick<ConnectOptions, "url">): string {
  return socketOf(options).replace("ws", "http");
}

/**
 * A browser keeps to itself why no socket could be opened, so a plain request asks.
 *
 * @returns the status of the answer, 0 for none, and its words
 */
export async function askWhy(url: string): Promise<[status: number, body: string]> {
  try {
    const response = await fetch(url, {
      credentials: "omit",
      cache: "no-store",
      redirect: "manual",
      signal: AbortSignal.timeout(ASKING_DEADLINE_MS),
    });
    const reader = response.body?.getReader();
    let body = "";
    for (let part; body.length < ANSWER_MAX && (part = (await reader?.read())?.value); ) {
      body += new TextDecoder().decode(part);
    }
    void reader?.cancel();
    // The status of a redirection that is not followed is hidden.
    return [response.status || 302, body.slice(0, ANSWER_MAX)];
  } catch {
    // Whatever keeps the socket closed keeps this from being answered, too.
    return [0, ""];
  }
}

/** Sends what a user thinks of a session. */
export async function sendFeedback(
  options: ConnectOptions,
  sessionId: string,
  token: string,
  { rating, comment }: Feedback,
): Promise<void> {
  let failure: VoxrelayError;
  try {
    const response = await fetch(new URL(`sessions/${sessionId}/feedback`, plainOf(options)), {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ rating, comment }),
      credentials: "omit",
      signal: AbortSignal.timeout(ASKING_DEADLINE_MS),
    });
    if (response.ok) return;
    const { code, detail, retryable } = await response.json();
    failure = errorOf(code, detail, retryable);
  } catch (thrown) {
    failure = errorOf("link_lost", `No answer: ${String(thrown)}`, true, { cause: thrown });
  }
  throw failure;
}
