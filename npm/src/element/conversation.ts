import type { Call, Caption } from "../index.js";
import { make, set, write } from "./borrowed.js";
import type { Nodes } from "./nodes.js";
import type { Shown } from "./screen.js";

/** So near its end the log follows what is added. */
const NEAR_PX = 60;

/** What was said, and what was typed and is on its way. */
export class Conversation {
  readonly #nodes: Nodes;
  readonly #list = make("ol");
  readonly #log = make("div", { class: "log", part: "captions", role: "log", "aria-live": "off" }, this.#list);
  /** What is read out. */
  readonly #spoken = make("p", { class: "sr", "aria-live": "polite" });
  readonly #lines = new Map<string, HTMLLIElement>();
  /** Typed, and not in the transcript yet: in that of the call that it was sent in. */
  #typed: { readonly text: string; call?: Call }[] = [];
  /** The agent's turns that were read out, each once. */
  readonly #read = new Set<string>();

  constructor(nodes: Nodes) {
    this.#nodes = nodes;
    nodes.orbPart.after(this.#log);
    nodes.cardPart.append(this.#spoken);
    // What was said last stays in sight when something else takes room.
    new ResizeObserver(() => {
      this.#fit();
      this.#follow();
    }).observe(this.#log);
  }

  /** A call begins with nothing said. */
  clear(): void {
    this.#read.clear();
    write(this.#spoken, "");
  }

  /** Takes what was typed; it is sent when the call is up. */
  type(text: string): void {
    this.#typed.push({ text });
  }

  /** Sends what waits. `refused` is told what the call did not take, with the text back in the field. */
  async send(call: Call, refused: (thrown: unknown) => void): Promise<void> {
    // What is refused is taken out meanwhile.
    for (const typed of [...this.#typed]) {
      if (typed.call) continue;
      typed.call = call;
      await call.sendText(typed.text).catch((thrown: unknown) => {
        this.takeBack(typed.text, call);
        refused(thrown);
      });
    }
  }

  /** The call's transcript has it. Says something if it was on its way there. */
  arrived(text: string, call?: Call): unknown {
    const at = this.#typed.findIndex((typed) => typed.text === text && typed.call === call);
    return at >= 0 && this.#typed.splice(at, 1);
  }

  /** It will not arrive in the call: it is in the field again, before what is in it by now. */
  takeBack(text: string, call?: Call): void {
    const field = this.#nodes.inputPart;
    if (this.arrived(text, call)) field.value = `${text} ${field.value}`.trim();
  }

  /** The call is over. What was sent in it and not told to be undelivered has arrived. */
  over(call: Call): void {
    this.#typed = this.#typed.filter((typed) => typed.call !== call);
  }

  /** No call sends what waits. */
  end(): void {
    this.#typed.filter((typed) => !typed.call).reverse().forEach((typed) => this.takeBack(typed.text));
  }

  /** Shows all of it, and has each answer read out when it is whole. */
  render({ snapshot, pageLang, texts }: Shown, call: Call | undefined): void {
    const log = this.#log;
    const list = this.#list;
    const captions = snapshot?.captions ?? [];
    log.lang = this.#spoken.lang = pageLang;
    set(log, "aria-label", texts.captions);
    const isNear = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
    const shown = new Map<string, HTMLLIElement>();
    const line = (key: string, role: Caption["role"], text: string, last: boolean): void => {
      const node = this.#lines.get(key) ?? newLine(role);
      const [speaker, words] = node.children as unknown as [Element, Element];
      write(speaker, `${role === "user" ? texts.you : texts.agent}: `);
      write(words, text);
      node.toggleAttribute("data-open", !last);
      shown.set(key, node);
    };
    for (const { sessionId, role, turn, text, last } of captions) {
      const key = `${sessionId} ${role} ${turn}`;
      if (text) line(key, role, text, last);
      if (role !== "agent" || !last || !text || this.#read.has(key)) continue;
      this.#read.add(key);
      write(this.#spoken, text);
    }
    this.#typed.forEach((typed, index) => {
      if ((typed.call ?? call) === call) line(`${index}`, "user", typed.text, false);
    });
    for (const [key, node] of this.#lines) if (!shown.has(key)) node.remove();
    this.#lines.clear();
    let at = list.firstElementChild;
    for (const [key, node] of shown) {
      this.#lines.set(key, node);
      if (node === at) at = at.nextElementSibling;
      else list.insertBefore(node, at);
    }
    this.#fit();
    if (isNear) this.#follow();
  }

  /** Only what can be scrolled is a stop of the keyboard. */
  #fit(): void {
    const log = this.#log;
    if (log.scrollHeight > log.clientHeight) log.tabIndex = 0;
    else log.removeAttribute("tabindex");
  }

  #follow(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
  }
}

function newLine(role: Caption["role"]): HTMLLIElement {
  return make("li", { class: role, part: `caption caption-${role}` }, make("span", { class: "sr" }), make("span", { dir: "auto" }));
}
