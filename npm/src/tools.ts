import type { VoxrelayError } from "./error.js";
import type { ToolCallEvent } from "./events.js";

/** What a tool is told beside its arguments. */
export interface ToolContext {
  /** Names the call: another one each time, in every call of this page. */
  readonly callId: string;
  /** Aborted when nobody waits for the result any more: it took too long, or the call is over. */
  readonly signal: AbortSignal;
}

/**
 * Runs a tool for the agent. It gets the arguments, an object that fits the tool's schema, and gives a text or anything that can be written as
 * JSON, now or later. What it throws is told to the agent as an error, by its message.
 */
export type ToolHandler = (args: any, context: ToolContext) => unknown;

/** How the tools' results go to the agent. */
export type SendResult = (callId: string, output: string, isError: boolean) => Promise<void>;

/** A result for which there is no room is sent again after this. */
const AGAIN_MS = 500;

/** The calls that this page has had: none is run twice, also if another relay goes on with it. An agent makes a few a minute. */
const seen = new Set<string>();

/** The tools of a call, and what runs of them. */
export class Tools {
  readonly handlers = new Map<string, ToolHandler>();
  readonly #running = new Map<string, AbortController>();
  readonly #send: SendResult;

  constructor(send: SendResult) {
    this.#send = send;
  }

  /** Runs a tool. One that nobody has registered is an error, unless somebody else `answers`. */
  async call({ callId, name, arguments: text }: ToolCallEvent, answers: boolean): Promise<void> {
    const handler = this.handlers.get(name);
    if ((!handler && answers) || seen.has(callId)) return;
    seen.add(callId);
    const abort = new AbortController();
    const { signal } = abort;
    this.#running.set(callId, abort);
    let output: string;
    let isError = false;
    try {
      if (!handler) throw `The page has no tool ${name}.`;
      const result = await handler(JSON.parse(text), { callId, signal });
      output = typeof result === "string" ? result : (JSON.stringify(result) ?? "");
    } catch (thrown) {
      isError = true;
      output = wordsOf(thrown);
    }
    while (!signal.aborted) {
      try {
        return await this.#send(callId, output, isError);
      } catch (refused) {
        if ((refused as VoxrelayError).code === "messages_full") await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        // Nor is the reason taken: the call is over.
        else if (isError) return;
        else [output, isError] = [wordsOf(refused), true];
      }
    }
  }

  /** Nobody waits for the result of this call any more, or of any. */
  cancel(callId?: string): void {
    for (const [id, running] of this.#running) if (!callId || id === callId) running.abort();
  }
}

function wordsOf(thrown: any): string {
  return String(thrown?.message ?? thrown);
}
