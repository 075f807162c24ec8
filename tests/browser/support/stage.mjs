// @ts-check
// What a scenario has to clear away, last made first cleared.

export class Stage {
  /** @type {(() => unknown)[]} */
  #jobs = [];

  /** @param {() => unknown} job */
  after(job) {
    this.#jobs.push(job);
  }

  /** Does all of them, whichever fails: what is left would run beside the next scenario. */
  async clear() {
    /** @type {unknown[]} */
    const thrown = [];
    for (const job of this.#jobs.splice(0).reverse()) {
      try {
        await job();
      } catch (error) {
        thrown.push(error);
      }
    }
    if (thrown.length > 0) throw thrown[0];
  }
}
