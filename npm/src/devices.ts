/** A microphone or a loudspeaker that can be chosen. */
export interface Device {
  /** What `setMicrophone`, `setSpeaker` and the options of these names take. */
  readonly deviceId: string;
  /** Its name, for people. */
  readonly label: string;
}

/** The devices that can be chosen. */
export interface DeviceList {
  /** For `setMicrophone`. */
  readonly microphones: readonly Device[];
  /** For `setSpeaker`; none where the browser cannot play on another loudspeaker than the system's. */
  readonly speakers: readonly Device[];
}

/**
 * The devices that a user can choose from, the system's default first if the browser names it. A browser tells a page its devices when it has had
 * a microphone, and nothing before.
 */
export async function listDevices(): Promise<DeviceList> {
  // Pages that came in the clear have no devices at all.
  const all = (await (navigator.mediaDevices as MediaDevices | undefined)?.enumerateDevices()) ?? [];
  const list = (wanted: MediaDeviceKind): Device[] =>
    all.filter(({ kind, deviceId }) => kind === wanted && deviceId).map(({ deviceId, label }) => ({ deviceId, label }));
  return { microphones: list("audioinput"), speakers: "setSinkId" in ((globalThis.AudioContext as typeof AudioContext | undefined)?.prototype ?? {}) ? list("audiooutput") : [] };
}
