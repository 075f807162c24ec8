import { VoiceClient } from "voxrelay";

import { call, rareCall } from "./call.js";

document.querySelector("#call")?.addEventListener("click", () => void call(VoiceClient));
document.querySelector("#rare")?.addEventListener("click", () => void rareCall(VoiceClient, () => import("voxrelay/preflight")));
