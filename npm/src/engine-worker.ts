import type { Birth } from "./roles.js";

/** Makes this Worker an engine as soon as its page sends what it needs. Answers `true`, or the message of what went wrong. */
export function runEngineWorker(): void {
  const born = ({ data }: MessageEvent<Partial<Birth> | undefined>): void => {
    const { voxrelay, module, settings, port } = data ?? {};
    if (voxrelay !== "engine" || !module || !settings || !port) return;
    removeEventListener("message", born);
    // Evaluated here and not at the top, since the glue needs TextDecoder and this file also runs as a worklet.
    import("./engine.js")
      .then(({ serve }) => serve(module, settings, port))
      .then(
        () => postMessage(true),
        (thrown: unknown) => postMessage(String(thrown)),
      );
  };
  addEventListener("message", born);
  addEventListener("messageerror", () => postMessage("what it was sent could not be read"));
}
