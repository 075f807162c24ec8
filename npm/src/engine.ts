import type { Command, Outlet, Settings } from "./roles.js";

/**
 * Runs an engine behind `port`: on the page or in a Worker, the same.
 *
 * @returns the function that ends it
 */
export async function serve(
  module: WebAssembly.Module,
  settings: Settings,
  port: MessagePort,
): Promise<() => void> {
  // Evaluated here and not at the top, since the glue needs TextDecoder and the script-tag build also runs as a worklet.
  const { Engine, initSync } = await import("./wasm.js");
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
