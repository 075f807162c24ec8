/** What loads and does not move for so long may never come: the next attempt asks for it again. */
const SILENCE_MS = 30_000;

/** The next that comes of something that loads, unless nothing does for too long. */
export function inTime<Loaded>(coming: Promise<Loaded>): Promise<Loaded> {
  return unlessAborted(AbortSignal.timeout(SILENCE_MS), coming);
}

/** What the promise gives, unless the signal comes first: then `late` has it when it comes. No listener stays on the signal. */
export function unlessAborted<T>(
  signal: AbortSignal,
  promise: Promise<T>,
  late: (value: T) => void = () => undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason);
      promise.then(late, () => undefined);
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
