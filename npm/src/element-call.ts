/// <reference path="./styles.d.ts" />
/**
 * What the element `<voice-call>` shows of a call: fetched when one is about to be made.
 *
 * @packageDocumentation
 */

import type { Call, CallEvents } from "./index.js";
import css from "./element/call.css";
import { make, sheetOf, show, write } from "./element/borrowed.js";
import { Conversation } from "./element/conversation.js";
import { DeviceChoice } from "./element/devices.js";
import type { Nodes } from "./element/nodes.js";
import { Notices } from "./element/notices.js";
import { type Answers, Questions } from "./element/questions.js";
import type { Shown } from "./element/screen.js";

declare const VERSION: string;

/** Which element this belongs to. */
export const version = VERSION;

export { borrow } from "./element/borrowed.js";

/** Listens to a call as long as it is the one that is shown. */
export type On = <Name extends keyof CallEvents>(name: Name, listener: (event: CallEvents[Name]) => void) => void;

/** What is said in a call, what goes wrong, what the user is asked, and the devices. */
export class CallPanels {
  readonly #badge = make("span", { class: "badge" });
  readonly #overHttp: HTMLElement;
  readonly #conversation: Conversation;
  readonly #notices: Notices;
  readonly #questions: Questions;
  readonly #devices: DeviceChoice;
  readonly #answers: Answers;
  /** The newest call. */
  #call: Call | undefined;
  #isListened = false;

  /** Puts them where they belong, in the element's card. */
  constructor(root: ShadowRoot, nodes: Nodes, answers: Answers) {
    const refuse = (call: Call, thrown: unknown): void => this.refuse(call, thrown);
    this.#answers = answers;
    root.adoptedStyleSheets.push(sheetOf(css));
    this.#overHttp = nodes.labels.make("overHttp", "span", { class: "badge soft" });
    nodes.headPart.append(make("div", { class: "badges" }, this.#badge, this.#overHttp));
    this.#conversation = new Conversation(nodes);
    this.#notices = new Notices(nodes, answers.changed);
    this.#questions = new Questions(nodes, answers);
    this.#devices = new DeviceChoice(nodes, refuse);
  }

  /** A call begins with nothing said. */
  begin(): void {
    this.#conversation.clear();
    this.#notices.clear();
    this.#questions.clear();
    this.#devices.chosen = undefined;
    this.#isListened = false;
  }

  /** The id of the microphone that the user has chosen in this call. */
  get chosen(): string | undefined {
    return this.#devices.chosen;
  }

  follow(call: Call, on: On): void {
    this.#call = call;
    // What was typed is the user's, also once another call is shown.
    call.on("transcript", ({ role, text }) => {
      if (role === "user") this.#conversation.arrived(text, call);
    });
    call.on("undelivered", ({ message }) => {
      if (message.type === "text") this.#conversation.takeBack(message.text, call);
    });
    call.on("ended", () => {
      this.#conversation.over(call);
      if (call === this.#call && call.sessionId) this.end();
    });
    on("listened", ({ listening }) => {
      this.#isListened = listening;
      this.#answers.changed();
    });
    on("microphone", ({ live }) => {
      if (live) void this.#devices.list().then(this.#answers.changed);
    });
  }

  /** Takes what was typed; it is sent when the call is up. */
  type(text: string): void {
    this.#conversation.type(text);
  }

  /** Sends what waits. */
  send(call: Call): void {
    void this.#conversation.send(call, (thrown) => this.refuse(call, thrown));
  }

  /** There is no call any more that could send what waits. */
  end(): void {
    this.#conversation.end();
  }

  /** Tells what the user did in a call that was not taken; once it is hung up, or there is another one, that is of no use to anybody. */
  refuse(call: Call, thrown: unknown): void {
    if (call === this.#call && this.#answers.isBusy() && !/^clos/.test(call.state)) this.#notices.refuse(thrown);
  }

  render(shown: Shown, call: Call | undefined): void {
    const { view, texts, snapshot } = shown;
    const isRecorded = view.isLive && snapshot?.session?.recording;
    show(this.#badge, view.isLive && (this.#isListened || !!isRecorded));
    write(this.#badge, this.#isListened ? texts.listened : texts.recorded);
    show(this.#overHttp, view.isLive && snapshot?.transport === "http");
    this.#devices.render(shown, call);
    this.#questions.render(shown, call);
    this.#notices.render(shown);
    this.#conversation.render(shown, call);
  }

  /** Nobody looks any more. */
  rest(): void {
    this.#notices.rest();
    this.#devices.rest();
  }
}
