// @ts-check
// A model and a voice that are stand-ins, for agents that are written to and speak.

import { pricesFile } from "./prices.mjs";

const PRICES = `version = "test"
item = [
  { name = "mind/m", unit = "input_token", usd = "1", per = 1000000 },
  { name = "mind/m", unit = "output_token", usd = "5", per = 1000000 },
  { name = "mouth/v", unit = "character", usd = "15", per = 1000000 },
]
`;

/**
 * The settings of a relay whose providers `mind` and `mouth` are these stand-ins.
 * @param {import("./stage.mjs").Stage} stage Clears their prices away.
 * @param {import("../../providers/support/fakes.mjs").Fakes} fakes
 * @returns {Record<string, string>}
 */
export function mindAndMouth(stage, fakes) {
  return {
    VOXRELAY_PROVIDERS__MIND__URL: `${fakes.url}/v1`,
    VOXRELAY_PROVIDERS__MIND__KEY: fakes.key,
    VOXRELAY_PROVIDERS__MIND__MODEL: "m",
    VOXRELAY_PROVIDERS__MOUTH__KIND: "openai-speech",
    VOXRELAY_PROVIDERS__MOUTH__URL: `${fakes.url}/v1`,
    VOXRELAY_PROVIDERS__MOUTH__KEY: fakes.key,
    VOXRELAY_PROVIDERS__MOUTH__MODEL: "v",
    VOXRELAY_PROVIDERS__MOUTH__VOICE: "alloy",
    VOXRELAY_PRICES__FILE: pricesFile(stage, PRICES),
  };
}
