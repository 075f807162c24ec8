import type { Face, HttpLine, Told } from "./http-socket.js";
import type { Settings, ToEngine } from "./roles.js";
import type { Outlet } from "./wasm/voxrelay_wasm.js";
// Of the glue nothing else, since it has another way to load itself.
import { Engine, initSync } from "./wasm/voxrelay_wasm.js";

/**
 * Runs an engine behind `port`: on the page or in a Worker, the same.
 *
 * @returns the function that ends it
 */
export function serve(module: WebAssembly.Module, settings: Settings, port: MessagePort): () => void {
  initSync({ module });
  /** Ends the connection over HTTP that was wanted last. */
  let lose: (() => void) | undefined;
  const outlet: Outlet = {
    tell: (report) => port.postMessage(report),
    open(overHttp) {
      if (!overHttp) return new WebSocket(settings.url, "voxrelay.v1");
      // The page begins the Worker at the other end: of two of which one has begun the other Chromium does not always end both.
      const { port1, port2 } = new MessageChannel();
      port.postMessage(port2, [port2]);
      const line: HttpLine = port1;
      const face: Face = Object.assign(new EventTarget(), {
        bufferedAmount: 0,
        send(message: string | Uint8Array) {
          face.bufferedAmount += message.length;
          // Of the engine's memory only this, and not all of it.
          line.postMessage(message.slice());
        },
        close() {
          line.onmessage = null;
          line.postMessage(0);
        },
      });
      const hear = (type: string, detail: object): unknown => face.dispatchEvent(Object.assign(new Event(type), detail));
      lose = () => void hear("close", { code: 1006 });
      line.onmessage = ({ data: [type, detail] }: MessageEvent<Told>) => {
        if (type) hear(type, detail);
        else face.bufferedAmount = detail;
      };
      return face as unknown as WebSocket;
    },
  };
  const engine = new Engine(outlet, JSON.stringify(settings));
  port.onmessage = ({ data: [name, ...args] }: MessageEvent<ToEngine>) => {
    if (name === "noHttp") lose?.();
    else (engine[name] as (...args: unknown[]) => void).apply(engine, args);
  };
  return () => {
    port.close();
    try {
      engine.free();
    } catch {
      // It has panicked, and lets nobody have it any more.
    }
  };
}
