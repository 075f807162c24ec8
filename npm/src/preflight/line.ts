// A socket to the relay, one message at a time.

/** A message of the relay; nothing, for none in time. */
export type Heard = { readonly type: string; readonly code?: string; readonly message?: string; readonly retry_after_ms?: number | null } | ArrayBuffer | undefined;

export class Line {
  readonly #socket: WebSocket;
  readonly #waiting: Heard[] = [];
  #listener: ((heard: Heard) => void) | undefined;
  #isOver = false;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      try {
        this.#hear(typeof data === "string" ? (JSON.parse(data) as Heard) : (data as ArrayBuffer));
      } catch {
        // Somebody else takes the subprotocol.
        socket.close();
      }
    };
    socket.onclose = () => {
      this.#isOver = true;
      this.#listener?.(undefined);
    };
  }

  /** Opens a socket; nothing if it does not open in time. The signal closes it. */
  static open(url: string, ms: number, signal: AbortSignal): Promise<Line | undefined> {
    return new Promise((resolve) => {
      let socket: WebSocket;
      try {
        socket = new WebSocket(url, "voxrelay.v1");
      } catch {
        return resolve(undefined);
      }
      socket.binaryType = "arraybuffer";
      const close = (): void => socket.close();
      const settle = (line: Line | undefined): void => {
        clearTimeout(timer);
        if (!line) {
          signal.removeEventListener("abort", close);
          close();
        }
        resolve(line);
      };
      const timer = setTimeout(settle, ms, undefined);
      signal.addEventListener("abort", close);
      socket.onopen = () => settle(new Line(socket));
      socket.onclose = () => settle(undefined);
    });
  }

  say(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }

  ping(id: number): void {
    this.say({ type: "ping", id, rtt_us: 0 });
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(bytes);
  }

  /** The next message; nothing if none comes in time or any more. */
  async next(ms: number): Promise<Heard> {
    if (this.#waiting.length || this.#isOver) return this.#waiting.shift();
    return new Promise((resolve) => {
      const answer = (heard: Heard): void => {
        clearTimeout(timer);
        this.#listener = undefined;
        resolve(heard);
      };
      const timer = setTimeout(answer, Math.max(ms, 0), undefined);
      this.#listener = answer;
    });
  }

  close(): void {
    this.#socket.close(1000);
  }

  #hear(heard: Heard): void {
    if (this.#listener) this.#listener(heard);
    else this.#waiting.push(heard);
  }
}
