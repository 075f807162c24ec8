// What the two roles of the wasm module and the TypeScript around them say to each other.

import type { CloseName } from "./codes.js";
import type { VoxrelayError } from "./error.js";
import type { BudgetEvent, DegradedEvent } from "./events.js";

/** What the engine is told. The words are the methods of the wasm `Engine`. */
export type Command =
  | ["start"]
  | ["token", string]
  | ["tokenFailed", string]
  | ["why", number, string]
  | ["online" | "offline" | "woke"]
  | ["hold", boolean]
  | ["tap" | "speaker", MessagePort, number]
  | ["mute", boolean]
  | ["message", number, string]
  | ["bargeIn"]
  | ["close"];

/** What an engine is made with. */
export interface Settings {
  readonly url: string;
  readonly client: string;
  readonly chunkMs: number;
  readonly bufferMs: number;
  readonly giveUpAfterMs: number;
  readonly seed: number;
  /** The conversation to go on with; empty for a new one. */
  readonly conversation: string;
  /** The agent to speak with; empty for the relay's default. */
  readonly agent: string;
}

/** What a Worker is sent to become an engine. */
export interface Birth {
  readonly voxrelay: "engine";
  readonly module: WebAssembly.Module;
  readonly settings: Settings;
  readonly port: MessagePort;
}

/** The link's state, as the machine names it. */
export type LinkState = "idle" | "connecting" | "connected" | "reconnecting" | "closing" | "closed";

/** What the engine says, by method: name, and its arguments in the order of `sdk-wasm/src/engine/outlet.rs`. */
export interface Outlet {
  token(): void;
  why(): void;
  drained(): void;
  level(inputRms: number, inputPeak: number, outputRms: number, outputPeak: number): void;
  state(name: LinkState, attempt: number, retryInMs: number): void;
  limits(sessionMs: number, idleMs: number, budgetNanoUsd: number): void;
  price(item: string, unit: string, nanoUsd: number, per: number): void;
  session(sessionId: string, conversationId: string, epoch: number, recording: boolean, priceVersion: string, agent: string, features: string): void;
  agent(state: "listening" | "thinking" | "speaking"): void;
  transcript(turn: number, role: "user" | "agent", text: string, last: boolean, start: number, end: number): void;
  usage(audioMs: number, tokens: number, characters: number, costNanoUsd: number, leftNanoUsd: number): void;
  budget(scope: BudgetEvent["scope"], percent: BudgetEvent["percent"], limitNanoUsd: number, spentNanoUsd: number): void;
  toolCall(callId: string, name: string, args: string): void;
  toolCancel(callId: string): void;
  degraded(what: DegradedEvent["what"], degraded: boolean): void;
  latency(turn: number, sttMs?: number, llmMs?: number, ttsMs?: number, totalMs?: number): void;
  listened(listening: boolean): void;
  undelivered(json: string): void;
  taken(id: number): void;
  refused(id: number, code: string, message: string, retryable: boolean, limit?: number): void;
  rtt(ms: number): void;
  gap(position: number, samples: number, ms: number): void;
  error(code: string, message: string, retryable: boolean, limit?: number, retryAfterMs?: number): void;
  ended(reason: CloseName, code: number): void;
}

/** One call of an {@link Outlet}, as it travels from the engine's port to the page. */
export type Report = { [Name in keyof Outlet]: [Name, ...Parameters<Outlet[Name]>] }[keyof Outlet];

/** What the page role asks of the TypeScript around it: `sdk-wasm/src/page/mod.rs`. */
export interface Host {
  readonly window: Window;
  readonly document: Document;
  readonly devices: MediaDevices | undefined;
  retire(node: AudioWorkletNode, context: AudioContext | undefined): void;
  reopenMicrophone(): void;
  reopenAudio(): void;
  devicesChanged(): void;
  tap(port: MessagePort, rate: number): void;
  speaker(port: MessagePort, rate: number): void;
  signal(name: "online" | "offline" | "woke"): void;
  hold(held: boolean): void;
  microphone(label: string, live: boolean): void;
  ignore(promise: Promise<unknown>): void;
  error(failure: VoxrelayError): void;
  failure(code: string, message: string, retryable: boolean): VoxrelayError;
}
