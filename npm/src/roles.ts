// What the two roles of the wasm module and the TypeScript around them say to each other.

import type { VoxrelayError } from "./error.js";
import type { Report, Settings } from "./wasm/voxrelay_wasm.js";

export type { Report, Settings };

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

/** What a Worker is sent to become an engine. */
export interface Birth {
  readonly voxrelay: "engine";
  readonly module: WebAssembly.Module;
  readonly settings: Settings;
  readonly port: MessagePort;
}

/** The link's state, as the machine names it. */
export type LinkState = "idle" | "connecting" | "connected" | "reconnecting" | "closing" | "closed";

/** Whom the engine tells a {@link Report} as JSON text: what it says is made from `sdk-wasm/src/engine/report.rs`. */
export interface Outlet {
  tell(report: string): void;
}

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
