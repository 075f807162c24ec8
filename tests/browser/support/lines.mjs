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

/** Texts beside each other of which one stands a little higher, in pixels: less than lines of a text are apart. */
const UNEVEN = { least: 1, most: 20 };

/**
 * Texts beside each other that do not stand on one line, those of buttons among them: in rows of tables, in the head of a page, and where words are beside
 * what is pressed. Of each cell, or part of a row, its first text counts.
 * @param {Page} page @returns {Promise<string[]>} Each row.
 */
export const unevenRows = (page) =>
  page.evaluate(({ least, most }) => {
    // Nothing is in it, so that it ends where the text beside it stands.
    const probe = document.createElement("span");
    probe.style.display = "inline-block";
    /** Where the first text of a part stands. @param {Element} part @returns {number[]} Nothing if it has none. */
    const lineOf = (part) => {
      const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const parent = node.parentElement;
        if (!parent?.checkVisibility() || node.textContent?.trim() === "" || parent.closest(".sr, option")) continue;
        parent.insertBefore(probe, node);
        const { bottom } = probe.getBoundingClientRect();
        probe.remove();
        return [bottom];
      }
      return [];
    };
    return [...document.querySelectorAll("tr, .head, .line")]
      .filter((row) => {
        const lines = [...row.children].flatMap(lineOf);
        return lines.some((line) => lines.some((other) => other - line > least && other - line < most));
      })
      .map((row) => row.textContent ?? "");
  }, UNEVEN);
