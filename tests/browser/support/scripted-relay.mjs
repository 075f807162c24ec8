// @ts-check
// A relay that says what a test has it say, and when: of the protocol (docs/protocol.md) it speaks as much as a call without a microphone needs.
// All that is not a WebSocket is answered by a real relay.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** Of the WebSocket protocol itself, RFC 6455. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
/** The close code of a call that is over, as the two bytes of its frame. */
const NORMAL = Buffer.from([0x03, 0xe8]);

/** Samples a second of what it says, as codec 2 is. */
const RATE_HZ = 24_000;
const CODEC = 2;
const HEADER_BYTES = 12;

const USAGE = { audio_ms: 0, tokens: 0, characters: 0, cost_nano_usd: 0, left_nano_usd: 1 };
const WELCOME = {
  type: "welcome",
  session_id: "scripted",
  conversation_id: "scripted",
  epoch: 0,
  resume_token: "scripted",
  resume_window_ms: 120_000,
  heartbeat_ms: 15_000,
  agent_codec: "pcm_s16le_24000",
  recording: false,
  limits: { session_ms: 1_800_000, idle_ms: 600_000, chunk_min_bytes: 100, chunk_max_bytes: 100_000, burst_ms: 65_000, budget_nano_usd: 1 },
  prices: { version: "scripted", items: [] },
};

export class ScriptedRelay {
  #relay;
  /** The socket of the call. @type {import("node:stream").Duplex | undefined} */
  #socket;
  /** The number of the next frame, and the place of the next sample. */
  #seq = 0;
  #position = 0;

  /** @param {number} relay Port of the real relay. */
  constructor(relay) {
    this.#relay = relay;
    this.port = 0;
    /** How far the page says to have heard the agent, in samples. */
    this.played = 0;
    this.server = createServer((asked, answer) => this.#pass(asked, answer));
    this.server.on("upgrade", (asked, socket) => this.#accept(asked, socket));
  }

  /** Starts it on a free port. @param {import("./stage.mjs").Stage} stage Ends it when the test is over. @param {number} relay Port of the real relay. */
  static async start(stage, relay) {
    const scripted = new ScriptedRelay(relay);
    scripted.server.listen(0, "127.0.0.1");
    await once(scripted.server, "listening");
    stage.after(() => scripted.#stop());
    scripted.port = /** @type {import("node:net").AddressInfo} */ (scripted.server.address()).port;
    return scripted;
  }

  /** Where the browser finds it. */
  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Sends so much of a soft tone at once, in one frame. @param {number} ms */
  say(ms) {
    const samples = (ms * RATE_HZ) / 1_000;
    const frame = Buffer.alloc(HEADER_BYTES + 2 * samples);
    frame.set([1, CODEC]);
    frame.writeUInt32LE(this.#seq++, 4);
    frame.writeUInt32LE(this.#position, 8);
    for (let sample = 0; sample < samples; sample += 1) {
      const phase = (2 * Math.PI * 440 * (this.#position + sample)) / RATE_HZ;
      frame.writeInt16LE(Math.round(3_000 * Math.sin(phase)), HEADER_BYTES + 2 * sample);
    }
    this.#position += samples;
    this.#send(BINARY, frame);
  }

  /**
   * Gives an answer in pieces of 100 ms, each when it is to be heard, over a line that stands still now and then: what came meanwhile comes at once.
   * @param {number} ms How long the answer is.
   * @param {{ at: number, for: number }[]} stills When the line stands still, and for how long, in milliseconds.
   */
  async answer(ms, stills) {
    const begin = performance.now();
    for (let due = 0; due < ms; due += 100) {
      const still = stills.find(({ at, for: length }) => at <= due && due < at + length);
      const comes = still ? still.at + still.for : due;
      await sleep(Math.max(0, begin + comes - performance.now()));
      this.say(100);
    }
    this.end();
  }

  /** Says that an answer is whole, or that the agent has paused in it. */
  end() {
    this.#tell({ type: "reply_end", seq: this.#seq++ });
  }

  /** @param {import("node:http").IncomingMessage} asked @param {import("node:stream").Duplex} socket */
  #accept(asked, socket) {
    const accept = createHash("sha1").update(`${asked.headers["sec-websocket-key"]}${GUID}`).digest("base64");
    socket.on("error", () => socket.destroy());
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\nsec-websocket-protocol: voxrelay.v1\r\n\r\n`,
    );
    this.#socket = socket;
    let waiting = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      waiting = Buffer.concat([waiting, bytes]);
      for (;;) {
        const frame = firstFrame(waiting);
        if (!frame) return;
        waiting = waiting.subarray(frame.length);
        if (frame.opcode === TEXT) this.#hear(JSON.parse(frame.payload.toString("utf8")));
        if (frame.opcode === CLOSE) socket.end();
      }
    });
  }

  /** @param {{ type: string, id?: number, played?: number }} message */
  #hear({ type, id, played }) {
    if (type === "ack") this.played = played ?? 0;
    if (type === "hello") this.#tell(WELCOME);
    if (type === "ping") this.#tell({ type: "pong", id });
    if (type === "bye") {
      this.#tell({ type: "ended", reason: "normal", usage: USAGE });
      this.#send(CLOSE, NORMAL);
    }
  }

  /** @param {object} message */
  #tell(message) {
    this.#send(TEXT, Buffer.from(JSON.stringify(message)));
  }

  /** @param {number} opcode @param {Buffer} payload Of less than 64 KiB. */
  #send(opcode, payload) {
    const head = payload.length < 126 ? [0x80 | opcode, payload.length] : [0x80 | opcode, 126, payload.length >> 8, payload.length & 0xff];
    this.#socket?.write(Buffer.concat([Buffer.from(head), payload]));
  }

  /** The real relay is asked as one of its own machine. @param {import("node:http").IncomingMessage} asked @param {import("node:http").ServerResponse} answer */
  #pass(asked, answer) {
    const headers = { ...asked.headers, host: `127.0.0.1:${this.#relay}` };
    const passed = request({ host: "127.0.0.1", port: this.#relay, path: asked.url, method: asked.method, headers });
    passed.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  }

  #stop() {
    this.#socket?.destroy();
    this.server.close();
    this.server.closeAllConnections();
  }
}

/** The first of the frames that a browser sent, if all of it is there. @param {Buffer} bytes */
function firstFrame(bytes) {
  if (bytes.length < 2) return;
  // What a page says in such a call is shorter than 64 KiB.
  const isLong = (bytes[1] & 0x7f) === 126;
  const head = isLong ? 8 : 6;
  if (bytes.length < head) return;
  const length = head + (isLong ? bytes.readUInt16BE(2) : bytes[1] & 0x7f);
  if (bytes.length < length) return;
  const payload = Buffer.from(bytes.subarray(head, length));
  for (const [i, byte] of payload.entries()) payload[i] = byte ^ bytes[head - 4 + (i % 4)];
  return { opcode: bytes[0] & 0x0f, payload, length };
}
