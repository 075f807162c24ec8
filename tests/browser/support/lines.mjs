// @ts-check
// On which lines the texts of a page stand.

/** @typedef {import("playwright-core").Page} Page */

/**
 * The names of buttons that are broken, as far as they are to be seen, those in an element among them. A name of one or two words stands on one line.
 * A longer one is a sentence, which may have lines, but no word of it has two.
 * @param {Page} page @returns {Promise<string[]>} Each of them, or the word that is broken.
 */
export const brokenNames = (page) =>
  page.evaluate(() => {
    /** How many lines a part of a text has. @param {Node} node @param {number} from @param {number} to */
    const linesOf = (node, from, to) => {
      const range = document.createRange();
      range.setStart(node, from);
      range.setEnd(node, to);
      return new Set([...range.getClientRects()].filter(({ width }) => width > 0).map(({ top }) => Math.round(top))).size;
    };
    /** Whether it is for the ear alone. @param {Element | null} element */
    const isForEar = (element) => {
      for (let at = element; at; at = at.parentElement) if (getComputedStyle(at).clipPath !== "none") return true;
      return false;
    };
    const roots = [document, ...[...document.querySelectorAll("*")].flatMap(({ shadowRoot }) => shadowRoot ?? [])];
    return roots.flatMap((root) => [...root.querySelectorAll("button")]).flatMap((button) => {
      /** @type {string[]} */
      const broken = [];
      const walker = document.createTreeWalker(button, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (isForEar(node.parentElement)) continue;
        const words = [...(node.textContent ?? "").matchAll(/\S+/g)].map((word) => ({ word: word[0], from: word.index, to: word.index + word[0].length }));
        const names = words.length === 2 ? [{ word: `${words[0].word} ${words[1].word}`, from: words[0].from, to: words[1].to }] : words;
        broken.push(...names.filter(({ from, to }) => linesOf(/** @type {Node} */ (node), from, to) > 1).map(({ word }) => word));
      }
      return broken;
    });
  });
