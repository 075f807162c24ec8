import type { Glue } from "./glue.js";
import type { Command, Outlet, Settings } from "./roles.js";

/**
 * Runs an engine behind `port`: on the page or in a Worker, the same.
 *
 * @returns the function that ends it
 */
export function serve(
  { Engine, initSync }: Glue,
  module: WebAssembly.Module,
  settings: Settings,
  port: MessagePort,
): () => void {
  initSync({ module });
  const outlet: Outlet = { tell: (report) => port.postMessage(report) };
  const engine = new Engine(outlet, JSON.stringify(settings));
  port.onmessage = ({ data: [name, ...args] }: MessageEvent<Command>) => {
    (engine[name] as (...args: unknown[]) => void).apply(engine, args);
  };
  return () => {
    port.close();
    engine.free();
  };
}
