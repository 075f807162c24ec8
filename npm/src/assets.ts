// Where the package's other files are: beside this module. Bundlers know the pattern `new URL("./…", import.meta.url)`, so each is
// written out.

import { SHARED, type Glue, type Sharing } from "./glue.js";
import { importAt, lazily } from "./lazily.js";

/** Known only while a classic script is being run: a bundle of such a form has no `import.meta.url`. */
const script = typeof document === "undefined" ? null : (document.currentScript as HTMLScriptElement | null);

/** Where the wasm file is. */
export function wasmUrl(): string {
  return whole(() => new URL("./voxrelay.wasm", import.meta.url), "voxrelay.wasm");
}

/** Where the connection over HTTP is. */
export function httpUrl(): string {
  return whole(() => new URL("./http.js", import.meta.url), "http.js");
}

/** Where the wasm file of voice activity is. */
export function voiceUrl(): string {
  return whole(() => new URL("./voice.wasm", import.meta.url), "voice.wasm");
}

/** Loads the worklet, by `add`, from where it is. */
export function addWorklet(add: (url: string) => Promise<void>): Promise<void> {
  return add(fileUrl());
}

/** Loads the glue, from the file that is Worker and worklet, too. */
export async function loadGlue(workletUrl: string | URL | undefined): Promise<Glue> {
  const url = new URL(workletUrl ?? fileUrl(), location.href).href;
  await importAt(url);
  const glue = (globalThis as Sharing)[SHARED];
  if (!glue) throw new Error(`${url} is of another version`);
  return glue;
}

/** How the Worker may be started, in at least one way: the first that works is used. */
export function workerStarts(): readonly (() => Worker)[] {
  const url = fileUrl();
  // Some bundlers give the path alone.
  const { origin, protocol } = new URL(url, location.href);
  if (origin !== location.origin && protocol.startsWith("http")) {
    // A Worker must be of the page's origin, but what it imports need not.
    return [() => workerFrom(blobOf(`import ${JSON.stringify(url)}`))];
  }
  return [
    () => {
      try {
        return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "voxrelay" });
      } catch {
        return workerFrom(url);
      }
    },
  ];
}

/** Starts the Worker from a file of the application's. */
export function workerFrom(url: string): Worker {
  return new Worker(url, { type: "module", name: "voxrelay" });
}

/** The file that is Worker and worklet at once. */
function fileUrl(): string {
  return whole(() => new URL("./worker.js", import.meta.url), "worker.js");
}

/** Where nobody knows the module's own address, the file is looked for beside the script, or beside the page. */
function whole(beside: () => URL, name: string): string {
  try {
    return beside().href;
  } catch {
    return new URL(name, script?.src || location.href).href;
  }
}

/** Where the page's policy demands trusted types it holds in a Worker of a blob, too, but the page's consent does not: what is loaded there is the SDK's. */
const CONSENT = 'try{trustedTypes.createPolicy("default",{createScriptURL:u=>u})}catch{}';

/** The addresses of what was made here: one for each source, which stays for the life of the page. */
const blobs: Record<string, string> = {};

/** The address of a script that is made here. */
export function blobOf(source: string): string {
  return (blobs[source] ??= URL.createObjectURL(new Blob([CONSENT, source], { type: "text/javascript" })));
}

/** What a call needs later, or few calls need. It lies beside this file, unless both are in a bundle. */
export const loadLater = lazily(() => import("./later.js"), `${import.meta.url}`.replace(/^(http.+\/)index\.js/, "module: $1later.js"));
