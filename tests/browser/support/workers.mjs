// @ts-check
// What a page's Workers have.

/**
 * From now on the Workers that the page begins are without this: a page cannot tell, and a Worker only when it looks.
 * @param {import("playwright-core").Page} page
 * @param {string} name Of a global.
 */
export async function withoutInWorkers(page, name) {
  await page.evaluate((name) => {
    globalThis.Worker = class extends Worker {
      /** @param {string | URL} url @param {WorkerOptions} [options] */
      constructor(url, options) {
        const blob = (/** @type {string} */ source) => URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
        // One after the other, and both before a message is taken.
        const files = [blob(`Reflect.deleteProperty(globalThis, "${name}")`), new URL(url, location.href).href];
        const quoted = files.map((file) => JSON.stringify(file));
        super(blob(options?.type === "module" ? quoted.map((file) => `import ${file};`).join("") : `importScripts(${quoted})`), options);
      }
    };
  }, name);
}
