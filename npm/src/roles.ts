// What the page and the engine say to each other. Both ways it is described in Rust: the types are made from `sdk-wasm/src/engine`.

import type { Engine, Report, Settings } from "./wasm/voxrelay_wasm.js";

export type { Report, Settings };

/** The methods of the wasm `Engine` by which it is told something. */
type Told = Exclude<keyof Engine, "free" | symbol>;

/** What the engine is told: the name of one of its methods, and what that takes. */
export type Command = { [Name in Told]: [name: Name, ...args: Parameters<Engine[Name]>] }[Told];

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
