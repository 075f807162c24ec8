// @ts-check
// The network goes away in mid-sentence, again and again. `more/outage.test.mjs` has other ways.

import { setTimeout as sleep } from "node:timers/promises";

import { testOutage } from "./support/outages.mjs";

testOutage({
  name: "the socket is dropped three times, the network silent in between",
  happen: async (_, proxy) => {
    for (let i = 0; i < 3; i++) {
      proxy.freeze();
      await sleep(700);
      proxy.drop();
      proxy.thaw();
      await sleep(1_300);
    }
  },
});
