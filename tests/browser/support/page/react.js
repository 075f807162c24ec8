// An app that calls as long as its component is there, as React's users write it. Bundled by `react.test.mjs`.

import { StrictMode, createElement, useEffect } from "react";
import { createRoot } from "react-dom/client";

const { VoiceClient } = globalThis.Voxrelay;

/** Every signal that was made, and what became of each call. */
const signals = [];
const calls = { up: 0, ended: 0, refused: [] };

function Call() {
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    signals.push(signal);
    const token = async () => (await fetch("/dev/token")).text();
    VoiceClient.connect({ url: "/v1/call", token, signal, onEnded: () => (calls.ended += 1) }).then(
      () => (calls.up += 1),
      (thrown) => calls.refused.push(String(thrown)),
    );
    return () => controller.abort("unmounted");
  }, []);
  return null;
}

const root = createRoot(document.body.appendChild(document.createElement("div")));
globalThis.app = {
  signals,
  calls: () => calls,
  mount: () => root.render(createElement(StrictMode, null, createElement(Call))),
  unmount: () => root.render(null),
};
