import { button, icon, inWords, make, show, write } from "./borrowed.js";
import type { Nodes } from "./nodes.js";
import type { Shown } from "./screen.js";

const CROSS = "M7 7l10 10M17 7L7 17";

/** How often the countdown is looked at. */
const TICK_MS = 250;

/** What went wrong, and how long it is until the next try. */
export class Notices {
  readonly #nodes: Nodes;
  readonly #changed: () => void;
  readonly #title = make("strong");
  readonly #hint = make("span");
  readonly #notice: HTMLElement;
  readonly #alert = make("div", { role: "alert" });
  readonly #countdown = make("p", { class: "box wait", part: "notice" });
  #ticking: ReturnType<typeof setInterval> | undefined;
  /** What the user did that was not taken. */
  #refused: unknown;
  /** What the call has to tell, and what the user has seen of it and put away. */
  #trouble: unknown;
  #dismissed: unknown;

  constructor(nodes: Nodes, changed: () => void) {
    this.#nodes = nodes;
    this.#changed = changed;
    const dismiss = button("dismiss", nodes.labels.ear("dismiss"), icon("", CROSS));
    dismiss.onclick = () => {
      this.#dismissed = this.#trouble;
      this.refuse(undefined);
    };
    this.#notice = make("div", { class: "box bad", part: "notice" }, make("p", {}, this.#title, this.#hint), dismiss);
    nodes.formPart.before(this.#alert, this.#countdown);
  }

  clear(): void {
    this.#refused = this.#dismissed = undefined;
  }

  refuse(thrown: unknown): void {
    // The user said no.
    if ((thrown as { code?: string } | undefined)?.code !== "call_over") this.#refused = thrown;
    this.#changed();
  }

  rest(): void {
    clearInterval(this.#ticking);
  }

  render({ view, texts, due }: Shown): void {
    this.#trouble = view.trouble;
    if (view.trouble === undefined) this.#dismissed = undefined;
    this.#tell(this.#refused ?? (view.trouble === this.#dismissed ? undefined : view.trouble), texts);
    this.#countDown(view.state === "waiting", texts, due);
  }

  #tell(trouble: unknown, texts: Shown["texts"]): void {
    const notice = this.#notice;
    if (trouble !== undefined) {
      const [title, hint] = inWords(trouble, texts);
      write(this.#title, title);
      write(this.#hint, hint);
      // An alert is heard when something comes into it, and what is put in again loses the focus: what is there stays as it is.
      if (!notice.isConnected) this.#alert.append(notice);
    } else if (notice.isConnected) {
      show(notice, false, this.#nodes.callPart);
      notice.remove();
      notice.hidden = false;
    }
  }

  /** A screen reader is not told each second. */
  #countDown(isWaiting: boolean, texts: Shown["texts"], due: number): void {
    show(this.#countdown, isWaiting);
    this.rest();
    if (!isWaiting) return;
    const tick = (): void => {
      const seconds = Math.ceil((due - Date.now()) / 1_000);
      write(this.#countdown, seconds > 0 ? texts.nextTry.replace("{seconds}", String(seconds)) : texts.trying);
    };
    tick();
    this.#ticking = setInterval(tick, TICK_MS);
  }
}
