import { unlessAborted } from "./abort.js";
import type { tokenOf as TokenOf } from "./check.js";
import type { ErrorCode } from "./codes.js";
import type { VoxrelayError } from "./error.js";
import type { ConnectOptions, Feedback } from "./options.js";
import { ASKING_DEADLINE_MS, TOKEN_MS, plainOf } from "./requests.js";

/** Sends what a user thinks of a session. What `index.js` has is handed over: this may be in a file of its own, where an error would be of another class. */
export async function sendFeedback(
  options: ConnectOptions,
  sessionId: string,
  { rating, comment }: Feedback,
  tokenOf: typeof TokenOf,
  Refusal: typeof VoxrelayError,
): Promise<void> {
  const given = (async () => options.token())();
  const token = tokenOf(await unlessAborted(AbortSignal.timeout(TOKEN_MS), given));
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
    failure = new Refusal(code as ErrorCode, detail, retryable);
  } catch (thrown) {
    failure = new Refusal("link_lost", `No answer: ${String(thrown)}`, true, { cause: thrown });
  }
  throw failure;
}
