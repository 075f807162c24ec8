/// <reference path="../styles.d.ts" />
import type { Call, CallSnapshot } from "../index.js";
import { set, sheetOf, show, write } from "./dom.js";
import type { Nodes } from "./nodes.js";
import css from "./style.css";
import type { VoiceCallTexts, Words } from "./texts.js";
import type { View } from "./view.js";

/** The quietest that is shown. */
const FLOOR_DB = -60;

/** What is on the screen. */
export interface Shown {
  readonly view: View;
  readonly texts: VoiceCallTexts;
  /** How it stands, in words. */
  readonly words: Words;
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
}

/** What is there before a call, too. */
export class Screen {
  readonly #nodes: Nodes;
  readonly #levels = sheetOf(".card{}");
  /** For the element's shadow. A sheet of its own has what changes 20 times a second. */
  readonly sheets = [sheetOf(css), this.#levels];

  constructor(nodes: Nodes) {
    this.#nodes = nodes;
  }

  render({ view, texts, words, lang, snapshot, isSpoken, canSwitch }: Shown): void {
    const { cardPart, callPart, modePart, mutePart, inputPart, ...nodes } = this.#nodes;
    const isConnected = view.state === "connected";
    const isMuted = !!snapshot?.devices.muted;
    nodes.labels.write(texts);
    cardPart.lang = lang;
    set(cardPart, "aria-label", texts.name);
    set(inputPart, "aria-label", (inputPart.placeholder = texts.message));
    const agent = isConnected ? (snapshot?.agent ?? "") : "";
    Object.assign(cardPart.dataset, { tone: view.tone, press: view.press, mode: isSpoken ? "voice" : "text", agent, muted: isMuted });
    write(nodes.titlePart, words[0]);
    write(nodes.hintPart, words[1]);
    // What the agent does changes at every turn: whoever listens hears that.
    write(nodes.statusPart, view.state === "idle" ? "" : isConnected ? texts.connected : words.join(". "));
    write(nodes.callNamePart, texts[view.press]);
    write(nodes.modeNamePart, isSpoken ? texts.write : texts.speak);
    show(modePart, canSwitch, callPart);
    // Its name says what a press does: that it is pressed as well would say the opposite.
    write(nodes.muteNamePart, isMuted ? texts.unmute : texts.mute);
    show(mutePart, isSpoken && view.isLive, callPart);
    show(nodes.formPart, !isSpoken, modePart);
    show(nodes.orbPart, !snapshot?.captions.length);
    if (isConnected) return;
    this.#level("--in", 0);
    this.#level("--out", 0);
  }

  /** How loud it is, from 0 to 1, as CSS variables. */
  showLevels({ levels, muted }: Call): void {
    this.#level("--in", muted ? 0 : 1 - levels.input / FLOOR_DB);
    this.#level("--out", 1 - levels.output / FLOOR_DB);
  }

  #level(name: string, level: number): void {
    (this.#levels.cssRules[0] as CSSStyleRule).style.setProperty(name, Math.max(0, level).toFixed(2));
  }
}
