// @ts-check
// Providers that have a bad day while somebody talks: Deepgram's first recogniser, and OpenAI's model and voice.

import { testBadDays } from "./support/provider-days.mjs";
import { CAST } from "./support/team.mjs";

testBadDays(CAST);
