import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { CallProvider } from "voxrelay/react";

import { Captions, Controls, Level } from "./call.jsx";

// Vite hands `/v1` and `/dev` to the relay (vite.config.js), so that the page is of the relay's own origin, as its defaults ask. In production,
// `url` is the relay's (`wss://voice.example.com/v1/call`), whose `origins` list the page, and your own server gives the token.
const options = { url: "/v1/call", token: async () => (await fetch("/dev/token")).text() };

createRoot(document.querySelector("#app")).render(
  <StrictMode>
    <CallProvider options={options}>
      <Controls />
      <Level />
      <Captions />
    </CallProvider>
  </StrictMode>,
);
