// @ts-check
// The selectors of a page's style sheets, and which of them match something in the page as it is.

/**
 * Each selector by itself, whatever screen it is for; `:is(a, b)` are two.
 * @param {import("playwright-core").Page} page
 * @returns {Promise<{ selector: string, isMatched: boolean }[]>}
 */
export function selectorsOf(page) {
  return page.evaluate(() => {
    /** What no script can bring about, and what is no element. */
    const UNSEEN = /::[\w-]+|:(hover|focus-visible)/g;

    /** The parts between the commas that are in no parentheses. @param {string} list */
    const parts = (list) => {
      const found = [""];
      let depth = 0;
      for (const letter of list) {
        depth += Number(letter === "(") - Number(letter === ")");
        if (letter === "," && depth === 0) found.push("");
        else found[found.length - 1] += letter;
      }
      return found.map((part) => part.trim());
    };

    /** @param {string} selector @returns {string[]} */
    const each = (selector) => {
      const alternatives = /:is\(([^()]*(?:\([^()]*\)[^()]*)*)\)/.exec(selector);
      if (!alternatives) return [selector];
      return parts(alternatives[1]).flatMap((part) => each(selector.replace(alternatives[0], () => part)));
    };

    /** @param {CSSRuleList} rules @returns {string[]} */
    const selectors = (rules) =>
      [...rules].flatMap((rule) => {
        const own = rule instanceof CSSStyleRule ? parts(rule.selectorText).flatMap(each) : [];
        return rule instanceof CSSGroupingRule ? selectors(rule.cssRules) : own;
      });

    const all = [...document.styleSheets].flatMap((sheet) => selectors(sheet.cssRules));
    return [...new Set(all)].map((selector) => {
      const isMatched = document.querySelector(selector.replace(UNSEEN, "").trim() || "*") !== null;
      return { selector, isMatched };
    });
  });
}
