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
    const { settingsPart, devicesPart, microphonesPart } = nodes;
    settingsPart.onclick = () => {
      show(devicesPart, !!devicesPart.hidden);
      set(settingsPart, "aria-expanded", !devicesPart.hidden);
      if (!devicesPart.hidden) microphonesPart.focus();
    };
  }

  render(shown: Shown): void {
    const { view, texts, isSpoken, snapshot } = shown;
    const { cardPart, callPart, modePart, mutePart, inputPart, logPart, spokenPart, ...nodes } = this.#nodes;
    const isMuted = !!snapshot?.devices.muted;
    for (const [node, text] of nodes.labelParts) write(node, texts[text]);
    cardPart.lang = shown.lang;
    logPart.lang = spokenPart.lang = shown.pageLang;
    set(cardPart, "aria-label", texts.name);
    set(logPart, "aria-label", texts.captions);
    set(inputPart, "aria-label", (inputPart.placeholder = texts.message));
    const agent = view.state === "connected" ? (snapshot?.agent ?? "") : "";
    Object.assign(cardPart.dataset, { tone: view.tone, press: view.press, mode: isSpoken ? "voice" : "text", agent });
    write(nodes.titlePart, view.words[0]);
    write(nodes.hintPart, view.words[1]);
    // What the agent does changes at every turn: whoever listens hears that.
    write(nodes.statusPart, view.state === "idle" ? "" : view.state === "connected" ? texts.connected : view.words.join(". "));
    write(nodes.callNamePart, texts[view.press]);
    write(nodes.modeNamePart, isSpoken ? texts.write : texts.speak);
    show(modePart, shown.canSwitch, callPart);
    write(nodes.muteNamePart, isMuted ? texts.unmute : texts.mute);
    set(mutePart, "aria-pressed", isMuted);
    show(mutePart, isSpoken && view.isLive, callPart);
    show(nodes.formPart, !isSpoken, modePart);
    show(nodes.orbPart, !snapshot || snapshot.captions.length === 0);
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
    const { microphonesPart } = this.#nodes;
    const all = await navigator.mediaDevices.enumerateDevices();
    const inputs = all.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId);
    microphonesPart.replaceChildren(...inputs.map(({ deviceId, label }) => make("option", { value: deviceId }, label)));
    microphonesPart.value = snapshot.devices.microphone?.deviceId ?? "";
  }

  #level(name: string, level: number): void {
    (this.#levels.cssRules[0] as CSSStyleRule).style.setProperty(name, Math.max(0, level).toFixed(2));
  }

  #showBadge({ view, texts, snapshot, isListened }: Shown): void {
    const { badgePart } = this.#nodes;
    const isRecorded = view.isLive && snapshot?.session?.recording;
    show(badgePart, view.isLive && (isListened || !!isRecorded));
    write(badgePart, isListened ? texts.listened : texts.recorded);
  }

  #showDevices({ view, isSpoken, snapshot }: Shown): void {
    const { settingsPart, devicesPart, microphonesPart, callPart } = this.#nodes;
    const isThere = view.isLive && isSpoken && !!snapshot?.devices.microphone && microphonesPart.length > 1;
    show(settingsPart, isThere, callPart);
    if (!isThere) show(devicesPart, false, callPart);
    set(settingsPart, "aria-expanded", !devicesPart.hidden);
  }

  /** What the user is asked: before a call, and after it. */
  #showAnswers({ view, texts, consent, snapshot, rating }: Shown): void {
    const nodes = this.#nodes;
    const isNew = nodes.consentPart.hidden && consent !== undefined;
    if (consent !== undefined) write(nodes.consentTextPart, consent);
    show(nodes.consentPart, consent !== undefined, nodes.callPart);
    if (isNew) nodes.agreePart.focus();
    write(nodes.ratePart, rating ? (rating.isTaken ? texts.thanks : texts.notRated) : texts.rate);
    set(nodes.goodPart, "aria-pressed", rating?.isGood === true);
    set(nodes.badPart, "aria-pressed", rating?.isGood === false);
    show(nodes.ratingPart, view.state === "closed" && !!snapshot?.session && snapshot.captions.length > 0, nodes.callPart);
  }

  #showTrouble({ texts, trouble }: Shown): void {
    const nodes = this.#nodes;
    if (trouble !== undefined) {
      const [title, hint] = inWords(trouble, texts);
      nodes.troublePart.replaceChildren(make("strong", {}, title), hint);
      // An alert is heard when something comes into it.
      nodes.alertPart.append(nodes.noticePart);
    } else if (nodes.noticePart.isConnected) {
      show(nodes.noticePart, false, nodes.callPart);
      nodes.noticePart.remove();
      nodes.noticePart.hidden = false;
    }
  }

  /** Says how long it is until the next try; a screen reader is not told each second. */
  #countDown({ view, texts, due }: Shown): void {
    const { countdownPart } = this.#nodes;
    const isWaiting = view.state === "waiting";
    show(countdownPart, isWaiting);
    clearInterval(this.#ticking);
    if (!isWaiting) return;
    const tick = (): void => {
      const seconds = Math.ceil((due - Date.now()) / 1_000);
      write(countdownPart, seconds > 0 ? texts.nextTry.replace("{seconds}", String(seconds)) : texts.trying);
    };
    tick();
    this.#ticking = setInterval(tick, TICK_MS);
  }
}

function set(node: Element, name: string, value: string | boolean): void {
  node.setAttribute(name, String(value));
}
