import type { Face, HttpScope } from "./http-socket.js";
import type { Command, Outlet, Settings } from "./roles.js";
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
    open(url, overHttp) {
      port.postMessage(`{"type":"transport","transport":"${overHttp ? "http" : "websocket"}"}`);
      if (!overHttp) return new WebSocket(url, "voxrelay.v1");
      const face = new EventTarget() as Face;
      // It may be given up before it is loaded.
      face.close = () => (url = "");
      import(settings.http).then(() => url && (globalThis as HttpScope).voxrelayHttp?.(face, url)).catch(() => face.dispatchEvent(new Event("close")));
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
