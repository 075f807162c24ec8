// Whether there is a microphone that is heard.

import { unlessAborted } from "../abort.js";
import { ERROR_CODES } from "../codes.js";
import { askMicrophone, isStream, refusedMicrophone } from "../microphone.js";
import type { PreflightCall } from "../preflight.js";
import { type PreflightCheck, good, measured, skipped, trouble } from "./grade.js";

/** So long is listened at least, for sound that is too loud; and until something is heard, at most. */
const LISTEN_MS = 500;
const SILENT_MS = 2_000;
/** Between two looks at what was heard: the analyser keeps more than that, at every usual rate. */
const LOOK_MS = 30;
/** A context that does not run by then is held back by the browser, or has no loudspeaker whose clock it could run by: a call hears nothing then, either. */
const START_MS = 3_000;
/** So many samples of a look at full scale are sound that is cut off. */
const CLIPPED = 20;

/** Looks at the permission and the microphone. */
export async function gradeMicrophone(
  microphone: PreflightCall["microphone"],
  mayAsk: boolean | undefined,
  signal: AbortSignal,
): Promise<[permission: PreflightCheck, microphone: PreflightCheck]> {
  if (microphone === false) {
    const none = skipped("The call has no microphone.");
    return [none, none];
  }
  const granted = good("The page may open a microphone.");
  if (isStream(microphone)) return [granted, await listen(microphone, signal)];
  // Only secure pages have them.
  if (!navigator.mediaDevices) return [trouble(...refusedMicrophone("")), skipped("The page may not open it.")];
  const state = await permission();
  signal.throwIfAborted();
  if (state === "prompt" && !mayAsk) {
    const cure = "Ask after a click: with `askForMicrophone`, or by the call.";
    return [skipped("The user has not been asked yet.", cure), skipped("The page may not open it yet.", cure)];
  }
  let stream: MediaStream;
  try {
    // The processors of a call would change how loud it is, and nothing else that is looked at.
    stream = await unlessAborted(signal, askMicrophone(microphone), stop);
  } catch (thrown) {
    const [code, message] = refusedMicrophone(thrown);
    if (/missing|busy/.test(code)) return [granted, trouble(code, message)];
    return [trouble(code, message), skipped("The page may not open it.")];
  }
  return [granted, await listen(stream, signal, stop)];
}

/** What the browser says about asking; a browser that does not say names microphones only to pages that may open them. */
async function permission(): Promise<PermissionState> {
  try {
    return (await navigator.permissions.query({ name: "microphone" as PermissionName })).state;
  } catch {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.some(({ kind, label }) => kind === "audioinput" && label) ? "granted" : "prompt";
  }
}

/** Listens for a moment. The stream is over for it, and let go, before the browser has closed what it was listened to with. */
async function listen(stream: MediaStream, signal: AbortSignal, letGo?: (stream: MediaStream) => void): Promise<PreflightCheck> {
  let context: AudioContext | undefined;
  try {
    const [track] = stream.getAudioTracks();
    if (track?.muted) return trouble("microphone_silent", ERROR_CODES.microphone_silent.message, { grade: "poor" });
    context = new AudioContext();
    const analyser = context.createAnalyser();
    const source = context.createMediaStreamSource(stream);
    source.connect(analyser);
    void context.resume().catch(() => undefined);
    const samples = new Float32Array(analyser.fftSize);
    const begun = performance.now();
    let [peak, clipped, heardFrom] = [0, 0, 0];
    for (;;) {
      await unlessAborted(signal, new Promise((resolve) => setTimeout(resolve, LOOK_MS)));
      const now = performance.now();
      if (context.currentTime && context.state === "running") heardFrom ||= now;
      else if (now - begun <= START_MS) continue;
      else return trouble("audio_unavailable", "It opens, but sound stands still. Click on the page, or connect a loudspeaker, and look again.", { grade: "poor" });
      analyser.getFloatTimeDomainData(samples);
      peak = Math.max(peak, ...samples.map(Math.abs));
      clipped = Math.max(clipped, samples.filter((sample) => Math.abs(sample) >= 0.999).length);
      if (now - heardFrom > (peak ? LISTEN_MS : SILENT_MS)) break;
    }
    source.disconnect();
    if (!peak) return trouble("microphone_silent", ERROR_CODES.microphone_silent.message, { grade: "poor" });
    const value = Math.round(20 * Math.log10(peak));
    if (clipped > CLIPPED) return measured("fair", "It is so loud that sound is cut off.", value, "Turn it down, or speak from farther away.");
    return good("It is open, and something comes from it.", value);
  } catch (thrown) {
    signal.throwIfAborted();
    return trouble("audio_unavailable", ERROR_CODES.audio_unavailable.message, { cure: String(thrown) });
  } finally {
    letGo?.(stream);
    await context?.close();
  }
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
