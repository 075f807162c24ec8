import { type VoxrelayError, errorOf } from "./error.js";
import type { ConnectOptions, Feedback } from "./options.js";
import { ASKING_DEADLINE_MS, plainOf } from "./requests.js";

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
