// @ts-check
// The network goes away in mid-sentence, once.

import { setTimeout as sleep } from "node:timers/promises";

import { testOutage } from "../support/outages.mjs";

testOutage({
  name: "the network falls silent for 3 s",
  happen: async (page, proxy) => {
    proxy.freeze();
    await page.context.setOffline(true);
    await sleep(3_000);
    proxy.thaw();
    await page.context.setOffline(false);
  },
});

testOutage({
  name: "the relay's socket is dropped",
  happen: async (_, proxy) => proxy.drop(),
});
