import type { CloseName } from "./codes.js";
import type { VoxrelayError } from "./error.js";
import type { QualityEvent } from "./quality.js";
import type { Told } from "./roles.js";

export type { Quality, QualityEvent, QualityWarning, WarningName } from "./quality.js";

/** Where a call stands. */
export type CallState =
  /** Made, and not begun. */
  | "idle"
  /** Loading, and asking for the microphone. */
  | "starting"
  /** The first connection is being made; what is said already is kept. */
  | "connecting"
  /** Audio flows. */
  | "connected"
  /** The connection was lost and is being made again; what is said meanwhile is kept. */
  | "reconnecting"
  /** Hung up; the last words are on their way. */
  | "closing"
  /** Over. */
  | "closed";

/** The call changed its state. */
export interface StateEvent extends Omit<Told<"state">, "state"> {
  /** Where the call stands. */
  readonly state: CallState;
  /** Failed attempts since the connection was lost; 0 in every other state. */
  readonly attempt: number;
  /** Milliseconds from this event until the next attempt; 0 in every other state. */
  readonly retryInMs: number;
}

/** What a call goes over: a WebSocket or, where none gets through, plain requests. */
export type Transport = "websocket" | "http";

/** The call is tried over another transport from now on. */
export interface TransportEvent extends Told<"transport"> {
  /** What it is tried over. */
  readonly transport: Transport;
}

/** One price of the session. */
export interface Price {
  /** What is metered, such as `deepgram/nova-3`. */
  readonly item: string;
  /**
   * `second`, `character`, or a kind of token such as `input_token`, `cached_token` or `output_token`. With `>` and a number behind it, it is that
   * unit in prompts of more tokens than that: `input_token>100000`.
   */
  readonly unit: string;
  /** Nano-dollars for `per` units. */
  readonly nanoUsd: number;
  /** Units that cost `nanoUsd`. */
  readonly per: number;
}

/** A session began, or goes on with a relay that had to rebuild it (`epoch` is larger then). */
export interface SessionEvent extends Omit<Told<"session">, "agent"> {
  /** The session's id in the relay's records. */
  readonly sessionId: string;
  /** The conversation that the session belongs to: as `conversation` of a later call it goes on with it. */
  readonly conversationId: string;
  /** The agent that the session is with; `undefined` if the relay does not say. */
  readonly agent: string | undefined;
  /** What the relay and its agent take beyond audio, such as `text`: the words are in `docs/protocol.md`. */
  readonly features: readonly string[];
  /** How often a relay had to rebuild the session: 0 at first. */
  readonly epoch: number;
  /** Whether the call is recorded: tell the user. */
  readonly recording: boolean;
  /** What the relay allows the session. */
  readonly limits: {
    /** Longest duration of the session in milliseconds. */
    readonly sessionMs: number;
    /** Longest silence in milliseconds. */
    readonly idleMs: number;
    /** What the session may cost, in nano-dollars. */
    readonly budgetNanoUsd: number;
  };
  /** What the session may be charged for. */
  readonly prices: {
    /** The version of the relay's price table. */
    readonly version: string;
    /** A price for each thing that is metered. */
    readonly items: readonly Price[];
  };
}

/** What the agent does now. */
export interface AgentEvent extends Told<"agent"> {
  /** What it does. */
  readonly state: "listening" | "thinking" | "speaking";
}

/** What was said. A later transcript of the same `role` and `turn` replaces the earlier one. */
export interface TranscriptEvent extends Told<"transcript"> {
  /** Counts the turns of the session in the order in which they began. The words of a later one may come first, and some numbers have none. */
  readonly turn: number;
  /** Who said it. */
  readonly role: "user" | "agent";
  /** Plain text: show it as `textContent`, never as HTML. Empty with `last` if nothing of the turn stays. */
  readonly text: string;
  /** Whether the turn is over. Another text of it may still come: a correction, or words of the user that came late. */
  readonly last: boolean;
  /** Where the turn's audio begins, in samples of the speaker's timeline (16 kHz for the user). */
  readonly start: number;
  /** Where it ends. */
  readonly end: number;
}

