"use client";

// Imported at the top, so that the server, which has no window, imports it too.
import { VoiceClient } from "voxrelay";

import { call } from "../call.js";

export default function Page() {
  return (
    <main>
      <button id="call" onClick={() => void call(VoiceClient)}>
        Call
      </button>
      <p id="said" />
    </main>
  );
}
