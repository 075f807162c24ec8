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

/** So many calls' results are kept. A relay calls again what it had under way, 16 calls at once, of which a user who talks may leave some behind. */
const KEPT = 64;

/** What came of a call. */
type Result = [output: string, isError: boolean];

/** The calls that this page has had: none is run twice, also if another relay goes on with it. An agent makes a few a minute. */
const seen = new Set<string>();

/** What came of the newest of them, or comes yet. A relay that was lost may have taken a result, and nobody stored it: it is sent again. */
const results = new Map<string, Promise<Result>>();

/** The tools of a call, and what runs of them. */
export class Tools {
  readonly handlers = new Map<string, ToolHandler>();
  readonly #running = new Map<string, AbortController>();
  readonly #send: SendResult;

  constructor(send: SendResult) {
    this.#send = send;
  }

  /** Whether this page has had the call already. */
  knows(callId: string): boolean {
    return seen.has(callId);
  }

  /**
   * Runs a tool, or sends again what came of the call. A tool that nobody has registered is an error, unless somebody else `answers`.
   */
  async call({ callId, name, arguments: text }: ToolCallEvent, answers: boolean): Promise<void> {
    // What comes of one that still runs is sent then.
    if (this.#running.has(callId)) return;
    const handler = this.handlers.get(name);
    const isNew = !seen.has(callId);
    seen.add(callId);
    if (isNew ? !handler && answers : !results.has(callId)) return;
    const abort = new AbortController();
    const { signal } = abort;
    this.#running.set(callId, abort);
    if (isNew) keep(callId, run(handler, name, text, { callId, signal }));
    let [output, isError] = await results.get(callId)!;
    while (!signal.aborted) {
      try {
        await this.#send(callId, output, isError);
        break;
      } catch (refused) {
        if ((refused as VoxrelayError).code === "messages_full") await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        // Nor is the reason taken: the call is over.
        else if (isError) break;
        else [output, isError] = [wordsOf(refused), true];
      }
    }
    if (this.#running.get(callId) === abort) this.#running.delete(callId);
  }

  /** This was taken as the result of a call, also of one that the application answers itself. */
  answered(callId: string, output: string, isError: boolean): void {
    keep(callId, Promise.resolve<Result>([output, isError]));
  }

  /** Nobody waits for the result of this call any more, or of any. */
  cancel(callId?: string): void {
    for (const [id, running] of this.#running) {
      if (callId && id !== callId) continue;
      this.#running.delete(id);
      running.abort();
    }
  }
}

async function run(handler: ToolHandler | undefined, name: string, text: string, context: ToolContext): Promise<Result> {
  try {
    if (!handler) throw `The page has no tool ${name}.`;
    const result = await handler(JSON.parse(text), context);
    return [typeof result === "string" ? result : (JSON.stringify(result) ?? ""), false];
  } catch (thrown) {
    return [wordsOf(thrown), true];
  }
}

function keep(callId: string, result: Promise<Result>): void {
  results.set(callId, result);
  for (const oldest of results.keys()) if (results.size > KEPT) results.delete(oldest);
}

function wordsOf(thrown: any): string {
  return String(thrown?.message ?? thrown);
}
