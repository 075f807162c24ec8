// The element's nodes. They are made one by one, as no policy forbids, and never from HTML.

import type { VoiceCallTexts } from "./texts.js";

/** A text that stands for itself. */
type Label = { [Name in keyof VoiceCallTexts]: VoiceCallTexts[Name] extends string ? Name : never }[keyof VoiceCallTexts];

type Attributes = Readonly<Record<string, string>>;

/** A node with attributes and children. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A drawing of 24 by 24, for the eye only. */
export function icon(name: string, path: string): SVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", name);
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return svg;
}

/** A button with a drawing and, below or for the ear only, its name. */
export function button(part: string, name: HTMLElement, ...drawings: Node[]): HTMLButtonElement {
  return make("button", { type: "button", class: part, part: `${part}-button` }, make("span", { class: "face" }, ...drawings), name);
}

/** Nodes that show one of the texts, whatever the call does. */
export class Labels {
  readonly #nodes: [node: Element, text: Label][] = [];

  make<Tag extends keyof HTMLElementTagNameMap>(text: Label, tag: Tag, attributes?: Attributes): HTMLElementTagNameMap[Tag] {
    const node = make(tag, attributes);
    this.#nodes.push([node, text]);
    return node;
  }

  /** For the ear only. */
  ear(text: Label): HTMLElement {
    return this.make(text, "span", { class: "sr" });
  }

  write(texts: VoiceCallTexts): void {
    for (const [node, text] of this.#nodes) write(node, texts[text]);
  }
}

/** Sets a text, unless it stands there already: a screen reader would hear it again. */
export function write(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function set(node: Element, name: string, value: string | boolean): void {
  node.setAttribute(name, String(value));
}

/** Hides what is not there. What had the focus hands it to `next`. */
export function show(node: HTMLElement, isThere: boolean, next?: HTMLElement): void {
  if (node.hidden === !isThere) return;
  const active = (node.getRootNode() as ShadowRoot).activeElement;
  node.hidden = !isThere;
  if (!isThere && active && node.contains(active)) next?.focus();
}

/** A sheet of its own, which no policy forbids. */
export function sheetOf(css: string): CSSStyleSheet {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  return sheet;
}
