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
  "M7 11a15 15 0 0 0 6 6l2-2q1-1 6 .3V20q0 1-1 1A17 17 0 0 1 3 4q0-1 1-1h4.7Q10 8 9 9z";
const CHAT = "M4 5h16v11h-9l-4 4v-4H4z";
const MICROPHONE = "M9 6a3 3 0 0 1 6 0v6a3 3 0 0 1-6 0zM6 12a6 6 0 0 0 12 0M12 18v3";
const SLASH = "M4 4l16 16";
const KEYBOARD = "M3 6h18v12H3zM7 10h.01M12 10h.01M17 10h.01M8 14h8";
const SLIDERS = "M4 8h10M18 8h2M16 6v4M4 16h2M10 16h10M8 14v4";
const SEND = "M5 12h13M12.5 6l6 6-6 6";
const CROSS = "M7 7l10 10M17 7L7 17";
const THUMB = "M8 11l3-7h2v6h6l-2 9H8zM4 11v8";

export type Nodes = ReturnType<typeof build>;

/** Builds all of it, once. */
export function build() {
  /** Nodes that show one of the texts, whatever the call does. */
  const labelParts: [node: Element, text: Label][] = [];
  const label = <Tag extends keyof HTMLElementTagNameMap>(text: Label, tag: Tag, attributes?: Attributes): HTMLElementTagNameMap[Tag] => {
    const node = make(tag, attributes);
    labelParts.push([node, text]);
    return node;
  };
  /** A button with a drawing and, below or for the ear only, its name. */
  const button = (part: string, name: HTMLElement, ...drawings: Node[]): HTMLButtonElement =>
    make("button", { type: "button", class: part, part: `${part}-button` }, make("span", { class: "face" }, ...drawings), name);
  const ear = (text: Label): HTMLElement => label(text, "span", { class: "sr" });
  const titlePart = make("strong");
  const hintPart = make("span");
  const badgePart = make("span", { class: "badge" });
  const settingsPart = button("settings", ear("settings"), icon("", SLIDERS));
  const microphonesPart = make("select");
  const devicesPart = make("label", { class: "devices", part: "devices", hidden: "" }, label("microphone", "span"), microphonesPart);

  const linesPart = make("ol");
  const logPart = make("div", { class: "log", part: "captions", role: "log", "aria-live": "off" }, linesPart);
  const orbPart = make("div", { class: "orb" }, make("i"));

  const troublePart = make("p");
  const dismissPart = button("dismiss", ear("dismiss"), icon("", CROSS));
  const noticePart = make("div", { class: "box bad", part: "notice" }, troublePart, dismissPart);
  const alertPart = make("div", { role: "alert" });
  const countdownPart = make("p", { class: "box wait", part: "notice" });

  const consentTextPart = make("p", { id: "consent" });
  const agreePart = label("agree", "button", { type: "button", class: "main", "aria-describedby": "consent" });
  const declinePart = label("decline", "button", { type: "button", class: "plain" });
  const consentPart = make("div", { class: "box", part: "consent" }, consentTextPart, make("div", { class: "row" }, agreePart, declinePart));

  const ratePart = make("p", { id: "rate", role: "status" });
  const goodPart = button("thumb", ear("good"), icon("", THUMB));
  const badPart = button("thumb down", ear("bad"), icon("", THUMB));
  const ratingPart = make("div", { class: "box row", part: "rating", role: "group", "aria-labelledby": "rate" }, ratePart, goodPart, badPart);

  const inputPart = make("input", { part: "input", maxlength: "4000", autocomplete: "off", enterkeyhint: "send" });
  const sendPart = make("button", { class: "send", part: "send-button" }, icon("flip", SEND), ear("send"));
  const formPart = make("form", { class: "form", part: "form" }, inputPart, sendPart);

  const muteNamePart = make("span");
  const mutePart = button("mute", muteNamePart, icon("when-on", MICROPHONE), icon("when-off", MICROPHONE + SLASH));
  const callNamePart = make("span");
  const callPart = button("call", callNamePart, make("i", { class: "halo" }), icon("solid phone", PHONE), icon("solid chat", CHAT));
  const modeNamePart = make("span");
  const modePart = button("mode", modeNamePart, icon("to-text", KEYBOARD), icon("to-voice", MICROPHONE));

  const statusPart = make("p", { class: "sr", role: "status" });
  const spokenPart = make("p", { class: "sr", "aria-live": "polite" });

  const words = make("p", { class: "words", part: "status" }, titlePart, hintPart);
  const head = make("div", { class: "head", part: "header" }, make("i", { class: "dot" }), words, badgePart, settingsPart);
  const bar = make("div", { class: "bar", part: "bar" }, mutePart, callPart, modePart);
  const cardPart = make("section", { class: "card", part: "card" }, head, devicesPart, orbPart, logPart, alertPart, countdownPart, consentPart, ratingPart, formPart, bar, statusPart, spokenPart);
  return {
    ...{ cardPart, labelParts, titlePart, hintPart, badgePart, settingsPart, devicesPart, microphonesPart, linesPart, logPart, orbPart, alertPart, noticePart, troublePart, dismissPart, countdownPart },
    ...{ consentPart, consentTextPart, agreePart, declinePart, ratingPart, ratePart, goodPart, badPart, formPart, inputPart, sendPart, mutePart, muteNamePart, callPart, callNamePart, modePart, modeNamePart, statusPart, spokenPart },
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
