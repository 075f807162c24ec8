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
function icon(name: string, path: string): SVGElement {
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

const PHONE =
  "M6.6 10.8a15.1 15.1 0 0 0 6.6 6.6l2.2-2.2a1 1 0 0 1 1-.25 11.4 11.4 0 0 0 3.6.57 1 1 0 0 1 1 1V20a1 1 0 0 1-1 1A17 17 0 0 1 3 4a1 1 0 0 1 1-1h3.5a1 1 0 0 1 1 1 11.4 11.4 0 0 0 .57 3.6 1 1 0 0 1-.25 1z";
const CHAT = "M4 5h16v11h-9l-4 4v-4H4z";
const MICROPHONE = "M12 15a3.5 3.5 0 0 0 3.5-3.5v-5a3.5 3.5 0 0 0-7 0v5A3.5 3.5 0 0 0 12 15zm6.5-3.5a6.5 6.5 0 0 1-13 0M12 18v3.5";
const SLASH = "M4 4l16 16";
const KEYBOARD = "M4 6h16a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1zM7 10h.01M12 10h.01M17 10h.01M8 14h8";
const SLIDERS = "M4 8h10M18 8h2M16 6v4M4 16h2M10 16h10M8 14v4";
const SEND = "M5 12h13M12.5 6l6 6-6 6";
const CROSS = "M7 7l10 10M17 7L7 17";
const THUMB = "M7 11l4-7a2 2 0 0 1 2 2v4h5a2 2 0 0 1 2 2.3l-1 6a2 2 0 0 1-2 1.7H7zM7 11H4v9h3";

export type Nodes = ReturnType<typeof build>;

/** Builds all of it, once. */
export function build() {
  /** Nodes that show one of the texts, whatever the call does. */
  const labels: [node: Element, text: Label][] = [];
  const label = <Tag extends keyof HTMLElementTagNameMap>(text: Label, tag: Tag, attributes?: Attributes): HTMLElementTagNameMap[Tag] => {
    const node = make(tag, attributes);
    labels.push([node, text]);
    return node;
  };
  /** A button with a drawing and, below or for the ear only, its name. */
  const button = (part: string, name: HTMLElement, ...drawings: Node[]): HTMLButtonElement =>
    make("button", { type: "button", class: part, part: `${part}-button` }, make("span", { class: "face" }, ...drawings), name);
  const ear = (text: Label): HTMLElement => label(text, "span", { class: "sr" });
  const title = make("strong");
  const hint = make("span");
  const badge = make("span", { class: "badge" });
  const settings = button("settings", ear("settings"), icon("", SLIDERS));
  const microphones = make("select");
  const devices = make("label", { class: "devices", part: "devices", hidden: "" }, label("microphone", "span"), microphones);

  const lines = make("ol");
  const log = make("div", { class: "log", part: "captions", role: "log", "aria-live": "off" }, lines);
  const orb = make("div", { class: "orb" }, make("i"));

  const trouble = make("p");
  const dismiss = button("dismiss", ear("dismiss"), icon("", CROSS));
  const notice = make("div", { class: "box bad", part: "notice" }, trouble, dismiss);
  const alert = make("div", { role: "alert" });
  const countdown = make("p", { class: "box wait", part: "notice" });

  const consentText = make("p", { id: "consent" });
  const agree = label("agree", "button", { type: "button", class: "main", "aria-describedby": "consent" });
  const decline = label("decline", "button", { type: "button", class: "plain" });
  const consent = make("div", { class: "box", part: "consent" }, consentText, make("div", { class: "row" }, agree, decline));

  const rate = make("p", { id: "rate", role: "status" });
  const good = button("thumb", ear("good"), icon("", THUMB));
  const bad = button("thumb down", ear("bad"), icon("", THUMB));
  const rating = make("div", { class: "box row", part: "rating", role: "group", "aria-labelledby": "rate" }, rate, good, bad);

  const input = make("input", { part: "input", maxlength: "4000", autocomplete: "off", enterkeyhint: "send" });
  const send = make("button", { class: "send", part: "send-button" }, icon("flip", SEND), ear("send"));
  const form = make("form", { class: "form", part: "form" }, input, send);

  const muteName = make("span");
  const mute = button("mute", muteName, icon("when-on", MICROPHONE), icon("when-off", MICROPHONE + SLASH));
  const callName = make("span");
  const call = button("call", callName, make("i", { class: "halo" }), icon("solid phone", PHONE), icon("solid chat", CHAT));
  const modeName = make("span");
  const mode = button("mode", modeName, icon("to-text", KEYBOARD), icon("to-voice", MICROPHONE));

  const status = make("p", { class: "sr", role: "status" });
  const spoken = make("p", { class: "sr", "aria-live": "polite" });

  const words = make("p", { class: "words", part: "status" }, title, hint);
  const head = make("div", { class: "head", part: "header" }, make("i", { class: "dot" }), words, badge, settings);
  const bar = make("div", { class: "bar", part: "bar" }, mute, call, mode);
  const card = make("section", { class: "card", part: "card" }, head, devices, orb, log, alert, countdown, consent, rating, form, bar, status, spoken);
  return {
    ...{ card, labels, title, hint, badge, settings, devices, microphones, lines, log, orb, alert, notice, trouble, dismiss, countdown },
    ...{ consent, consentText, agree, decline, rating, rate, good, bad, form, input, send, mute, muteName, call, callName, mode, modeName, status, spoken },
  };
}

/** Sets a text, unless it stands there already: a screen reader would hear it again. */
export function write(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Hides what is not there. What had the focus hands it to `next`. */
export function show(node: HTMLElement, isThere: boolean, next?: HTMLElement): void {
  if (node.hidden === !isThere) return;
  const active = (node.getRootNode() as ShadowRoot).activeElement;
  node.hidden = !isThere;
  if (!isThere && active && node.contains(active)) next?.focus();
}
