/** Attributes that are properties, too. */
const REFLECTED = { relay: "relay", tokenUrl: "token-url", agent: "agent", conversation: "conversation", mode: "mode", consent: "consent", theme: "theme" };

/** Gives a class of elements its properties. */
export function reflect(prototype: HTMLElement): void {
  for (const [property, attribute] of Object.entries(REFLECTED)) {
    Object.defineProperty(prototype, property, {
      get(this: HTMLElement) {
        return this.getAttribute(attribute);
      },
      set(this: HTMLElement, value: unknown) {
        if (value === null || value === undefined) this.removeAttribute(attribute);
        else this.setAttribute(attribute, String(value));
      },
    });
  }
}

/** Sets again what was set before the element was known: until then it was a property of its own. */
export function takeOver(element: HTMLElement): void {
  const own = element as unknown as Record<string, unknown>;
  for (const name of [...Object.keys(REFLECTED), "texts"]) {
    if (!Object.hasOwn(element, name)) continue;
    const value = own[name];
    delete own[name];
    own[name] = value;
  }
}
