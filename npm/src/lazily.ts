// Modules that are fetched when they are needed, and asked for again if they did not come.

/** Chromium and Firefox say which module did not load, and a bundler that fetches modules in a way of its own says other words. */
const ADDRESS = /module: ([^#\s]+)/;

/** How often a module was asked for by its address. */
let asked = 0;

/**
 * Imports what is at an address that is known only while the page runs. Firefox and WebKit remember an address that did not load for as long as
 * the page lives, so each attempt has one of its own: with a number behind it that no server sees.
 */
export function importAt(address: string): Promise<any> {
  // The build adds what bundlers have to be told about it.
  return import(`${address}#${++asked}`);
}

/**
 * Gives the function that fetches a module, for whoever needs it. If it did not load, the next attempt asks for it by the address that the browser
 * named, which is the one that a bundler gave the module, or else by the one in `own`.
 *
 * @param load imports the module in the way that bundlers know
 * @param own where the module lies if no bundler has moved it, in a browser's words: `module: ` and its address; any other words say nothing
 */
export function lazily<Module>(load: () => Promise<Module>, own: string): () => Promise<Module> {
  let address: string | undefined;
  return () =>
    (address ? (importAt(address) as Promise<Module>) : load()).catch((thrown: unknown) => {
      address ??= ADDRESS.exec(`${String(thrown)} ${own}`)?.[1];
      throw thrown;
    });
}
