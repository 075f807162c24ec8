// The nodes that are there before a call, too.

import { Labels, button, icon, make } from "./dom.js";

const PHONE =
  "M7 11a15 15 0 0 0 6 6l2-2q1-1 6 .3V20q0 1-1 1A17 17 0 0 1 3 4q0-1 1-1h4.7Q10 8 9 9z";
const CHAT = "M4 5h16v11h-9l-4 4v-4H4z";
const MICROPHONE = "M9 6a3 3 0 0 1 6 0v6a3 3 0 0 1-6 0zM6 12a6 6 0 0 0 12 0M12 18v3";
const SLASH = "M4 4l16 16";
const KEYBOARD = "M3 6h18v12H3zM7 10h.01M12 10h.01M17 10h.01M8 14h8";
const SEND = "M5 12h13M12.5 6l6 6-6 6";

export type Nodes = ReturnType<typeof build>;

/** Builds all of them, once. */
export function build() {
  const labels = new Labels();
  const titlePart = make("strong");
  const hintPart = make("span");
  const words = make("p", { class: "words", part: "status" }, titlePart, hintPart);
  const headPart = make("div", { class: "head", part: "header" }, make("i", { class: "dot" }), words);
  const orbPart = make("div", { class: "orb" }, make("i"));

  const inputPart = make("input", { part: "input", maxlength: "4000", autocomplete: "off", enterkeyhint: "send" });
  const sendPart = make("button", { class: "send", part: "send-button" }, icon("flip", SEND), labels.ear("send"));
  const formPart = make("form", { class: "form", part: "form" }, inputPart, sendPart);

  const muteNamePart = make("span");
  const mutePart = button("mute", muteNamePart, icon("when-on", MICROPHONE), icon("when-off", MICROPHONE + SLASH));
  const callNamePart = make("span");
  const callPart = button("call", callNamePart, make("i", { class: "halo" }), icon("solid phone", PHONE), icon("solid chat", CHAT));
  const modeNamePart = make("span");
  const modePart = button("mode", modeNamePart, icon("to-text", KEYBOARD), icon("to-voice", MICROPHONE));
  const bar = make("div", { class: "bar", part: "bar" }, mutePart, callPart, modePart);

  const statusPart = make("p", { class: "sr", role: "status" });
  const cardPart = make("section", { class: "card", part: "card" }, headPart, orbPart, formPart, bar, statusPart);
  return { labels, cardPart, headPart, titlePart, hintPart, orbPart, formPart, inputPart, sendPart, mutePart, muteNamePart, callPart, callNamePart, modePart, modeNamePart, statusPart };
}
