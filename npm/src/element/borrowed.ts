// What makes and changes nodes is in element.js already, and is lent to element-call.js, which would bring it once more.

import type * as dom from "./dom.js";
import type * as view from "./view.js";

/** What is lent. */
export type Lent = readonly [
  make: typeof dom.make,
  icon: typeof dom.icon,
  button: typeof dom.button,
  write: typeof dom.write,
  set: typeof dom.set,
  show: typeof dom.show,
  sheetOf: typeof dom.sheetOf,
  inWords: typeof view.inWords,
];

export let make: typeof dom.make;
export let icon: typeof dom.icon;
export let button: typeof dom.button;
export let write: typeof dom.write;
export let set: typeof dom.set;
export let show: typeof dom.show;
export let sheetOf: typeof dom.sheetOf;
export let inWords: typeof view.inWords;

/** Takes it, before anything is made with it. */
export function borrow(lent: Lent): void {
  [make, icon, button, write, set, show, sheetOf, inWords] = lent;
}
