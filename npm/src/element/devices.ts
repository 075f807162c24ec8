import { type Call, type Device, listDevices } from "../index.js";
import { button, icon, make, set, show } from "./borrowed.js";
import type { Nodes } from "./nodes.js";
import type { Shown } from "./screen.js";

const SLIDERS = "M4 8h10M18 8h2M16 6v4M4 16h2M10 16h10M8 14v4";

/** The id by which Chromium lists the system's loudspeaker, too, whichever that is. */
const SYSTEMS = "default";

/** Which microphone hears, and which loudspeaker is heard: a button, and what it opens. */
export class DeviceChoice {
  readonly #nodes: Nodes;
  readonly #button: HTMLButtonElement;
  readonly #panel = make("div", { class: "devices", part: "devices", hidden: "" });
  readonly #microphones = make("select");
  readonly #speakers = make("select");
  readonly #rows: readonly [microphones: HTMLElement, speakers: HTMLElement];
  #call: Call | undefined;
  readonly #look = (): void => void this.list();
  /** The id of the microphone that the user has chosen in this call. */
  chosen: string | undefined;

  constructor(nodes: Nodes, refuse: (call: Call, thrown: unknown) => void) {
    const { labels } = nodes;
    this.#nodes = nodes;
    const row = (text: "microphone" | "speaker", select: HTMLSelectElement): HTMLElement => {
      const label = make("label", {}, labels.make(text, "span"), select);
      this.#panel.append(label);
      return label;
    };
    this.#rows = [row("microphone", this.#microphones), row("speaker", this.#speakers)];
    this.#button = button("settings", labels.ear("settings"), icon("", SLIDERS));
    nodes.headPart.append(this.#button);
    nodes.headPart.after(this.#panel);
    this.#button.onclick = () => {
      show(this.#panel, !!this.#panel.hidden);
      set(this.#button, "aria-expanded", !this.#panel.hidden);
      this.#watch(!this.#panel.hidden);
      if (this.#panel.hidden) return;
      (this.#rows[0].hidden ? this.#speakers : this.#microphones).focus();
      void this.list();
    };
    this.#microphones.onchange = () => {
      const call = this.#call;
      const { value } = this.#microphones;
      call?.setMicrophone(value).then(
        () => void (this.chosen = value),
        (thrown: unknown) => refuse(call, thrown),
      );
    };
    this.#speakers.onchange = () => {
      const call = this.#call;
      const { value } = this.#speakers;
      call?.setSpeaker(value === SYSTEMS ? undefined : value).catch((thrown: unknown) => refuse(call, thrown));
    };
  }

  /** Offers the devices that there are. */
  async list(): Promise<void> {
    const { microphones, speakers } = await listDevices();
    offer(this.#microphones, microphones);
    offer(this.#speakers, speakers);
    this.#choose();
  }

  render({ view, isSpoken, snapshot }: Shown, call: Call | undefined): void {
    const { callPart } = this.#nodes;
    const [microphones, speakers] = this.#rows;
    this.#call = call;
    show(microphones, isSpoken && !!snapshot?.devices.microphone && this.#microphones.length > 1, callPart);
    show(speakers, this.#speakers.length > 1, callPart);
    const isThere = view.isLive && !(microphones.hidden && speakers.hidden);
    show(this.#button, isThere, callPart);
    if (!isThere) {
      show(this.#panel, false, callPart);
      this.#watch(false);
    }
    set(this.#button, "aria-expanded", !this.#panel.hidden);
    this.#choose();
  }

  /** Looks again whenever a device comes or goes, as long as they are offered. */
  #watch(isOpen: boolean): void {
    const devices = navigator.mediaDevices as MediaDevices | undefined;
    if (isOpen) devices?.addEventListener("devicechange", this.#look);
    else devices?.removeEventListener("devicechange", this.#look);
  }

  /** Nobody looks any more. */
  rest(): void {
    this.#watch(false);
  }

  /** Shows which ones are in use, whoever chose them. */
  #choose(): void {
    const { microphone, speaker } = this.#call?.snapshot.devices ?? {};
    this.#microphones.value = microphone?.deviceId ?? "";
    this.#speakers.value = speaker?.deviceId ?? SYSTEMS;
  }
}

function offer(select: HTMLSelectElement, devices: readonly Device[]): void {
  select.replaceChildren(...devices.map(({ deviceId, label }) => make("option", { value: deviceId }, label)));
}
