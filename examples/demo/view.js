// @ts-check
// How a call stands: the words, the colour and what the button does, by its story alone.

import { AGAIN, AGENT, BUDGETS, CLOSING, INTERRUPT, MUTED, READER, READY, STATES, UNSPOKEN, endOf, inWords } from "./words.js";

/** @typedef {import("./story.js").Story} Story */
/** @typedef {"idle" | "good" | "wait" | "bad"} Tone */

/**
 * @typedef {object} View
 * @property {string} headline
 * @property {string} hint
 * @property {string} pill The state in one word.
 * @property {Tone} tone
 * @property {"call" | "hang-up"} action What the button does next.
 * @property {string} agent What the agent does, in one word.
 */

const NOBODY = "–";

/** @param {Story | undefined} story @returns {View} */
export function viewOf(story) {
  if (!story) return view(READY, "Ready", "idle", "call");
  if (story.isOver) return over(story);
  if (story.isEnding) {
    const [headline, hint] = CLOSING;
    return view([headline, story.isAgain ? AGAIN : hint], "Ending", "wait", story.isAgain ? "hang-up" : "call");
  }
  const { snapshot, isSpoken } = story;
  if (snapshot.state === "connected") return connected(story);
  const [headline, hint, pill] = (isSpoken ? STATES : UNSPOKEN)[snapshot.state] ?? STATES.starting;
  return view([headline, hint], pill, "wait", "hang-up");
}

/** @param {Story} story @returns {View} */
function connected({ snapshot, isSpoken }) {
  const state = snapshot.agent ?? "listening";
  const [headline, hint, does] = (isSpoken ? AGENT : READER)[state];
  if (snapshot.devices.muted && isSpoken) return view(MUTED, "Muted", "wait", "hang-up", does);
  const isInterruptible = isSpoken && state === "speaking" && snapshot.session?.features.includes("barge_in");
  return view([headline, isInterruptible ? INTERRUPT : hint], "Connected", "good", "hang-up", does);
}

/** @param {Story} story @returns {View} */
function over({ failure, reason, spent }) {
  if (failure !== undefined) return view(inWords(failure), "Failed", "bad", "call");
  const [headline, why, advice] = endOf(reason);
  if (reason === "budget" && spent) {
    const [name, next] = BUDGETS[spent];
    return view([`${name} is spent`, `${why} ${next}`], "Ended", "bad", "call");
  }
  const isWell = /^(hung_up|normal|idle|too_long)$/.test(reason);
  return view([headline, `${why} ${advice}`], "Ended", isWell ? "idle" : "bad", "call");
}

/**
 * @param {import("./words.js").Words} words
 * @param {string} pill
 * @param {Tone} tone
 * @param {View["action"]} action
 * @returns {View}
 */
function view([headline, hint], pill, tone, action, agent = NOBODY) {
  return { headline, hint, pill, tone, action, agent };
}
