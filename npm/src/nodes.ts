// From the page's audio graph to the engine's ports.

/** A processor that has not ended by then is in a context that the browser holds back: it is not waited for. */
const RETIRE_MS = 2_000;
/** A processor says that it ends from within its last run; the browser knows of it a moment later. */
const LAST_RUN_MS = 50;

/** A part of the audio graph that leads to the engine, or comes from it. */
export interface Wired {
  /** Takes it out of the graph, and gives back what is the SDK's own. */
  close(): void;
}

/** How fast the volume changes: it is most of the way there after twice that, without a click. */
const VOLUME_S = 0.02;

/** The agent as it is heard. */
export interface Loudspeaker extends Wired {
  /** From 0 to 1. */
  setVolume(volume: number): void;
  /** Takes it out of the graph; resolves when its context is closed, or at once where that is the application's own. */
  close(): Promise<void>;
}

/** An open microphone. */
export interface Microphone extends Wired {
  readonly stream: MediaStream;
  readonly label: string;
  readonly deviceId: string | undefined;
  readonly track: MediaStreamTrack;
  /** Whether sound can come from it. */
  isLive(): boolean;
  /** Takes it out of the graph; its tracks are stopped unless they are the application's own, or `isKept`. */
  close(isKept?: boolean): void;
}

/** A part, and the engine's end of the channel to its processor: whoever hands that over keeps nothing of it. */
type WithPort<Part> = [part: Part, port: MessagePort];

/** Plays through `context`, which is closed with it unless it is the application's own. */
export function wireLoudspeaker(context: AudioContext, isOwn: boolean, volume: number, output: AudioNode = context.destination): WithPort<Loudspeaker> {
  const [node, port] = wire(context, "voxrelay-playback", { numberOfInputs: 0, outputChannelCount: [1] });
  const control = context.createGain();
  const { gain } = control;
  gain.value = volume;
  node.connect(control).connect(output);
  const loudspeaker: Loudspeaker = {
    setVolume: (volume) => void gain.setTargetAtTime(volume, context.currentTime, VOLUME_S),
    close: () => retire(node, isOwn ? undefined : context),
  };
  return [loudspeaker, port];
}

/** Listens to a stream, whose tracks are stopped with it unless it is the application's own; `happened` hears what becomes of its track. */
export function wireMicrophone(
  context: AudioContext,
  stream: MediaStream,
  isOwn: boolean,
  happened: (event: "ended" | "mute" | "unmute") => void,
): WithPort<Microphone> {
  const track = stream.getAudioTracks()[0]!;
  const source = context.createMediaStreamSource(stream);
  // Chromium ignores a channel count in the constraints, so the node mixes down.
  const [node, port] = wire(context, "voxrelay-tap", { channelCount: 1, channelCountMode: "explicit" });
  // It renders silence, but a node that leads nowhere need not be run.
  source.connect(node).connect(context.destination);
  const events = ["ended", "mute", "unmute"] as const;
  const listen = ({ type }: Event): void => happened(type as (typeof events)[number]);
  for (const event of events) track.addEventListener(event, listen);
  const microphone: Microphone = {
    stream,
    track,
    label: track.label,
    deviceId: track.getSettings().deviceId,
    isLive: () => track.readyState === "live" && !track.muted,
    close: (isKept) => {
      for (const event of events) track.removeEventListener(event, listen);
      source.disconnect();
      void retire(node);
      if (!isOwn && !isKept) track.stop();
    },
  };
  return [microphone, port];
}

/** Makes a worklet node and a channel to its processor; gives the far end, too. */
function wire(context: AudioContext, name: string, options: AudioWorkletNodeOptions): WithPort<AudioWorkletNode> {
  const node = new AudioWorkletNode(context, name, options);
  const { port1, port2 } = new MessageChannel();
  node.port.postMessage(port1, [port1]);
  return [node, port2];
}

/** Ends the processor of a node, then takes the node out and closes the context that was its own, for which it waits. */
function retire(node: AudioWorkletNode, context?: AudioContext): Promise<void> {
  const { port } = node;
  return new Promise((resolve) => {
    const end = (): void => {
      node.disconnect();
      port.close();
      resolve(context?.close());
    };
    if (!context) resolve();
    // A context that is closed before its processors have ended stays in Chromium's memory for the life of the page.
    const deadline = setTimeout(end, RETIRE_MS);
    port.onmessage = () => {
      clearTimeout(deadline);
      setTimeout(end, LAST_RUN_MS);
    };
    port.postMessage(null);
  });
}
