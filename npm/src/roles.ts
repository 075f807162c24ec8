// What the page and the engine say to each other. Both ways it is described in Rust: the types are made from `sdk-wasm/src/engine`.

import type { CallEvents } from "./events.js";
import type { Engine, Report, Settings as EngineSettings, Upward } from "./wasm/voxrelay_wasm.js";

export type { Report };

/** What an engine is made with. */
export interface Settings extends EngineSettings {
  /** The relay's socket. */
  readonly url: string;
}

/** The methods of the wasm `Engine` by which it is told something. */
type Method = Exclude<keyof Engine, "free" | symbol>;

/** What the engine is told: the name of one of its methods, and what that takes. */
export type Command = { [Name in Method]: [name: Name, ...args: Parameters<Engine[Name]>] }[Method];

/** What comes to the engine: a command, or that the Worker of the connection over HTTP does not run. */
export type ToEngine = Command | [name: "noHttp"];

/** What comes from it: a {@link Report} as JSON text, or a connection over HTTP that is wanted: the end of its line for the Worker that the page begins. */
export type FromEngine = string | MessagePort;

/** What a Worker is sent to become an engine. */
export interface Birth {
  readonly voxrelay: "engine";
  readonly module: WebAssembly.Module;
  readonly settings: Settings;
  readonly port: MessagePort;
}

/** What the engine tells of one type, as a page may have it. */
export type Told<Type extends Report["type"]> = Readonly<Omit<Extract<Report, { type: Type }>, "type">>;

/** The name of a field as it is written on the wire. */
type OnTheWire<Name extends string> = Name extends `${infer First}${infer Rest}` ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${OnTheWire<Rest>}` : "";

/** The types of the messages that a page sends among its audio. */
export type UpwardType = Upward["type"];

/** What a message of one type brings, as it goes over the wire. */
export type UpwardFields<Type extends UpwardType> = Fields<Extract<Upward, { type: Type }>>;
type Fields<Message> = { readonly [Name in keyof Message as Name extends "type" ? never : OnTheWire<Name & string>]: Message[Name] };

/** The events that a page sees as the engine tells them. */
export type AsTold = "transport" | "agent" | "transcript" | "budget" | "toolCall" | "toolCancel" | "degraded" | "latency" | "listened" | "undelivered";

/** Does not compile where such an event promises something that the engine does not tell. */
export type Held = Holds<{ [Name in AsTold]: Told<Name> extends CallEvents[Name] ? true : Name }[AsTold]>;
type Holds<All extends true> = All;
