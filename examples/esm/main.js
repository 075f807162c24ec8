// A call from an npm project: the relay runs at 127.0.0.1:8080 (`voxrelay dev`), which also gives the token.
import { VoiceClient, VoxrelayError } from "voxrelay";

const relay = "http://127.0.0.1:8080";
const state = document.querySelector("#state");
const captions = document.querySelector("#captions");
const mute = document.querySelector("#mute");

document.querySelector("#call").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  try {
    const call = await VoiceClient.connect({
      url: `${relay}/v1/call`,
      token: async () => (await fetch(`${relay}/dev/token`)).text(),
      onState: (event) => (state.textContent = event.state),
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