/** What the session has used so far. */
export interface Usage extends Told<"usage"> {
  /** Audio metered, in milliseconds. */
  readonly audioMs: number;
  /** Tokens of every kind. */
  readonly tokens: number;
  /** Characters spoken by the agent. */
  readonly characters: number;
  /** Money spent, in dollars: for showing. */
  readonly cost: number;
  /** Money spent, in nano-dollars: an exact integer. */
  readonly costNanoUsd: number;
  /** Money left of the tightest budget, in nano-dollars. */
  readonly leftNanoUsd: number;
}

/**
 * A budget has reached a threshold. Each threshold is told once in a session, in order.
 * When nothing more can be spent, the agent says so and the call ends with the reason `budget`.
 */
export interface BudgetEvent extends Told<"budget"> {
  /** Whose budget: the session's, the user's (of a day, UTC), or the account's (of a month, UTC). */
  readonly scope: "session" | "user" | "account";
  /** How much of it is spent, at least. */
  readonly percent: 50 | 80 | 100;
  /** The budget, in nano-dollars. */
  readonly limitNanoUsd: number;
  /** What is spent of it, in nano-dollars. */
  readonly spentNanoUsd: number;
}

/** The agent asks the page to run a tool: each call is told once. Where none of this name is registered, answer with `sendToolResult`. */
export interface ToolCallEvent extends Told<"toolCall"> {
  /** Names the call in its result. */
  readonly callId: string;
  /** The tool's name. */
  readonly name: string;
  /** JSON text as a language model wrote it: it may be broken. */
  readonly arguments: string;
}

/** The result of a tool is not waited for any more. */
export interface ToolCancelEvent extends Told<"toolCancel"> {
  /** The call, as `toolCall` named it. */
  readonly callId: string;
}

/** The agent can do something less well than it should, or again as well as ever. */
export interface DegradedEvent extends Told<"degraded"> {
  /** What the agent does less well. */
  readonly what: "hearing" | "thinking" | "speaking";
  /** Whether it does; `false` once it is well again. */
  readonly degraded: boolean;
}

/**
 * How long an answer took, in milliseconds; `null` is what was not measured. An answer with sound has two of them: one when its first sound
 * is sent, and one with `heardMs` as well when that was played.
 */
export interface LatencyEvent extends Told<"latency"> {
  /** The turn of the answer. */
  readonly turn: number;
  /** From the end of the user's last word until what was said was understood. */
  readonly sttMs: number | null;
  /** From then until the first words of the answer. */
  readonly llmMs: number | null;
  /** From then until its first sound, as the relay gets it from the voice. */
  readonly ttsMs: number | null;
  /** From then until the relay sent that to the page. */
  readonly sendMs: number | null;
  /** From then until the relay heard that the page had played something of it. */
  readonly heardMs: number | null;
  /** From the end of what was said until the relay sent the first sound of the answer, or its first words if it has none. */
  readonly totalMs: number | null;
}

/** An operator listens in, or does not any more. */
export interface ListenedEvent extends Told<"listened"> {
  /** Whether an operator listens in. */
  readonly listening: boolean;
}

/** A message that the page sends among its audio. */
export type PageMessage =
  | {
      /** Of `sendText`. */
      readonly type: "text";
      /** What the user typed. */
      readonly text: string;
    }
  | {
      /** Of `say`. */
      readonly type: "say";
      /** What the agent is to speak. */
      readonly text: string;
      /** Whether it falls silent for that. */
      readonly interrupt: boolean;
    }
  | {
      /** Of `addContext`. */
      readonly type: "context";
      /** What the agent is to know. */
      readonly text: string;
    }
  | {
      /** Of `setVariables`. */
      readonly type: "variables";
      /** Values of the agent's variables, by their names. */
      readonly variables: Readonly<Record<string, string>>;
    }
  | {
      /** Of `sendToolResult`, or of a registered tool. */
      readonly type: "tool_result";
      /** The call, as `toolCall` named it. */
      readonly callId: string;
      /** What the tool gave. */
      readonly output: string;
      /** Whether that is an error. */
      readonly isError: boolean;
    }
  | {
      /** Of `correct`. */
      readonly type: "correction";
      /** The user's turn. */
      readonly turn: number;
      /** What was really said in it. */
      readonly text: string;
    };

/**
 * A message was taken, but the relay does not have it and will not get it: the call ended first, or goes on with a relay that takes none such. A text is
 * told so, too, that the relay got too late to store it.
 */
