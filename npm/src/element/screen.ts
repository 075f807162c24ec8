import type { Call, CallSnapshot } from "../index.js";
import { type Nodes, make, show, write } from "./dom.js";
import css from "./style.css";
import type { VoiceCallTexts } from "./texts.js";
import { type View, inWords } from "./view.js";

/** The quietest that is shown. */
const FLOOR_DB = -60;

/** How often the countdown is looked at. */
const TICK_MS = 250;

/** What is on the screen beside the conversation. */
export interface Shown {
  readonly view: View;
  readonly texts: VoiceCallTexts;
  /** The language of the texts, and the page's; empty if unknown. */
  readonly lang: string;
  readonly pageLang: string;
  readonly snapshot: CallSnapshot | undefined;
  readonly isSpoken: boolean;
  /** The agent takes both voice and text. */
  readonly canSwitch: boolean;
  /** What the user is asked to agree to. */
  readonly consent: string | undefined;
  /** When the next try is due. */
  readonly due: number;
  readonly isListened: boolean;
  readonly trouble: unknown;
  readonly rating: { readonly isGood: boolean; readonly isTaken: boolean } | undefined;
}

/** Everything but the conversation. */
export class Screen {
  readonly #nodes: Nodes;
  readonly #levels = new CSSStyleSheet();
  #ticking: ReturnType<typeof setInterval> | undefined;
  /** For the element's shadow. A sheet of its own has what changes 20 times a second. */
  readonly sheets: CSSStyleSheet[];

  constructor(nodes: Nodes) {
    this.#nodes = nodes;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    this.#levels.replaceSync(".card{}");
    this.sheets = [sheet, this.#levels];
    const { settings, devices, microphones } = nodes;
    settings.onclick = () => {
      show(devices, !!devices.hidden);
      set(settings, "aria-expanded", !devices.hidden);
      if (!devices.hidden) microphones.focus();
    };
  }

  render(shown: Shown): void {
    const { view, texts, isSpoken, snapshot } = shown;
    const { card, title, hint, status, call, callName, mode, modeName, mute, muteName, form, input, log, orb, spoken } = this.#nodes;
    const isMuted = !!snapshot?.devices.muted;
    for (const [node, text] of this.#nodes.labels) write(node, texts[text]);
    card.lang = shown.lang;
    log.lang = spoken.lang = shown.pageLang;
    set(card, "aria-label", texts.name);
    set(log, "aria-label", texts.captions);
    set(input, "aria-label", (input.placeholder = texts.message));
    const agent = view.state === "connected" ? (snapshot?.agent ?? "") : "";
    Object.assign(card.dataset, { tone: view.tone, press: view.press, mode: isSpoken ? "voice" : "text", agent });
    write(title, view.words[0]);
    write(hint, view.words[1]);
    // What the agent does changes at every turn: whoever listens hears that.
    write(status, view.state === "idle" ? "" : view.state === "connected" ? texts.connected : view.words.join(". "));
    write(callName, texts[view.press]);
    write(modeName, isSpoken ? texts.write : texts.speak);
    show(mode, shown.canSwitch, call);
    write(muteName, isMuted ? texts.unmute : texts.mute);
    set(mute, "aria-pressed", isMuted);
    show(mute, isSpoken && view.isLive, call);
    show(form, !isSpoken, mode);
    show(orb, !snapshot || snapshot.captions.length === 0);
    this.#showBadge(shown);
    this.#showDevices(shown);
    this.#showAnswers(shown);
    this.#showTrouble(shown);
    this.#countDown(shown);
    if (view.state === "connected") return;
    this.#level("--in", 0);
    this.#level("--out", 0);
  }

  /** Nobody looks any more. */
  rest(): void {
    clearInterval(this.#ticking);
  }

  /** How loud it is, from 0 to 1, as CSS variables. */
  showLevels({ levels, muted }: Call): void {
    this.#level("--in", muted ? 0 : 1 - levels.input / FLOOR_DB);
    this.#level("--out", 1 - levels.output / FLOOR_DB);
  }

  /** Offers the microphones that there are. */
  async listMicrophones({ snapshot }: Call): Promise<void> {
    const { microphones } = this.#nodes;
    const all = await navigator.mediaDevices.enumerateDevices();
    const inputs = all.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId);
    microphones.replaceChildren(...inputs.map(({ deviceId, label }) => make("option", { value: deviceId }, label)));
    microphones.value = snapshot.devices.microphone?.deviceId ?? "";
  }

  #level(name: string, level: number): void {
    (this.#levels.cssRules[0] as CSSStyleRule).style.setProperty(name, Math.max(0, level).toFixed(2));
  }

  #showBadge({ view, texts, snapshot, isListened }: Shown): void {
    const { badge } = this.#nodes;
    const isRecorded = view.isLive && snapshot?.session?.recording;
    show(badge, view.isLive && (isListened || !!isRecorded));
    write(badge, isListened ? texts.listened : texts.recorded);
  }

  #showDevices({ view, isSpoken, snapshot }: Shown): void {
    const { settings, devices, microphones, call } = this.#nodes;
    const isThere = view.isLive && isSpoken && !!snapshot?.devices.microphone && microphones.length > 1;
    show(settings, isThere, call);
    if (!isThere) show(devices, false, call);
    set(settings, "aria-expanded", !devices.hidden);
  }

  /** What the user is asked: before a call, and after it. */
  #showAnswers({ view, texts, consent, snapshot, rating }: Shown): void {
    const nodes = this.#nodes;
    const isNew = nodes.consent.hidden && consent !== undefined;
    if (consent !== undefined) write(nodes.consentText, consent);
    show(nodes.consent, consent !== undefined, nodes.call);
    if (isNew) nodes.agree.focus();
    write(nodes.rate, rating ? (rating.isTaken ? texts.thanks : texts.notRated) : texts.rate);
    set(nodes.good, "aria-pressed", rating?.isGood === true);
    set(nodes.bad, "aria-pressed", rating?.isGood === false);
    show(nodes.rating, view.state === "closed" && !!snapshot?.session && snapshot.captions.length > 0, nodes.call);
  }

  #showTrouble({ texts, trouble }: Shown): void {
    const nodes = this.#nodes;
    if (trouble !== undefined) {
      const [title, hint] = inWords(trouble, texts);
      nodes.trouble.replaceChildren(make("strong", {}, title), hint);
      // An alert is heard when something comes into it.
      nodes.alert.append(nodes.notice);
    } else if (nodes.notice.isConnected) {
      show(nodes.notice, false, nodes.call);
      nodes.notice.remove();
      nodes.notice.hidden = false;
    }
  }

  /** Says how long it is until the next try; a screen reader is not told each second. */
  #countDown({ view, texts, due }: Shown): void {
    const { countdown } = this.#nodes;
    const isWaiting = view.state === "waiting";
    show(countdown, isWaiting);
    clearInterval(this.#ticking);
    if (!isWaiting) return;
    const tick = (): void => {
      const seconds = Math.ceil((due - Date.now()) / 1_000);
      write(countdown, seconds > 0 ? texts.nextTry.replace("{seconds}", String(seconds)) : texts.trying);
    };
    tick();
    this.#ticking = setInterval(tick, TICK_MS);
  }
}

function set(node: Element, name: string, value: string | boolean): void {
  node.setAttribute(name, String(value));
}
