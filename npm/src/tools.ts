import { checkHandler, checkText } from "./check.js";
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

/** Call ids that are remembered; an agent makes a few a minute. */
const SEEN_MAX = 10_000;

/** The calls that this page has had, oldest first: none is run twice, also if another relay goes on with it. */
const seen = new Set<string>();

/** The tools of a call, and what runs of them. */
export class Tools {
  readonly #handlers = new Map<string, ToolHandler>();
  readonly #running = new Map<string, AbortController>();
  readonly #send: SendResult;

  constructor(send: SendResult) {
    this.#send = send;
  }

  register(name: string, handler: ToolHandler): () => void {
    checkText("name", name);
    checkHandler("handler", handler);
    this.#handlers.set(name, handler);
    return () => {
      if (this.#handlers.get(name) === handler) this.#handlers.delete(name);
    };
  }

  /** Runs a tool. One that nobody has registered is an error, unless somebody else `answers`. */
  async call({ callId, name, arguments: text }: ToolCallEvent, answers: boolean): Promise<void> {
    const handler = this.#handlers.get(name);
    if ((!handler && answers) || seen.has(callId)) return;
    seen.add(callId);
    for (const oldest of seen) {
      if (seen.size <= SEEN_MAX) break;
      seen.delete(oldest);
    }
    const abort = new AbortController();
    const { signal } = abort;
    this.#running.set(callId, abort);
    let output: string;
    let isError = false;
    try {
      if (!handler) throw new Error(`The page has no tool \`${name}\`.`);
      output = written(await handler(JSON.parse(text), { callId, signal }));
    } catch (thrown) {
      isError = true;
      output = String((thrown as Error | undefined)?.message ?? thrown);
    }
    while (!signal.aborted) {
      try {
        await this.#send(callId, output, isError);
        break;
      } catch (thrown) {
        const { code, limit, message } = thrown as VoxrelayError;
        if (code === "text_too_long" && output.length > 1_000) {
          isError = true;
          output = `The tool's result is too long: ${output.length} characters, and at most ${limit} are taken.`;
        } else if (code === "messages_full") {
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        } else {
          // The call is over, or its agent takes no results.
          console.warn(`voxrelay: the result of the tool ${name} was not sent: ${message}`);
          break;
        }
      }
    }
    this.#running.delete(callId);
  }

  /** Nobody waits for the result of this call any more. */
  cancel(callId: string): void {
    this.#running.get(callId)?.abort();
    this.#running.delete(callId);
  }

  /** Nobody waits for any result any more. */
  end(): void {
    for (const callId of this.#running.keys()) this.cancel(callId);
  }
}

/** A result as text. */
function written(result: unknown): string {
  if (typeof result === "string") return result;
  return JSON.stringify(result) ?? "";
}
