// A call's connection over plain requests, for networks that let no WebSocket through (docs/protocol.md, section 15). It has a WebSocket's
// face, so that the engine knows no difference.

/** What the engine uses of a WebSocket. */
export interface Face extends EventTarget {
  bufferedAmount: number;
  send(message: string | Uint8Array): void;
  close(): void;
}

/** The way to the Worker that is a connection, as the engine has it: it sends messages, and 0 when it is to end. */
export interface HttpLine extends MessagePort {
  postMessage(asked: Asked): void;
}
export type Asked = string | Uint8Array | 0;

/** What it tells the engine: an event with its `data` or `code`, or how many bytes wait in it. */
export type Told = readonly [type: "open" | "message" | "close", detail: object] | readonly [type: "", waiting: number];

/** The kinds of messages, and how many bytes stand before each, and before all of a request. */
const TEXT = 1;
const BINARY = 2;
const HEAD = 5;
const NUMBER = 4;

/** Bytes that one request brings, unless one message has more: as many as the line takes in a second or two. */
const FEWEST = 4_096;
const MOST = 65_536;
const FAST_MS = 1_000;
const SLOW_MS = 2_000;

/** A request that was not answered is made again, so often and after so long: the relay takes it once. */
const AGAIN = [250, 1_000];

/** How long the stream may take to say why the relay takes nothing more. */
const LAST_WORDS_MS = 1_000;

/** What a request is answered with that was taken. */
const TAKEN = 204;

/** Opens a connection to the relay whose socket is at `url`, and gives `face` its life. Calls `sent` when less waits. */
export function open(face: Face, url: string, sent: () => void = () => {}): void {
  const address = new URL(url);
  address.protocol = address.protocol.replace("ws", "http");
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0"));
  address.pathname += `/http/${id.join("")}`;

  const events = new EventSource(address);
  const requests = new AbortController();
  /** Messages that are in no request yet. */
  const waiting: Uint8Array[] = [];
  let number = 0;
  let most = 2 * FEWEST;
  let isSending = false;

  const end = (code: number): void => {
    if (requests.signal.aborted) return;
    face.close();
    face.dispatchEvent(new CloseEvent("close", { code }));
  };
  const hear = (data: string | ArrayBuffer): void => {
    face.dispatchEvent(new MessageEvent("message", { data }));
  };

  events.onopen = () => face.dispatchEvent(new Event("open"));
  // It would begin again by itself, and miss what was said meanwhile.
  events.onerror = () => end(1006);
  events.onmessage = ({ data }) => hear(data);
  events.addEventListener("audio", ({ data }) => hear(Uint8Array.from(atob(data), (char) => char.charCodeAt(0)).buffer));
  events.addEventListener("close", ({ data }) => end(JSON.parse(data).code));

  face.bufferedAmount = 0;
  face.close = () => {
    requests.abort();
    events.close();
  };
  face.send = (message) => {
    const isText = typeof message === "string";
    const payload = isText ? new TextEncoder().encode(message) : message;
    const record = new Uint8Array(HEAD + payload.length);
    record[0] = isText ? TEXT : BINARY;
    new DataView(record.buffer).setUint32(1, payload.length, true);
    record.set(payload, HEAD);
    waiting.push(record);
    face.bufferedAmount += record.length;
    void sendAll();
  };

  /** Sends what waits, request after request. */
  async function sendAll(): Promise<void> {
    if (isSending) return;
    isSending = true;
    // What is said in one go is in one request.
    await undefined;
    while (waiting.length) {
      const body = next();
      const began = performance.now();
      if (!(await isTaken(body))) {
        setTimeout(end, LAST_WORDS_MS, 1006);
        return;
      }
      const took = performance.now() - began;
      if (took > SLOW_MS) most = Math.max(FEWEST, most / 2);
      else if (took < FAST_MS) most = Math.min(MOST, most * 2);
      face.bufferedAmount -= body.length - NUMBER;
      sent();
    }
    isSending = false;
  }

  /** The body of the next request: its number, and as many messages as may be in it. */
  function next(): Uint8Array<ArrayBuffer> {
    let length = NUMBER;
    let count = 0;
    do length += waiting[count++]?.length ?? 0;
    while (length + (waiting[count]?.length ?? MOST) <= most);
    const body = new Uint8Array(length);
    new DataView(body.buffer).setUint32(0, number++, true);
    let place = NUMBER;
    for (const record of waiting.splice(0, count)) {
      body.set(record, place);
      place += record.length;
    }
    return body;
  }

  /** Whether the relay has taken this body. */
  async function isTaken(body: Uint8Array<ArrayBuffer>): Promise<boolean> {
    for (let failures = 0; ; failures++) {
      const wait = AGAIN[failures];
      try {
        const { status } = await fetch(address, { method: "POST", body, signal: requests.signal });
        // What stands between has its troubles, and the relay a body that came too slowly; everything else is an answer.
        if (!wait || (status < 500 && status !== 408)) return status === TAKEN;
      } catch {
        if (!wait || requests.signal.aborted) return false;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}
