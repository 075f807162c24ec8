/**
 * The element `<voice-call>`: a whole call to put on a page.
 *
 * @packageDocumentation
 */

import { reflect, takeOver } from "./element/attributes.js";
import type { Lent } from "./element/borrowed.js";
import { Caller, type Plan } from "./element/caller.js";
import { button, icon, make, set, sheetOf, show, write } from "./element/dom.js";
import { FORWARDED, type VoiceCallEventMap } from "./element/events.js";
import { build } from "./element/nodes.js";
import { planOf } from "./element/plan.js";
import { Screen, type Shown } from "./element/screen.js";
import { ENGLISH, type GivenTexts, type VoiceCallTexts, textsWith } from "./element/texts.js";
import { type View, inWords, viewOf } from "./element/view.js";
import type { CallPanels } from "./element-call.js";
import { type Call, type CallEvents, type ConnectOptions, VoxrelayError } from "./index.js";
import { lazily } from "./lazily.js";

declare const VERSION: string;

export { ENGLISH };
export type { GivenTexts, VoiceCallEventMap, VoiceCallTexts };
export type { StateWord, Words } from "./element/texts.js";

/** What is shown of a call: one file for all elements. It lies beside this file, unless both are in a bundle. */
const loadPanels = lazily(() => import("./element-call.js"), `${import.meta.url}`.replace(/^(http.+\/)element\.js/, "module: $1element-call.js"));

/** What that file would otherwise have in it, too. */
const LENT: Lent = [make, icon, button, write, set, show, sheetOf, inWords];

/** On a server, which has no elements, the class is of no use but can be imported. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/** A call with all that there is to see of it. Its attributes and properties count for the next call. */
export class VoiceCallElement extends Base {
  /** @internal */
  static readonly observedAttributes = ["mode", "lang"];

  /** The relay's address; without a path it is completed by `/v1/call`. Default: the page's own server. */
  declare relay: string | null;
  /** Where the page's own server gives an access token, as plain text or as the `token` of JSON. */
  declare tokenUrl: string | null;
  /** The agent to speak with, by the name that the relay knows it by. Default: the relay's default one. */
  declare agent: string | null;
  /** The `conversationId` of an earlier call of the same user, to go on with it. */
  declare conversation: string | null;
  /** `voice` or `text`. */
  declare mode: string | null;
  /** Asks before the microphone opens, in these words or, if empty, in those of `texts`. */
  declare consent: string | null;
  /** `light` or `dark`; default: the system's. */
  declare theme: string | null;
  /** Fetches an access token in place of `tokenUrl`. */
  declare token: ConnectOptions["token"] | undefined;
  /** More options of the call. */
  declare options: Partial<ConnectOptions> | undefined;

