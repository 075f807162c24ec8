/** What the promise gives, unless the signal comes first: then `late` has it when it comes. No listener stays on the signal. */
export function unlessAborted<T>(
  signal: AbortSignal | undefined,
  promise: Promise<T>,
  late: (value: T) => void = () => undefined,
): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason);
      promise.then(late, () => undefined);
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
