// @ts-check
// Providers that have a bad day while somebody talks: Deepgram's Flux and Aura, and Anthropic's model.

import { testBadDays } from "../support/provider-days.mjs";
import { OTHER_CAST } from "../support/team.mjs";

testBadDays(OTHER_CAST);
