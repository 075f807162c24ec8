"use client";

import { useCall } from "voxrelay/react";

async function token() {
  const answer = await fetch("/voice-token");
  if (!answer.ok) throw new Error(await answer.text());
  return answer.text();
}

/** A call of this component's own: it is hung up when the user goes to another page. @param {{ relay: string }} props */
export function Conversation({ relay }) {
  const { state, captions, error, connect, close } = useCall({ url: `${relay}/v1/call`, token });
  const isOver = state === "idle" || state === "closed";
  return (
    <main>
      {/* What went wrong is in the snapshot, as `error`. */}
      <button id="call" onClick={isOver ? () => connect().catch(() => {}) : close}>
        {isOver ? "Call" : "Hang up"}
      </button>
      <p role="status">{error ? `${error.code}: ${error.message}` : state}</p>
      <ol id="captions" aria-live="polite">
        {captions.map(({ sessionId, role, turn, text }) => (
          <li key={`${sessionId} ${role} ${turn}`}>
            {role}: {text}
          </li>
        ))}
      </ol>
    </main>
  );
}
