import { VoiceClient } from "voxrelay";

import { call } from "./call.js";

document.querySelector("#call")?.addEventListener("click", () => void call(VoiceClient));
