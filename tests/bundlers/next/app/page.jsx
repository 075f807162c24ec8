"use client";

// Imported at the top, so that the server, which has no window, imports it too.
import { VoiceClient } from "voxrelay";

import { call, rareCall } from "../call.js";

export default function Page() {
  return (
    <main>
      <button id="call" onClick={() => void call(VoiceClient)}>
        Call
      </button>
      <button id="rare" onClick={() => void rareCall(VoiceClient, () => import("voxrelay/preflight"))}>
        A call as few are
      </button>
      <p id="said" />
    </main>
  );
}
