// @ts-check
// What a scenario has to clear away, last made first cleared.

export class Stage {
  /** @type {(() => unknown)[]} */
  #jobs = [];

  /** @param {() => unknown} job */
  after(job) {
    this.#jobs.push(job);
  }

  async clear() {
    for (const job of this.#jobs.splice(0).reverse()) await job();
  }
}
