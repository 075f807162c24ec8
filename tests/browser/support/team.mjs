// @ts-check
// An agent whose providers are stand-ins, each of which may have a bad day while another one stands in for it.

/** @typedef {import("../../providers/support/fakes.mjs").Fakes} Fakes */
/** @typedef {import("./door.mjs").Door} Door */

/** What hears, thinks and speaks. @typedef {"ears" | "mind" | "mouth"} Part */
/**
 * A provider for a part: how it is asked, and the line of its price. A recogniser is given all that is said as it comes, or one utterance after
 * the other.
 * @typedef {{ wire: string, kind: string, path: string, model: string, price: string, voice?: string, isGivenUtterances?: boolean }} Service
 */
/** Who is asked for each part, and who stands in for it. @typedef {{ asked: Record<Part, Service>, standIns: Record<Part, Service> }} Cast */

/** @type {Part[]} */
export const ALL_PARTS = ["ears", "mind", "mouth"];

/** How each part is asked, and who stands in for it: other wires, so that one of them can be scripted. */
export const PARTS = /** @type {const} */ ({
  ears: { list: "STT", what: "hearing", wire: "deepgram.listen", kind: "deepgram", path: "", model: "nova-3", price: "own/ears" },
  mind: { list: "LLM", what: "thinking", wire: "openai.chat", kind: "openai-chat", path: "/v1", model: "m", price: "own/mind" },
  mouth: { list: "TTS", what: "speaking", wire: "openai.speech", kind: "openai-speech", path: "/v1", model: "tts-1", price: "own/mouth" },
});
export const STAND_INS = /** @type {const} */ ({
  ears: { wire: "deepgram.flux", kind: "deepgram-flux", path: "", model: "flux-general-en", price: "deepgram/flux-general-en" },
  mind: { wire: "anthropic.messages", kind: "anthropic", path: "/v1", model: "claude-haiku-5-5", price: "anthropic/claude-haiku-5-5" },
  mouth: { wire: "deepgram.speak", kind: "deepgram-aura", path: "", model: "aura-2-thalia-en", price: "deepgram/aura-2" },
});

/** Who has the bad days, and who stands in. @type {Cast} */
export const CAST = { asked: PARTS, standIns: STAND_INS };
/** The other way round. @type {Cast} */
export const OTHER_CAST = { asked: STAND_INS, standIns: PARTS };
/** A recogniser of utterances, for which only another such can stand in, and a voice that says when its words are spoken. @type {Cast} */
export const SPOKEN_CAST = {
  asked: {
    ears: { wire: "openai.transcriptions", kind: "openai-transcription", path: "/v1", model: "whisper-1", price: "own/ears", isGivenUtterances: true },
    mind: PARTS.mind,
    mouth: { wire: "elevenlabs.stream_input", kind: "elevenlabs", path: "", model: "eleven_flash_v2_5", price: "elevenlabs/eleven_flash_v2_5", voice: "Rachel" },
  },
  standIns: {
    ears: { wire: "openai.transcriptions", kind: "openai-transcription", path: "/v1", model: "whisper-1", price: "other/ears", isGivenUtterances: true },
    mind: STAND_INS.mind,
    mouth: STAND_INS.mouth,
  },
};

/** What the shipped table has no price for: OpenAI's chat and speech, and recognisers. */
export const PRICES = `version = "days-1"
item = [
  { name = "own/ears", unit = "second", usd = "0.006", per = 60 },
  { name = "other/ears", unit = "second", usd = "0.012", per = 60 },
  { name = "own/mind", unit = "input_token", usd = "1", per = 1000000 },
  { name = "own/mind", unit = "output_token", usd = "5", per = 1000000 },
  { name = "own/mouth", unit = "character", usd = "15", per = 1000000 },
]
`;

/** Seconds that a connection to the one with the bad day and its first word may take; the others have what is usual. */
export const CONNECT_S = 3;
const FIRST_S = 5;

export class Team {
  /**
   * @param {string} name Of the agent.
   * @param {Part} part The one that has the bad day.
   * @param {Fakes} tried It, on a wire of its own.
   * @param {Door} door The way to it.
   * @param {Fakes} well All others.
   * @param {boolean} hasStandIn
   * @param {Cast} [cast]
   */
  constructor(name, part, tried, door, well, hasStandIn, cast = CAST) {
    this.name = name;
    this.part = part;
    this.tried = tried;
    this.door = door;
    this.well = well;
    this.hasStandIn = hasStandIn;
    this.cast = cast;
  }

  /** The one that has the bad day. */
  get own() {
    return this.cast.asked[this.part];
  }

  /** Whether it hears all of a call as it comes. */
  get isStream() {
    return this.part === "ears" && !this.own.isGivenUtterances;
  }

  /** What a relay has to be told of it, as variables. @returns {Record<string, string>} */
  settings() {
    /** @type {Record<string, string>} */
    const settings = {};
    const agent = `VOXRELAY_AGENTS__${this.name}`.toUpperCase();
    for (const part of ALL_PARTS) {
      const own = this.cast.asked[part];
      const isTried = part === this.part;
      const names = [
        isTried
          ? this.#provider(settings, this.name, own, this.door.url, this.tried.key)
          : this.#provider(settings, `well${part}`, own, this.well.url, this.well.key),
      ];
      if (isTried && this.hasStandIn) names.push(this.#provider(settings, `other${part}`, this.cast.standIns[part], this.well.url, this.well.key));
      settings[`${agent}__${PARTS[part].list}`] = names.join(",");
    }
    return settings;
  }

  /** What was asked of the one that has the bad day. */
  async requests() {
    return (await this.tried.requests()).filter(({ wire }) => wire === this.own.wire);
  }

  /**
   * @param {Record<string, string>} settings
   * @param {string} name
   * @param {Service} provider
   * @param {string} url
   * @param {string} key
   */
  #provider(settings, name, { kind, path, model, price, voice }, url, key) {
    /** @type {Record<string, string>} */
    const values = { KIND: kind, URL: `${url}${path}`, KEY: key, MODEL: model, PRICE: price };
    if (voice !== undefined) values.VOICE = voice;
    if (url === this.door.url) Object.assign(values, { CONNECT_TIMEOUT_SECONDS: `${CONNECT_S}`, TIMEOUT_SECONDS: `${FIRST_S}` });
    for (const [field, value] of Object.entries(values)) settings[`VOXRELAY_PROVIDERS__${name}__${field}`.toUpperCase()] = value;
    return name;
  }
}
