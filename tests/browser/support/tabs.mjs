// @ts-check
// The tabs of a browser that puppeteer drives.

/**
 * @param {import("puppeteer-core").Browser} browser
 * @param {string} url
 * @returns {Promise<import("./engines.mjs").Tab>}
 */
export async function openTab(browser, url) {
  const page = await browser.newPage();
  await page.goto(url);
  return {
    evaluate: (work, argument) => page.evaluate(/** @type {any} */ (work), argument),
    click: () => page.click("html"),
    hide: async () => (await browser.newPage()).bringToFront(),
    show: () => page.bringToFront(),
  };
}
