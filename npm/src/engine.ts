import type { Face, HttpWorker, Told } from "./http-socket.js";
import type { Command, Settings } from "./roles.js";
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
  const outlet: Outlet = {
    tell: (report) => port.postMessage(report),
    open(overHttp) {
      if (!overHttp) return new WebSocket(settings.url, "voxrelay.v1");
      // A Worker of its own: what is imported while this file runs, several bundlers cannot put into a Worker.
      const worker: HttpWorker = new Worker(settings.http);
      const face: Face = Object.assign(new EventTarget(), {
        bufferedAmount: 0,
        send(message: string | Uint8Array) {
          face.bufferedAmount += message.length;
          // Of the engine's memory only this, and not all of it.
          worker.postMessage(message.slice());
        },
        close: () => worker.postMessage(0),
      });
      const hear = (type: string, detail: object): unknown => face.dispatchEvent(Object.assign(new Event(type), detail));
      worker.onmessage = ({ data: [type, detail] }: MessageEvent<Told>) => (type ? hear(type, detail) : (face.bufferedAmount = detail));
      worker.onerror = () => hear("close", { code: 1006 });
      worker.postMessage(settings.url);
      return face as unknown as WebSocket;
    },
  };
  const engine = new Engine(outlet, JSON.stringify(settings));
  port.onmessage = ({ data: [name, ...args] }: MessageEvent<Command>) => {
    (engine[name] as (...args: unknown[]) => void).apply(engine, args);
  };
  return () => {
    port.close();
    engine.free();
  };
}
