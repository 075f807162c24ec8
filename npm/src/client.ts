import { Call } from "./call.js";
import { checkOptional } from "./check.js";
import { loadParts } from "./loader.js";
import type { AssetOptions, ConnectOptions } from "./options.js";

/** A call that is made at once: the short way. */
export class VoiceClient extends Call {
  /** Makes a {@link Call} and connects it: see {@link Call.connect}. */
  static async connect(options: ConnectOptions): Promise<VoiceClient> {
    const call = new VoiceClient(options);
    await call.connect();
    return call;
  }

  /** Fetches and compiles the engine ahead of the first call, so that a click is answered at once. */
  static async preload(options: AssetOptions = {}): Promise<void> {
    checkOptional(options);
    await loadParts(options);
  }
}
