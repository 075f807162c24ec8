// Three components that share the call of the provider around them.

import { useCall, useLevels } from "voxrelay/react";

export function Controls() {
  const { state, error, devices, call, connect, close } = useCall();
  const isOver = state === "idle" || state === "closed";
  return (
    <>
      {/* What went wrong is in the snapshot, as `error`. */}
      <button id="call" onClick={isOver ? () => connect().catch(() => {}) : close}>
        {isOver ? "Call" : "Hang up"}
      </button>
      <button disabled={isOver} aria-pressed={devices.muted} onClick={() => call.mute(!devices.muted)}>
        Mute
      </button>
      <p role="status">{error ? `${error.code}: ${error.message}` : state}</p>
    </>
  );
}

/** A component of its own, since it is rendered 20 times a second. */
export function Level() {
  const { call } = useCall();
  const { input } = useLevels(call);
  return <meter aria-label="Microphone" min={-60} max={0} value={Math.max(-60, input)} />;
}

export function Captions() {
  const { captions } = useCall();
  return (
    <ol id="captions" aria-live="polite">
      {captions.map(({ sessionId, role, turn, text }) => (
        <li key={`${sessionId} ${role} ${turn}`}>
          {role}: {text}
        </li>
      ))}
    </ol>
  );
}
