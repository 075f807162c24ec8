// @ts-check
// What a page and its Workers have in memory, as V8 says after it has collected its garbage.

/** @typedef {{ page: number, worker: number, wasm: number }} Heaps Bytes: JavaScript of the page, of its Workers, and WebAssembly of both. */

const PATIENCE_MS = 60_000;

/** Asks a target of the browser. @typedef {(method: string, params?: object) => Promise<any>} Ask */

/**
 * @param {import("playwright-core").Page} page
 * @returns {Promise<Heaps>}
 */
export async function heaps(page) {
  const session = await page.context().newCDPSession(page);
  /** @type {Map<number, (message: any) => void>} */
  const waiting = new Map();
  let asked = 0;
  session.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { id, result, error } = JSON.parse(message);
    waiting.get(id)?.(result ?? error);
  });
  /** @type {Ask[]} */
  const workers = [];
  session.on("Target.attachedToTarget", ({ sessionId }) => {
    workers.push(async (method, params = {}) => {
      const message = JSON.stringify({ id: ++asked, method, params });
      const id = asked;
      // A Worker that ends meanwhile answers nothing.
      const answer = new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`a Worker did not answer ${method}`)), PATIENCE_MS);
        waiting.set(id, (result) => (clearTimeout(timer), resolve(result)));
      });
      await session.send("Target.sendMessageToTarget", { sessionId, message });
      return answer;
    });
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const own = await heap((method, params) => session.send(/** @type {any} */ (method), params));
  const others = await Promise.all(workers.map(heap));
  await session.detach();
  const sum = (/** @type {number[]} */ values) => values.reduce((total, value) => total + value, 0);
  return { page: own.js, worker: sum(others.map(({ js }) => js)), wasm: sum([own, ...others].map(({ wasm }) => wasm)) };
}

/** @param {Ask} ask */
async function heap(ask) {
  await ask("HeapProfiler.enable");
  await ask("HeapProfiler.collectGarbage");
  const { usedSize } = await ask("Runtime.getHeapUsage");
  const { result } = await ask("Runtime.evaluate", { expression: "WebAssembly.Memory.prototype" });
  const { objects } = await ask("Runtime.queryObjects", { prototypeObjectId: result.objectId });
  const functionDeclaration = "function () { return this.reduce((sum, { buffer }) => sum + buffer.byteLength, 0); }";
  const called = await ask("Runtime.callFunctionOn", { objectId: objects.objectId, functionDeclaration, returnByValue: true });
  await ask("HeapProfiler.disable");
  return { js: Number(usedSize), wasm: Number(called.result.value) };
}