export interface UndeliveredEvent extends Told<"undelivered"> {
  /** The message, as it was given. */
  readonly message: PageMessage;
}

/** How loud it is, in dBFS (0 is full scale; -100 stands for silence). At most 20 a second, and as many only while somebody listens; and one at once when the agent falls silent. */
export interface LevelEvent {
  /** The microphone's mean power, in dBFS. */
  readonly inputRms: number;
  /** The microphone's loudest sample since the event before, in dBFS. */
  readonly inputPeak: number;
  /** The mean power of what is heard of the agent, in dBFS. */
  readonly outputRms: number;
  /** Its loudest sample, in dBFS. */
  readonly outputPeak: number;
}

/** The network's round-trip time. */
export interface RttEvent {
  /** Milliseconds. */
  readonly ms: number;
}

/** Audio of the microphone that the agent will never hear: the connection was away for longer than the buffer holds. */
export interface GapEvent extends Told<"gap"> {
  /** Where it begins, in samples at 16 kHz since the call began. */
  readonly position: number;
  /** How long it is, in samples at 16 kHz. */
  readonly samples: number;
  /** How long it is, in milliseconds. */
  readonly ms: number;
}

/** The microphone that is open changed, or sound can (no longer) come from it. */
export interface MicrophoneEvent {
  /** The browser's name for it; empty when the microphone was taken away. */
  readonly label: string;
  /** The browser's id for it, as `setMicrophone` takes it; `undefined` where the browser does not tell, and when it was taken away. */
  readonly deviceId: string | undefined;
  /** Whether sound can come from it; if not, the SDK is trying to open it again, unless it was taken away. */
  readonly live: boolean;
  /** Whether it is the default one in place of the chosen one, which is away and is taken again when it is back. */
  readonly fallback: boolean;
}

/** Another loudspeaker is played on than before. */
export interface SpeakerEvent {
  /** The browser's id for it, as `setSpeaker` takes it; `undefined` for the system's one. */
  readonly deviceId: string | undefined;
  /** Whether it is the system's one in place of the chosen one, which is away and is taken again when it is back. */
  readonly fallback: boolean;
}

/** The call is over; nothing follows but `level`, while the agent's last words are heard. */
export interface EndedEvent extends Told<"ended"> {
  /** Why, as a word. */
  readonly reason: CloseName;
  /** Why, as the close code of the table in `docs/errors.md`. */
  readonly code: number;
  /** The final usage. */
  readonly usage: Usage;
}

/** The events of a call. */
export interface CallEvents {
  /** The call changed its state. */
  state: StateEvent;
  /** The call is tried over something else than before, or not over a WebSocket from the beginning. */
  transport: TransportEvent;
  /** A session began, or goes on rebuilt. */
  session: SessionEvent;
  /** The agent listens, thinks or speaks. */
  agent: AgentEvent;
  /** Something was said, or is understood in another way. */
  transcript: TranscriptEvent;
  /** What the session has used; at most once a second. */
  usage: Usage;
  /** A budget has reached a threshold. */
  budget: BudgetEvent;
  /** The agent asks the page to run a tool. */
  toolCall: ToolCallEvent;
  /** Nobody waits for a tool's result any more. */
  toolCancel: ToolCancelEvent;
  /** The agent does something less well, or well again. */
  degraded: DegradedEvent;
  /** How long an answer took. */
  latency: LatencyEvent;
  /** An operator listens in, or does not any more. */
  listened: ListenedEvent;
  /** A message that was taken will not reach the relay. */
  undelivered: UndeliveredEvent;
  /** How loud it is; at most 20 a second, and one at once when the agent falls silent. */
  level: LevelEvent;
  /** The network's round-trip time was measured. */
  rtt: RttEvent;
  /** How well the line does; every 2 s while there is sound and for 12 s more, and when a warning is raised or clear. */
  quality: QualityEvent;
  /** Audio of the microphone was lost. */
  gap: GapEvent;
  /** Another microphone is open, or sound can (no longer) come from it. */
  microphone: MicrophoneEvent;
  /** Another loudspeaker is played on. */
  speaker: SpeakerEvent;
  /** Something went wrong; the call goes on unless `ended` follows. */
  error: VoxrelayError;
  /** The call is over; nothing follows but `level`, while the agent's last words are heard. */
  ended: EndedEvent;
}
