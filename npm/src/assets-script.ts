// Where the package's other files are: as a script tag. The script is Worker and worklet, too, so that a page that allows this one
// file needs to allow no other.

import type { Glue } from "./glue.js";
import { QualityMeter, sendFeedback } from "./later.js";
import { registerProcessors } from "./processors.js";

/** Known only while the tag is being run. */
const script = typeof document === "undefined" ? null : (document.currentScript as HTMLScriptElement | null);
const own = script?.src ?? "";

/** Where the wasm file is: beside the script. */
export function wasmUrl(): string {
  return beside("voxrelay.wasm");
}

/** Where the wasm file of voice activity is: beside it, too. */
export function voiceUrl(): string {
  return beside("voice.wasm");
}

/** Where the connection over HTTP is. */
export function httpUrl(): string {
  return beside("http.js");
}

/** Loads the worklet, by `add`, from where it is. */
export function addWorklet(add: (url: string) => Promise<void>): Promise<void> {
  const addSource = (): Promise<void> => add(blobOf(`(${registerProcessors.toString()})()`));
  // Where the other origin does not share the file, its source is still here.
  return own ? add(own).catch(addSource) : addSource();
}

/** Loads the glue, which is in the script. Evaluated here and not at the top, since it needs TextDecoder and the script is the worklet, too. */
export function loadGlue(): Promise<Glue> {
  return import("./engine.js");
}

/** How the Worker may be started, in at least one way: the first that works is used. */
export function workerStarts(): readonly (() => Worker)[] {
  if (!own) {
    return [
      () => {
        throw "its address is unknown: set `workerUrl`";
      },
    ];
  }
  // A Worker must be of the page's origin, but what it imports need not.
  return [() => workerFrom(own), () => workerFrom(blobOf(`importScripts(${JSON.stringify(own)})`))];
}

/** Starts the Worker from a file of the application's. */
export function workerFrom(url: string): Worker {
  return new Worker(url, { name: "voxrelay" });
}

function beside(name: string): string {
  return new URL(name, own || location.href).href;
}

/** Where the page's policy demands trusted types it holds in a Worker of a blob, too, but the page's consent does not: what is loaded there is the SDK's. */
const CONSENT = 'try{trustedTypes.createPolicy("default",{createScriptURL:u=>u})}catch{}';

/**
 * The addresses of what was made here: one for each source, which stays for the life of the page. A revoked one could not be loaded into a context
 * that is made anew.
 */
const blobs: Record<string, string> = {};

/** The address of a script that is made here. */
export function blobOf(source: string): string {
  return (blobs[source] ??= URL.createObjectURL(new Blob([CONSENT, source], { type: "text/javascript" })));
}

/** What a call needs later, or few calls need: one file has it all. */
export async function loadLater(): Promise<typeof import("./later.js")> {
  return { QualityMeter, sendFeedback };
}
