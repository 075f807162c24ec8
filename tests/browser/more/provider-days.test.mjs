// @ts-check
// Providers that have a bad day while somebody talks: Deepgram's Flux and Aura, and Anthropic's model; a recogniser of utterances, and ElevenLabs.

import { testBadDays } from "../support/provider-days.mjs";
import { OTHER_CAST, SPOKEN_CAST } from "../support/team.mjs";

testBadDays(OTHER_CAST);
testBadDays(SPOKEN_CAST, ["ears", "mouth"]);
