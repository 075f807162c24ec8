// @ts-check
// What the agent is and what it can do, in words: never more than was told.

/** @typedef {import("../../npm/src/index.ts").CallSnapshot} Snapshot */

/** Before a call. @param {string} host @param {string | undefined} agent As the page's address names it. */
export function expected(host, agent) {
  const who = agent === undefined ? "its default agent" : `its agent “${agent}”`;
  return `You reach the relay at ${host} and ${who}. What the agent is and can do is told when it answers.`;
}

/**
 * In a call, and after it.
 * @param {NonNullable<Snapshot["session"]>} session
 * @param {string | undefined} agent As it was asked for.
 * @param {boolean} isOver
 */
export function introduced({ agent: told, features, prices }, agent, isOver) {
  const name = told ?? agent;
  const has = (/** @type {string} */ unit) => prices.items.some((price) => price.unit === unit);
  const does = [];
  if (has("second")) does.push("listens to you");
  if (features.includes("text")) does.push("reads what you write");
  if (has("character")) does.push("answers aloud");
  const sentences = [`You ${isOver ? "were" : "are"} with ${name === undefined ? "an agent that has told no name" : `the agent “${name}”`}.`];
  if (does.length > 0) sentences.push(`It ${list(does)}.`);
  if (has("second") && !features.includes("text")) sentences.push("It does not read.");
  if (features.includes("barge_in")) sentences.push("You may interrupt it.");
  if (features.includes("tool_result")) sentences.push("It can use tools.");
  return sentences.join(" ");
}

/** @param {readonly string[]} parts */
function list(parts) {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}
