// Plain requests to the relay.

import type { ConnectOptions } from "./options.js";

/** The application's own server has so long for a token, as in a call. */
export const TOKEN_MS = 10_000;

/** A plain request to the relay is given up after this. */
export const ASKING_DEADLINE_MS = 5_000;

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
 * @param method another one than `GET`
 * @returns the status of the answer, 0 for none, and its words
 */
export async function askWhy(url: string, method = "GET"): Promise<[status: number, body: string]> {
  try {
    const response = await fetch(url, {
      method,
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
