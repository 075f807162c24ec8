// @ts-check
// An agent that tells a long story, made of stand-ins for the providers.

import { Fakes } from "../../providers/support/fakes.mjs";
import { pricesFile } from "./prices.mjs";

const PRICES = `version = "story-1"
item = [
  { name = "ears/e", unit = "second", usd = "0.006", per = 60 },
  { name = "mind/m", unit = "input_token", usd = "1", per = 1000000 },
  { name = "mind/m", unit = "output_token", usd = "5", per = 1000000 },
  { name = "mouth/v", unit = "character", usd = "15", per = 1000000 },
]
`;

/**
 * Starts the stand-ins: whatever is said to the agent, it hears the same words, and tells the same story.
 * @param {import("./stage.mjs").Stage} stage Ends them when the test is over.
 * @param {{ story: string, words: string, times: number, fakes?: Fakes }} script `times`: how often it may be spoken to; `fakes`: the stand-ins, if
 *   the test wants to ask them something, too.
 * @returns {Promise<Record<string, string>>} The settings of a relay that has this agent.
 */
export async function storyTeller(stage, { story, words, times, fakes: given }) {
  const fakes = given ?? (await Fakes.start());
  stage.after(() => fakes.stop());
  await fakes.script({
    "openai.chat": [{ times, think: { text: story } }],
    "openai.transcriptions": [{ times, hear: { texts: [words] } }],
  });
  const provider = (/** @type {string} */ name, /** @type {string} */ kind, /** @type {string} */ model) => ({
    [`VOXRELAY_PROVIDERS__${name}__KIND`]: kind,
    [`VOXRELAY_PROVIDERS__${name}__URL`]: `${fakes.url}/v1`,
    [`VOXRELAY_PROVIDERS__${name}__KEY`]: fakes.key,
    [`VOXRELAY_PROVIDERS__${name}__MODEL`]: model,
  });
  return {
    VOXRELAY_AGENTS__DEFAULT: "teller",
    VOXRELAY_AGENTS__TELLER__STT: "ears",
    VOXRELAY_AGENTS__TELLER__LLM: "mind",
    VOXRELAY_AGENTS__TELLER__TTS: "mouth",
    VOXRELAY_AGENTS__TELLER__GREETING: story,
    ...provider("EARS", "openai-transcription", "e"),
    ...provider("MIND", "openai-chat", "m"),
    ...provider("MOUTH", "openai-speech", "v"),
    VOXRELAY_PRICES__FILE: pricesFile(stage, PRICES),
    VOXRELAY_LIMITS__SESSION_USD: "100",
    VOXRELAY_LIMITS__USER_DAY_USD: "100",
  };
}
