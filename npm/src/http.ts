// What is fetched where no WebSocket gets through: a Worker that is a call's connection over plain requests.

import { type Asked, type Face, type Told, open } from "./http-socket.js";

const tell = (...told: Told): void => postMessage(told);

onmessage = ({ data: url }: MessageEvent<string>) => {
  const face = new EventTarget() as Face;
  face.addEventListener("open", () => tell("open", {}));
  face.addEventListener("message", (event) => tell("message", { data: (event as MessageEvent).data }));
  face.addEventListener("close", (event) => tell("close", { code: (event as CloseEvent).code }));
  open(face, url, () => tell("", face.bufferedAmount));
  onmessage = ({ data }: MessageEvent<Asked>) => {
    if (data !== 0) return face.send(data);
    face.close();
    close();
  };
};
