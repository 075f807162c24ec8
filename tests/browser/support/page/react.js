// An app that calls as long as its component is there, as React's users write it. Bundled by `react.test.mjs`.

import { StrictMode, createElement, useEffect, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";

const { Call: VoiceCall, VoiceClient } = globalThis.Voxrelay;

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

/** How often each state was rendered, in order; a burst of changes is one rendering. */
const rendered = [];

/** Shows a call that exists before it is made: nothing but its snapshot. */
function Shown({ call }) {
  const { state, captions, devices } = useSyncExternalStore(call.subscribe, () => call.snapshot);
  if (rendered.at(-1) !== state) rendered.push(state);
  return createElement("p", { id: "shown" }, `${state}, ${captions.length} captions, ${devices.muted ? "muted" : "open"}`);
}

/** Makes it where it is mounted, and hangs up where it is not any more. */
function Made() {
  const [call, setCall] = useState();
  useEffect(() => {
    const made = new VoiceCall({ url: "/v1/call", token: async () => (await fetch("/dev/token")).text() });
    setCall(made);
    made.mute();
    made.connect().catch((thrown) => calls.refused.push(thrown.code));
    return () => void made.close();
  }, []);
  return call ? createElement(Shown, { call }) : null;
}

const root = createRoot(document.body.appendChild(document.createElement("div")));
globalThis.app = {
  signals,
  calls: () => calls,
  mount: () => root.render(createElement(StrictMode, null, createElement(Call))),
  mountShown: () => root.render(createElement(StrictMode, null, createElement(Made))),
  rendered: () => rendered,
  unmount: () => root.render(null),
};
