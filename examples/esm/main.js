// A call from an npm project. Vite hands `/v1` and `/dev` to the relay (vite.config.js), so that the page is of the relay's own origin, as
// its defaults ask. In production, `url` is the relay's (`wss://voice.example.com/v1/call`), whose `origins` list the page, and your own
// server gives the token.
import { VoiceClient, VoxrelayError } from "voxrelay";

const state = document.querySelector("#state");
const captions = document.querySelector("#captions");
const mute = document.querySelector("#mute");

document.querySelector("#call").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  try {
    const call = await VoiceClient.connect({
      url: "/v1/call",
      token: async () => (await fetch("/dev/token")).text(),
      onState: (event) => (state.textContent = event.state),
      onEnded: () => {
        target.disabled = false;
        mute.disabled = true;
      },
    });
    call.on("transcript", ({ role, text, last }) => {
      if (!last) return;
      const line = document.createElement("li");
      line.textContent = `${role}: ${text}`;
      captions.append(line);
    });
    mute.disabled = false;
    mute.onclick = () => call.mute(!call.muted);
  } catch (error) {
    state.textContent = error instanceof VoxrelayError ? `${error.code}: ${error.message}` : String(error);
    target.disabled = false;
  }
});
