// What is fetched where no WebSocket gets through: a Worker that is a call's connection over plain requests.

import { type Asked, type Face, type Told, open } from "./http-socket.js";

/** The page begins it, and the engine is at the other end of the line. */
onmessage = ({ data: url, ports }: MessageEvent<string>) => {
  const line = ports[0]!;
  const tell = (...told: Told): void => line.postMessage(told);
  const face = new EventTarget() as Face;
  face.addEventListener("open", () => tell("open", {}));
  face.addEventListener("message", (event) => tell("message", { data: (event as MessageEvent).data }));
  face.addEventListener("close", (event) => tell("close", { code: (event as CloseEvent).code }));
  open(face, url, () => tell("", face.bufferedAmount));
  line.onmessage = ({ data }: MessageEvent<Asked>) => {
    if (data !== 0) return face.send(data);
    face.close();
    close();
  };
};
