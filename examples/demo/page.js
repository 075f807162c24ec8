// @ts-check
// The page's elements by their ids.

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof (kind ?? HTMLElement))) throw new Error(`index.html has no #${id}`);
  return /** @type {T} */ (found);
}

/** Sets a text, unless it stands there already: a screen reader would hear it again. @param {string} id @param {string} text */
export function show(id, text) {
  const target = element(id);
  if (target.textContent !== text) target.textContent = text;
}

/** What had the focus and can be used no more hands it on. @param {HTMLButtonElement} target @param {boolean} isOff @param {HTMLElement} next */
export function disable(target, isOff, next) {
  if (isOff && document.activeElement === target) next.focus();
  target.disabled = isOff;
}

/** Fills a list of names and values; what has not changed is left alone. @param {string} id @param {readonly (readonly [string, string])[]} rows */
export function showRows(id, rows) {
  const list = element(id);
  const key = JSON.stringify(rows);
  if (list.dataset.rows === key) return;
  list.dataset.rows = key;
  list.replaceChildren(
    ...rows.map(([name, value]) => {
      const row = document.createElement("div");
      const [term, details] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      details.textContent = value;
      row.append(term, details);
      return row;
    }),
  );
}
