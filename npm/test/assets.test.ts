// The addresses of what the page makes for its calls.

import assert from "node:assert/strict";
import { test } from "node:test";

import { OPTIONS } from "./support/browser.js";

import { blobOf as ofModule } from "../src/assets.js";
import { blobOf as ofScript } from "../src/assets-script.js";
import { settingsOf } from "../src/settings.js";

test("a page makes one address for each file of another origin, however many calls need it", () => {
  const { createObjectURL } = URL;
  let made = 0;
  URL.createObjectURL = (blob) => {
    made += 1;
    return createObjectURL(blob);
  };
  try {
    for (const blobOf of [ofModule, ofScript]) {
      made = 0;
      const first = blobOf('importScripts("https://cdn.example.com/voxrelay.js")');
      for (let calls = 0; calls < 500; calls++) assert.equal(blobOf('importScripts("https://cdn.example.com/voxrelay.js")'), first);
      assert.notEqual(blobOf('importScripts("https://cdn.example.com/other.js")'), first);
      assert.equal(made, 2);
    }
    made = 0;
    const httpUrl = "https://cdn.example.com/http.js";
    const { http } = settingsOf({ ...OPTIONS, httpUrl });
    assert.match(http, /^blob:/);
    assert.equal(settingsOf({ ...OPTIONS, httpUrl }).http, http);
    assert.equal(settingsOf({ ...OPTIONS, httpUrl: "/http.js" }).http, "https://app.example.com/http.js");
    assert.equal(made, 1);
  } finally {
    URL.createObjectURL = createObjectURL;
  }
});
