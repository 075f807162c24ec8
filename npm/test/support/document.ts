// As much of a document as the element needs, on the stand-in browser: nodes in a tree, attributes, a shadow and a focus. Nothing is drawn.

import { browser } from "./browser.js";

type Child = FakeNode | string;

class FakeNode extends EventTarget {
  readonly children: FakeNode[] = [];
  parent: FakeNode | undefined;
  #text = "";
  readonly #attributes = new Map<string, string>();
  readonly dataset: Record<string, string> = {};
  /** Listeners that are properties, and all else that nobody looks at. */
  [property: string]: any;

  get isConnected(): boolean {
    return this === root || !!this.parent?.isConnected;
  }

  get textContent(): string {
    return this.#text + this.children.map(({ textContent }) => textContent).join("");
  }

  set textContent(text: string) {
    this.replaceChildren();
    this.#text = text;
  }

  get firstElementChild(): FakeNode | null {
    return this.children[0] ?? null;
  }

  get nextElementSibling(): FakeNode | null {
    const siblings = this.parent?.children ?? [];
    return siblings[siblings.indexOf(this) + 1] ?? null;
  }

  /** Of a choice. */
  get length(): number {
    return this.children.length;
  }

  get hidden(): boolean {
    return this.getAttribute("hidden") !== null;
  }

  set hidden(isHidden: boolean) {
    this.toggleAttribute("hidden", isHidden);
  }

  getAttribute(name: string): string | null {
    return this.#attributes.get(name) ?? null;
  }

  setAttribute(name: string, value: string): void {
    const before = this.getAttribute(name);
    this.#attributes.set(name, String(value));
    this.#tell(name, before);
  }

  removeAttribute(name: string): void {
    const before = this.getAttribute(name);
    if (this.#attributes.delete(name)) this.#tell(name, before);
  }

  toggleAttribute(name: string, isThere: boolean): void {
    if (isThere) this.setAttribute(name, "");
    else this.removeAttribute(name);
  }

  append(...children: Child[]): void {
    for (const child of children) this.#put(child, this.children.length);
  }

  before(...children: Child[]): void {
    const { parent } = this;
    if (parent) for (const child of children) parent.#put(child, parent.children.indexOf(this));
  }

  after(...children: Child[]): void {
    const { parent } = this;
    if (parent) for (const child of [...children].reverse()) parent.#put(child, parent.children.indexOf(this) + 1);
  }

  insertBefore(child: FakeNode, next: FakeNode | null): void {
    if (next) next.before(child);
    else this.append(child);
  }

  replaceChildren(...children: Child[]): void {
    for (const child of [...this.children]) child.remove();
    this.#text = "";
    this.append(...children);
  }

  remove(): void {
    const { isConnected } = this;
    const siblings = this.parent?.children;
    siblings?.splice(siblings.indexOf(this), 1);
    this.parent = undefined;
    if (isConnected) this["disconnectedCallback"]?.();
  }

  contains(other: FakeNode): boolean {
    return other === this || this.children.some((child) => child.contains(other));
  }

  closest(): null {
    return null;
  }

  getRootNode(): object {
    return this.parent ? this.parent.getRootNode() : this;
  }

  focus(): void {}

  click(): void {
    if (!this.hidden) this["onclick"]?.({ preventDefault: () => undefined });
  }

  attachShadow(): FakeNode {
    const shadow = new FakeNode();
    // What is in the shadow is in the page as its host is.
    shadow.parent = this;
    return (this["shadowRoot"] = Object.assign(shadow, { adoptedStyleSheets: [], activeElement: null }));
  }

  /** Those within that have this class, or are of this tag. */
  all(name: string): FakeNode[] {
    const isMeant = this.getAttribute("class")?.split(" ").includes(name) || this["tag"] === name;
    return [...(isMeant ? [this] : []), ...this.children.flatMap((child) => child.all(name))];
  }

  #put(child: Child, index: number): void {
    if (typeof child === "string") {
      this.#text += child;
      return;
    }
    if (child.parent) child.remove();
    child.parent = this;
    this.children.splice(index, 0, child);
    if (this.isConnected) child["connectedCallback"]?.();
  }

  #tell(name: string, before: string | null): void {
    const { observedAttributes = [] } = this.constructor as { observedAttributes?: string[] };
    if (observedAttributes.includes(name)) this["attributeChangedCallback"](name, before, this.getAttribute(name));
  }
}

export type { FakeNode };

/** What is in the page. */
export const root: FakeNode = new FakeNode();

const known = new Map<string, unknown>();
const make = (tag: string): FakeNode => Object.assign(new FakeNode(), { tag, value: "" });
Object.assign(browser.document, { baseURI: "https://app.example.com/page", createElement: make, createElementNS: (_: string, tag: string) => make(tag) });
Object.assign(globalThis, {
  HTMLElement: FakeNode,
  customElements: { get: (name: string) => known.get(name), define: (name: string, made: unknown) => known.set(name, made) },
  ResizeObserver: class {
    observe(): void {}
  },
  CSSStyleSheet: class {
    readonly cssRules = [{ style: { setProperty: () => undefined } }];
    replaceSync(): void {}
  },
});
