// @ts-check
// Providers that have a bad day while somebody talks.

import { testBadDays } from "./support/provider-days.mjs";

testBadDays();
