// Modules that are fetched when they are needed, and asked for again if they did not come.

import { inTime } from "./abort.js";

/** Chromium and Firefox say which module did not load, and a bundler that fetches modules in a way of its own says other words. */
const ADDRESS = /module: ([^#\s]+)/;

/** How often something was asked for by its address. */
let asked = 0;

/** The address with a number behind it that no server sees: browsers remember an address that did not load, so each attempt has one of its own. */
export function anew(address: string): string {
  return `${address}#${++asked}`;
}

/** Imports what is at an address that is known only while the page runs. */
export function importAt(address: string): Promise<any> {
  // The build adds what bundlers have to be told about it.
  return import(anew(address));
}

/**
 * Gives the function that fetches a module once, for whoever needs it. If it did not load, or not in time, the next attempt asks for it by the
 * address that the browser named, which is the one that a bundler gave the module, or else by the one in `own`.
 *
 * @param load imports the module in the way that bundlers know
 * @param own where the module lies if no bundler has moved it, in a browser's words: `module: ` and its address; any other words say nothing
 */
export function lazily<Module>(load: () => Promise<Module>, own: string): () => Promise<Module> {
  let address: string | undefined;
  let loading: Promise<Module> | undefined;
  return () =>
    (loading ??= inTime(address ? (importAt(address) as Promise<Module>) : load()).catch((thrown: unknown) => {
      loading = undefined;
      address ??= ADDRESS.exec(`${String(thrown)} ${own}`)?.[1];
      throw thrown;
    }));
}
