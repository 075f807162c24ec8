// An app whose call is in a provider, and is shown by two components. Bundled by `react-call.test.mjs`.

import { StrictMode, createElement, startTransition } from "react";
import { createRoot } from "react-dom/client";
import { CallProvider, useCall, useLevels } from "voxrelay/react";

/** Which rendering's listener has heard each transcript. */
const heard = [];
const token = async () => (await fetch("/dev/token")).text();
/** What a click that waits for something calls in the end, whatever has become of its component. */
let begin;

function Phone() {
  const { state, connect, close, call } = useCall();
  begin = connect;
  const { input } = useLevels(call);
  const isOver = state === "idle" || state === "closed";
  return createElement("button", { onClick: isOver ? connect : close, "data-state": state, "data-input": input }, isOver ? "Call" : "Hang up");
}

function Captions() {
  const { captions } = useCall();
  return createElement("ol", null, captions.map(({ sessionId, turn, text }) => createElement("li", { key: `${sessionId} ${turn}` }, text)));
}

export function App({ rendering }) {
  const options = { url: "/v1/call", token, onTranscript: () => heard.push(rendering) };
  return createElement(CallProvider, { options }, createElement(Phone), createElement(Captions));
}

if (globalThis.document) {
  const root = createRoot(document.body.appendChild(document.createElement("div")));
  const render = (rendering) => root.render(createElement(StrictMode, null, createElement(App, { rendering })));
  globalThis.app = {
    heard,
    mount: () => render(1),
    again: () => startTransition(() => render(2)),
    unmount: () => root.render(null),
    begin: () => begin().then(() => "up", ({ code }) => code),
  };
}
