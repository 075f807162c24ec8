// The addresses of what the page makes for its calls.

import assert from "node:assert/strict";
import { test } from "node:test";

import { blobOf as ofModule } from "../src/assets.js";
import { blobOf as ofScript } from "../src/assets-script.js";

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
  } finally {
    URL.createObjectURL = createObjectURL;
  }
});
