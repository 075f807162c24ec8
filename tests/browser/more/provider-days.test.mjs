// @ts-check
// Providers that have a bad day while somebody talks: each recogniser, model and voice that there is.

import { testBadDays } from "../support/provider-days.mjs";
import { CAST, OTHER_CAST, SPOKEN_CAST } from "../support/team.mjs";

testBadDays(CAST);
testBadDays(OTHER_CAST);
testBadDays(SPOKEN_CAST, ["ears", "mouth"]);