  readonly #nodes = build();
  readonly #screen = new Screen(this.#nodes);
  /** What is shown of a call: there before one is made. */
  #panels: CallPanels | undefined;
  #loading: Promise<CallPanels> | undefined;
  readonly #caller = new Caller({
    changed: () => this.#render(),
    made: (call, isHidden) => this.#follow(call, isHidden),
    agreed: () => this.#tell("consent"),
    waiting: (retryInMs) => this.#tell("waiting", { retryInMs }),
  });
  #texts = ENGLISH;
  #view: View | undefined;
  /** What the agent of the call takes; before a call it may take both. */
  #reads = true;
  #hears = true;
  /** A microphone that is being opened within the call, and may not be wanted any more when it is. */
  #opening: symbol | undefined;

  constructor() {
    super();
    const nodes = this.#nodes;
    const caller = this.#caller;
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = this.#screen.sheets;
    root.append(nodes.cardPart);
    nodes.callPart.onclick = () => this.#press();
    nodes.mutePart.onclick = () => this.call?.mute(!this.call.muted);
    nodes.modePart.onclick = () => {
      this.mode = this.#isSpoken ? "text" : "voice";
      if (!this.#isSpoken) nodes.inputPart.focus();
    };
    nodes.cardPart.onkeydown = ({ key }) => {
      if (key === "Escape" && caller.isAsking) caller.answer(false);
    };
    nodes.formPart.onsubmit = (event) => {
      event.preventDefault();
      this.#write();
    };
    // Whoever comes near may be about to call.
    for (const sign of ["pointerenter", "focusin"]) nodes.cardPart.addEventListener(sign, () => void this.#load().catch(() => undefined));
    // The field keeps the focus, and a phone its keyboard.
    nodes.sendPart.onpointerdown = (event) => event.preventDefault();
  }

  /** The call that is shown; `undefined` before the first one. */
  get call(): Call | undefined {
    return this.#caller.call;
  }

  /** The call's state, or `consent` and `waiting` before there is a call. */
  get state(): View["state"] {
    return this.#view?.state ?? "idle";
  }

  /** Words in place of the English ones; what is left out stays. */
  get texts(): VoiceCallTexts {
    return this.#texts;
  }

  /** Words in place of the English ones; what is left out stays English. */
  set texts(texts: GivenTexts | null | undefined) {
    this.#texts = texts ? textsWith(texts) : ENGLISH;
    this.#render();
  }

  /**
   * Makes a call, as the button does: asks for consent, waits for a place, and resolves when the call is up.
   *
   * @throws like `Call.connect`; `call_over` when the user declines or hangs up
   */
  async connect(): Promise<void> {
    try {
      await this.#caller.connect(async (): Promise<Plan> => {
        (this.#panels ?? (await this.#load())).begin();
        this.#reads = this.#hears = true;
        this.#opening = undefined;
        return planOf(this, this.#isSpoken);
      });
    } catch (thrown) {
      // What waits is the next one's to send, if there is one.
      if (!this.#caller.isBusy) this.#panels?.end();
      this.#render();
      throw thrown;
    }
  }

  /** Hangs up, or stops waiting; resolves when it is done. With `finish: false` what was not sent yet is given up, as `Call.close` does it. */
  close(options?: { readonly finish?: boolean }): Promise<void> {
    return this.#caller.close(options);
  }

  /** @internal */
  connectedCallback(): void {
    takeOver(this);
    this.#render();
  }

  /** @internal An element that is moved is in the page again at once. */
  disconnectedCallback(): void {
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#panels?.rest();
      void this.close();
    });
  }

  /** @internal */
  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    // What says the same again changes nothing: whoever has muted the microphone is still muted.
    if (name === "mode" && (before === "text") !== (after === "text")) this.#changeMode();
    this.#render();
  }

  get #isSpoken(): boolean {
    return this.mode !== "text";
  }

  /** The button. */
  #press(): void {
    const { press } = this.#view ?? {};
    if (press === "hangUp" || press === "cancel") void this.close();
    else this.#begin();
  }

  #begin(): void {
    this.connect().catch((thrown: unknown) => {
      // What is no trouble of a call is for whoever made the page, too.
      if (!(thrown instanceof VoxrelayError)) reportError(thrown);
    });
  }

  /** Follows a call as long as it is the newest one. */
  #follow(call: Call, isHidden: (name: string) => boolean): void {
    const on = <Name extends keyof CallEvents>(name: Name, listener: (event: CallEvents[Name]) => void): void => {
      call.on(name, (event) => {
        if (call === this.call) listener(event);
      });
    };
    call.subscribe(() => {
      if (call === this.call) this.#render();
    });
    call.levels.subscribe(() => {
      if (call === this.call) this.#screen.showLevels(call);
    });
    on("session", ({ features, prices }) => {
      this.#reads = features.includes("text");
      // An agent that listens has a price for it, by the second.
      this.#hears = !this.#reads || prices.items.some(({ unit }) => unit === "second");
      if (!this.#hears) this.mode = "text";
    });
    let isNew = true;
    on("state", ({ state }) => {
      if (state !== "connected") return;
      // The connection may be back: who has muted the microphone is still muted, and one that the page took away stays away.
      if (!this.#isSpoken) call.mute();
      if (isNew) this.#completeMicrophone(call);
      isNew = false;
      this.#send();
    });
    this.#panels?.follow(call, on);
    for (const name of FORWARDED) {
      on(name, (event) => {
        if (!isHidden(name)) this.#tell(name, event);
      });
    }
  }

  #tell(name: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** The mode is other than before: in text the microphone is muted and closed, and who goes on aloud is heard. */
  #changeMode(): void {
    const { call } = this;
    if (!call || !this.#caller.isBusy) return;
    call.mute(!this.#isSpoken);
    this.#completeMicrophone(call);
  }

  /** A spoken call has a microphone, and a written one has none: a stream of the page's own is let go of, and is the page's to stop. */
  #completeMicrophone(call: Call): void {
    const { isBusy, phase } = this.#caller;
    if (!isBusy || phase === "starting" || !/^(connected|reconnecting)$/.test(call.state)) return;
    const isOpen = !!call.snapshot.devices.microphone;
    if (this.#isSpoken) {
      if (!isOpen && !this.#opening) this.#ask(call, this.#openMicrophone(call));
    } else if (isOpen || this.#opening) {
      this.#opening = undefined;
      this.#caller.answer(false);
      // One that the browser still asks about is closed as soon as it is open.
      this.#ask(call, call.setMicrophone(false));
    }
  }

  /** Opens the microphone of a call that has none. */
  async #openMicrophone(call: Call): Promise<void> {
    const microphone = this.options?.microphone;
    if (microphone === false) return;
    const opening = (this.#opening = Symbol());
    const isWanted = (): boolean => this.#opening === opening && this.#caller.isBusy;
    try {
      if (this.consent !== null) await this.#caller.consent();
      const deviceId = this.#panels?.chosen;
      await call.setMicrophone(deviceId ? { ...microphone, deviceId } : microphone);
    } catch (thrown) {
      if (!isWanted()) return;
      this.#opening = undefined;
      this.mode = "text";
      throw thrown;
    } finally {
      if (isWanted()) this.#opening = undefined;
    }
  }

  #write(): void {
    const { inputPart } = this.#nodes;
    const text = inputPart.value.trim();
    if (!text) return;
    // Without what shows it the text stays in its field.
    if (!this.#panels) {
      return void this.#load().then(
        () => this.#write(),
        () => this.#begin(),
      );
    }
    inputPart.value = "";
    this.#panels.type(text);
    if (this.#view?.isLive) this.#send();
    else if (!this.#caller.isBusy) this.#begin();
    this.#render();
  }

  #send(): void {
    if (this.call) this.#panels?.send(this.call);
  }

  #ask(call: Call, work: Promise<void>): void {
    work.catch((thrown: unknown) => this.#panels?.refuse(call, thrown));
  }

  /** Has what is shown of a call: fetched once, and asked for again if it did not come. */
  #load(): Promise<CallPanels> {
    return (this.#loading ??= loadPanels().then(
      ({ CallPanels, borrow, version }) => {
        if (version !== VERSION) throw this.#missing(`it is of version ${version}, not ${VERSION}`, false);
        borrow(LENT);
        const root = this.shadowRoot as ShadowRoot;
        const answers = { agree: (isAgreed: boolean) => this.#caller.answer(isAgreed), isBusy: () => this.#caller.isBusy, changed: () => this.#render() };
        const panels = (this.#panels = new CallPanels(root, this.#nodes, answers));
        this.#render();
        return panels;
      },
      (thrown) => {
        this.#loading = undefined;
        throw this.#missing(thrown, true);
      },
    ));
  }

  /** The browser keeps a file of another version as long as the page lives, so that to try again would bring the same one. */
  #missing(cause: unknown, retryable: boolean): VoxrelayError {
    return new VoxrelayError("engine_unavailable", `element-call.js did not load (${String(cause)}). ${retryable ? "Try again, or load" : "Load"} the page again.`, retryable, { cause });
  }

  #render(): void {
    // The constructor of an element may not touch its attributes.
    if (!this.isConnected) return;
    const caller = this.#caller;
    const texts = this.#texts;
    const view = (this.#view = viewOf(caller, this.#isSpoken, texts));
    if (this.getAttribute("state") !== view.state) this.setAttribute("state", view.state);
    const pageLang = this.closest("[lang]")?.getAttribute("lang") ?? "";
    const shown: Shown = {
      view,
      texts,
      // Where nothing else can tell it.
      words: this.#panels || view.trouble === undefined ? view.words : inWords(view.trouble, texts),
      lang: texts === ENGLISH ? "en" : pageLang,
      pageLang,
      snapshot: caller.call?.snapshot,
      isSpoken: this.#isSpoken,
      canSwitch: this.#reads && this.#hears && view.press !== "cancel",
      consent: caller.isAsking ? this.consent || texts.consent : undefined,
      due: caller.due,
    };
    this.#screen.render(shown);
    this.#panels?.render(shown, caller.call);
  }
}

reflect(VoiceCallElement.prototype);

/** Listeners get the events of the element by their names. */
export interface VoiceCallElement {
  /** Calls `listener` at each event of the call that has this name. */
  addEventListener<Name extends keyof VoiceCallEventMap>(
    name: Name,
    listener: (this: VoiceCallElement, event: VoiceCallEventMap[Name]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** The same for every other event of an element. */
  addEventListener(name: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "voice-call": VoiceCallElement;
  }
}

// Two copies of the package may be in a page: the first one counts.
if (globalThis.customElements && !customElements.get("voice-call")) customElements.define("voice-call", VoiceCallElement);
