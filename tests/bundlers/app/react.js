// A call by React, as any app makes it. What the agent answers stands in the page.

import { createElement, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { useCall } from "voxrelay/react";

const said = document.querySelector("#said");

function Phone() {
  const { connect, engine } = useCall({
    url: String(new URLSearchParams(location.search).get("relay")),
    token: async () => (await fetch("/voice-token")).text(),
    microphone: { echoCancellation: false, autoGainControl: false, noiseSuppression: false },
    onTranscript: ({ role, text, last }) => {
      if (role === "agent" && last && said) said.textContent = text;
    },
    onError: (error) => console.error(error.code, error.message),
  });
  useEffect(() => {
    if (engine) document.documentElement.dataset.engine = engine;
  }, [engine]);
  return createElement("button", { id: "call", onClick: () => connect().catch(console.error) }, "Call");
}

const app = document.querySelector("#app");
if (app) createRoot(app).render(createElement(Phone));
