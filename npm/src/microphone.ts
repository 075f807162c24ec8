// How the browser is asked for a microphone, and why one did not open.

import { ERROR_CODES, type ErrorCode } from "./codes.js";

/** What there is of permissions policies in Chromium; other browsers refuse without saying why. */
type Policed = Document & { featurePolicy?: { allowsFeature(name: string): boolean } };

/** Asks the browser for a microphone with these constraints, and for echo, noise and gain to be its care unless they say otherwise. */
export async function askMicrophone(constraints?: MediaTrackConstraints): Promise<MediaStream> {
  const { mediaDevices } = navigator;
  const audio: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...constraints };
  for (;;) {
    try {
      return await mediaDevices.getUserMedia({ audio });
    } catch (thrown) {
      // Some iPhones refuse `exact` (`OverconstrainedError`), also for a microphone that is there: it is wished for then.
      const { exact } = Object(audio.deviceId);
      if (!/Overc/.test(String(thrown)) || !(await mediaDevices.enumerateDevices()).some(({ deviceId }) => deviceId === exact)) throw thrown;
      audio.deviceId = exact;
    }
  }
}

/** The code and the words for what `getUserMedia` threw. Each is named by itself, so that of all the words only these are downloaded. */
export function refusedMicrophone(thrown: unknown): [code: ErrorCode, message: string] {
  const said = String(thrown);
  // Only secure pages have `mediaDevices`.
  if (!isSecureContext || (document as Policed).featurePolicy?.allowsFeature("microphone") === false) {
    return ["microphone_blocked", ERROR_CODES.microphone_blocked.message];
  }
  if (/dismissed/.test(said)) return ["microphone_dismissed", ERROR_CODES.microphone_dismissed.message];
  if (/^(NotAllowed|Security)/.test(said)) return ["microphone_denied", ERROR_CODES.microphone_denied.message];
  if (/^(NotReadable|Abort)/.test(said)) return ["microphone_busy", ERROR_CODES.microphone_busy.message];
  return ["microphone_missing", ERROR_CODES.microphone_missing.message];
}

/** Whether it is sound that the application has opened: also where there is no such class, such as on a server, and of another frame's class. */
export function isStream(value: unknown): value is MediaStream {
  return typeof (value as MediaStream | undefined)?.getAudioTracks === "function";
}
