// The JavaScript around the wasm module, which wasm-bindgen makes. It is in one file, and Worker and page load that one.

declare const VERSION: string;

/** What of it is used. */
export type Glue = typeof import("./engine.js");

/** Where `worker.js` leaves it on a page. A module of another version does not find it there: the two would not fit. */
export const SHARED: unique symbol = Symbol.for(`voxrelay ${VERSION}`);

/** A page on which it may have been left. */
export interface Sharing {
  [SHARED]?: Promise<Glue>;
}
