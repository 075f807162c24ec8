import type { CallEvents, Transport } from "./events.js";
import type { ToolHandler } from "./tools.js";

/** Where the package's files are, for pages that serve them from elsewhere than beside the script. */
export interface AssetOptions {
  /** Where `voxrelay.wasm` is. */
  readonly wasmUrl?: string | URL;
  /** Where `voice.wasm` is, for calls with `voiceActivity`. */
  readonly voiceUrl?: string | URL;
  /** Where `worker.js` is (as a script tag: `voxrelay.js`). Must be of the page's origin. */
  readonly workerUrl?: string | URL;
  /** Where the worklet is: `worker.js`, too (as a script tag: `voxrelay.js`). The module loads it into the page, too. */
  readonly workletUrl?: string | URL;
  /** Where `http.js` is, which is fetched only where no WebSocket gets through. */
  readonly httpUrl?: string | URL;
  /** `"never"` runs the engine on the page, where a busy page delays it. Default `"auto"`: in a Worker if one starts. */
  readonly worker?: "auto" | "never";
}

/** `onState`, `onTranscript`, …: listeners that are there from the first event on. */
export type EventOptions = {
  readonly [Name in keyof CallEvents as `on${Capitalize<Name>}`]?: (event: CallEvents[Name]) => void;
};

/** What a user thinks of a call. */
export interface Feedback {
  /** 1 (bad) to 5 (good). A thumb down is 1, a thumb up is 5. */
  readonly rating?: number | undefined;
  /** In words: at most 2,000 characters. */
  readonly comment?: string | undefined;
}

/**
 * Where a call notes what becomes of it: its states, what was refused and why by its code, its microphones. Never a token, and nothing that
 * was said. `console` is one; without one nothing is noted anywhere.
 */
export type Logger = { readonly [Level in "debug" | "info" | "warn" | "error"]?: (message: string) => void };

/** What to ask of a microphone; a browser leaves alone what it does not know. */
export interface MicrophoneConstraints extends MediaTrackConstraints {
  /** Leaves the user's voice and takes away all else, where the browser or the system can. It is off unless it is asked for. */
  readonly voiceIsolation?: ConstrainBoolean;
}

/** How to make a call. */
export interface ConnectOptions extends AssetOptions, EventOptions {
  /** The relay's socket, such as `wss://voice.example.com/v1/call`. Like a WebSocket's it may have no fragment: nothing of one would arrive. */
  readonly url: string | URL;
  /**
   * Fetches an access token from your own server. Called for each connection, and again before the token expires; an answer is
   * due within 10 s. What it throws is told, and it is called again, unless that has `retryable: false`: then a call without a connection ends.
   */
  readonly token: () => string | Promise<string>;
  /**
   * What to ask of `getUserMedia` as `audio`, a stream of your own with audio that has not ended (it is not stopped at the end), or `false`
   * for none. By default the system's default microphone with echo cancellation, noise suppression and gain control.
   */
  readonly microphone?: MicrophoneConstraints | MediaStream | false;
  /**
   * The id of the loudspeaker on which the agent is heard, as `enumerateDevices` gives it for an `audiooutput`. While it cannot be had, and in
   * browsers without `AudioContext.setSinkId`, the system's stands in, which a `speaker` event says. Default: the system's.
   */
  readonly speaker?: string;
  /** Whether the screen stays on while a microphone is open, where the browser can: a phone that goes to sleep ends the call. Default `true`. */
  readonly wakeLock?: boolean;
  /**
   * Whether the page itself notices that the user begins to speak over the agent, and holds the agent at once, without a round trip. The relay
   * decides what becomes of it, as of every interruption; if it says nothing within a second, the agent goes on where it stopped. It fetches
   * `voice.wasm` while the call connects; a call without it goes on, and says so to `logger`. Default `false`: the relay alone notices.
   */
  readonly voiceActivity?: boolean;
  /** Milliseconds of audio a message: 20 to 200. Default 100. */
  readonly chunkMs?: number;
  /** Seconds of audio kept while the connection is away: 1 to 60. Default 30. */
  readonly bufferSeconds?: number;
  /** How long to try to get a lost connection back, in milliseconds. Default 600,000. */
  readonly giveUpAfterMs?: number;
  /**
   * A context of your own that is not closed: it is neither paused, rebuilt nor closed by the SDK. It is resumed when the call begins and after a
   * phone call; once it has run, one that you pause stays so. Make it without `sampleRate`: some versions of Firefox connect no microphone to a
   * context of another rate than the device's.
   */
  readonly audioContext?: AudioContext;
  /** Where the agent is heard: a node of `audioContext`, which has to be given then. Default: its destination. */
  readonly output?: AudioNode;
  /**
   * The `conversationId` of an earlier call of the same user, to go on with what was said there. Without it, or with an
   * empty text, a new conversation begins. One that is not the user's is refused with `conversation_unknown`.
   */
  readonly conversation?: string;
  /**
   * What the call goes over. `"auto"`, the default, is a WebSocket or, where none gets through, HTTP: the same call in plain requests, which
   * takes more of the line. A `transport` event tells of a change. Where several relays are behind one address, HTTP needs a rule there.
   */
  readonly transport?: "auto" | Transport;
  /** The agent to speak with, by the name that the relay knows it by. Without it, or with an empty text, the relay's default one answers. */
  readonly agent?: string;
  /** Tools of the page that the agent may call, by name, from its first words on. See `registerTool`. */
  readonly tools?: Readonly<Record<string, ToolHandler>>;
  /** Ends the call, whether it is connected yet or not. */
  readonly signal?: AbortSignal;
  /** Where the call notes what becomes of it. Without one nothing is noted. */
  readonly logger?: Logger;
}
