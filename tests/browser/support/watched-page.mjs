// @ts-check
// A page that keeps an eye on its tracks.

import { launch } from "./chromium.mjs";
import { Relay } from "./relay.mjs";
import { TestPage } from "./test-page.mjs";
import { watchTracks } from "./tracks.mjs";

/** A page of a relay of its own, whose tracks are watched. @param {import("./stage.mjs").Stage} stage */
export async function openWatched(stage) {
  const relay = await Relay.start();
  stage.after(() => relay.stop());
  const browser = await launch(stage);
  const page = await TestPage.open(browser, `http://127.0.0.1:${relay.port}`);
  const tracks = await watchTracks(page.page);
  return { relay, page, tracks };
}
