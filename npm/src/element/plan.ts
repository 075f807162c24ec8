import type { VoiceCallElement } from "../element.js";
import type { ConnectOptions } from "../index.js";
import type { Plan } from "./caller.js";
import { fetchToken } from "./token.js";

/** How to make a call by what the page gave. Addresses are relative to the page's. */
export function planOf(
  { relay, tokenUrl, token, agent, conversation, consent, options }: VoiceCallElement,
  isSpoken: boolean,
): Plan {
  const url = new URL(relay ?? "/", document.baseURI);
  if (url.pathname === "/") url.pathname = "/v1/call";
  const fetched = tokenUrl === null ? undefined : () => fetchToken(new URL(tokenUrl, document.baseURI).href);
  return {
    options: {
      url,
      // Without either, the call says what is missing.
      token: (token ?? fetched) as ConnectOptions["token"],
      ...(agent && { agent }),
      ...(conversation && { conversation }),
      ...options,
      ...(!isSpoken && { microphone: false as const }),
    },
    asksFirst: consent !== null && isSpoken,
  };
}
