// What an administrator may do. Each asks first, but for what is written to an agent, and says afterwards what has become of it.

import { Refused, newKey, order, read } from "./api.js";
import { confirmed, said, tell } from "./dom.js";

/** The keys of orders of which nobody knows whether they were carried out. @type {Map<string, string>} */
const unsure = new Map();

/**
 * Gives an order that does something anew each time: the same one under the same key until it is known what has become of it, so that it is carried out
 * once however often it is given. An order that only puts something in the place of what is there has another key each time: it may have been
 * undone in between.
 * @param {string} path @param {object} [body] @param {string} [field] Of the body, which is to say the key as well.
 * @returns {Promise<string>} What was answered.
 */
async function once(path, body = undefined, field = undefined) {
  const same = JSON.stringify([path, body]);
  const key = unsure.get(same) ?? newKey();
  unsure.set(same, key);
  try {
    const answer = await order(path, field ? { ...body, [field]: key } : body, "POST", key);
    const text = await answer.text();
    unsure.delete(same);
    return text;
  } catch (error) {
    if (error instanceof Refused && error.isDecided) unsure.delete(same);
    throw error;
  }
}

/** @param {() => Promise<unknown>} give @param {string} done */
async function carryOut(give, done) {
  try {
    await give();
    tell(done);
    return true;
  } catch (error) {
    // An order whose answer got lost may have been carried out.
    const isOpen = !(error instanceof Refused) || error.isOpen;
    const title = isOpen ? "It may not have been done" : "It was not done";
    await confirmed({ title, words: isOpen ? `${said(error)} The same, given again, is done once.` : said(error), yes: "Understood" });
    return false;
  }
}

/** @param {string} id @param {string} user */
export async function endCall(id, user) {
  const sure = await confirmed({ title: "End this call?", words: `The call of ${user} ends at once, and both sides are told.`, yes: "End the call" });
  return sure !== undefined && carryOut(() => order(`/v1/admin/sessions/${encodeURIComponent(id)}/end`), "The call has ended.");
}

/** How often, and after how many milliseconds each time, it is looked what has become of a command. */
const LOOKS = 20;
const LOOK_MS = 500;
const OUTCOMES = {
  waiting: "It waits for the relay that has the call.",
  done: "The agent was told.",
  unknown: "The relay that had the call is lost: the agent may have been told.",
};
const REFUSALS = {
  call_ended: "The call has ended.",
  call_moved: "The call was going to another relay. Give it once more.",
  agent_cannot: "This agent says only what it heard, and cannot be told anything.",
  queue_full: "As much waits to be said as there is room for.",
  too_long: "The text is too long.",
};

/**
 * Has the agent of a live call told something. Sent again because the answer got lost, it is told once.
 * @param {string} id @param {"say" | "context"} kind @param {string} text
 * @returns {Promise<{ isDone: boolean, words: string }>} What has become of it.
 */
export async function tellAgent(id, kind, text) {
  const path = `/v1/admin/sessions/${encodeURIComponent(id)}`;
  try {
    let given = JSON.parse(await once(`${path}/${kind}`, { text }));
    for (let look = 0; given.outcome === "waiting" && look < LOOKS; look += 1) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      given = await read(`${path}/commands/${encodeURIComponent(given.id)}`);
    }
    const { outcome, reason } = given;
    const refused = REFUSALS[/** @type {keyof typeof REFUSALS} */ (reason)] ?? `It was refused: ${reason}.`;
    const words = outcome === "refused" ? refused : OUTCOMES[/** @type {keyof typeof OUTCOMES} */ (outcome)];
    return { isDone: outcome !== "refused", words };
  } catch (error) {
    return { isDone: false, words: said(error) };
  }
}

/** @param {string} user */
export async function denyUser(user) {
  const fields = [{ name: "reason", label: "Why, for administrators" }];
  const words = `${user} can make no call until the entry is taken off the deny-list. Calls that run are ended.`;
  const given = await confirmed({ title: "Deny this user?", words, yes: "Deny the user", fields });
  if (given === undefined) return false;
  return carryOut(() => order("/v1/admin/denials", { kind: "sub", subject: user, reason: given.reason }), `${user} is denied.`);
}

/** A field for an amount of money. @param {string} [value] */
function usdField(value = "") {
  return { name: "usd", label: "US dollars", mode: "decimal", pattern: String.raw`\s*\d+(\.\d+)?\s*`, title: "An amount such as 1.25", value };
}

/** An amount as people write it, in nano-dollars; nothing if it is none. @param {string} usd */
function nanoUsd(usd) {
  const amount = /^\d+(\.\d+)?$/.test(usd.trim()) ? Math.round(Number(usd) * 1e9) : Number.NaN;
  return Number.isSafeInteger(amount) ? amount : undefined;
}

async function isNoAmount() {
  await confirmed({ title: "It was not done", words: "Write an amount such as 1.25.", yes: "Understood" });
  return false;
}

/** The credit that was last not known to be given, and whom it was asked about: its words stand in the next question, since only the same words are the same credit. */
let unfinished = { whose: "", given: /** @type {Record<string, string>} */ ({}) };

/** @param {{ account?: string, user?: string, day?: string }} [known] */
export async function giveCredit({ account = "", user = "", day = new Date().toISOString().slice(0, 10) } = {}) {
  const whose = JSON.stringify([account, user]);
  const before = unfinished.whose === whose ? unfinished.given : /** @type {Record<string, string>} */ ({});
  const fields = [
    { name: "account", label: "Account", value: before.account ?? account },
    { name: "day", label: "Day of the charges (UTC)", value: before.day ?? day, type: "date" },
    usdField(before.usd),
    { name: "reason", label: "Why, for administrators", value: before.reason ?? "" },
  ];
  const words = `What is given back cannot be taken again. It is never more than was charged for that day.${user ? ` It is for ${user}.` : ""}`;
  const given = await confirmed({ title: "Give credit?", words, yes: "Give it", fields });
  if (given === undefined) return false;
  const amount = nanoUsd(given.usd);
  if (!amount) return isNoAmount();
  const body = { account: given.account, day: given.day, amount_nano_usd: amount, reason: given.reason, ...(user ? { user_sub: user } : {}) };
  unfinished = { whose, given };
  const isGiven = await carryOut(() => once("/v1/admin/credits", body, "key"), "The credit is given.");
  if (isGiven) unfinished = { whose: "", given: {} };
  return isGiven;
}

/** @param {{ id: string, name: string, about?: string | null }} message Of an alert it is known what it is about, and the name is that of the webhook. */
export async function replay({ id, name, about }) {
  const words = `${name} gets the message once more, under the same id, ${about ? "as it was then" : "with what is known now"}.`;
  const sure = await confirmed({ title: "Send this again?", words, yes: "Send it" });
  return sure !== undefined && carryOut(() => once(`/v1/admin/webhooks/${encodeURIComponent(id)}/replay`), "The message is sent again.");
}

const SET_WORDS =
  "It holds at once at all relays, for calls that go on as well, in this period and every later one, until it is reset: in the place of what configuration and plan allow. A token that allows less holds nevertheless.";

/** @param {"user" | "account"} kind @param {string} subject */
const budgetOf = (kind, subject) => `/v1/admin/budgets/${kind}/${encodeURIComponent(subject)}`;

/** @param {{ kind: "user" | "account", subject: string, cap: number }} [known] Whose budget it is, and how much it is now in nano-dollars. */
export async function setBudget(known = undefined) {
  const whose = [
    { name: "kind", label: "Whose", choices: { user: "A user, a day", account: "An account, a month" } },
    { name: "subject", label: "User or account" },
  ];
  const fields = [
    ...(known ? [] : whose),
    usdField(known ? (known.cap / 1e9).toFixed(9).replace(/\.?0+$/, "") : ""),
    { name: "reason", label: "Why, for administrators" },
  ];
  const given = await confirmed({ title: known ? `Set the budget of ${known.kind} ${known.subject}?` : "Set a budget?", words: SET_WORDS, yes: "Set it", fields });
  if (given === undefined) return false;
  const cap = nanoUsd(given.usd);
  if (cap === undefined) return isNoAmount();
  const kind = known?.kind ?? /** @type {"user" | "account"} */ (given.kind);
  const subject = known?.subject ?? given.subject.trim();
  return carryOut(() => order(budgetOf(kind, subject), { cap_nano_usd: cap, reason: given.reason }, "PUT"), `The budget of ${subject} is set.`);
}

/** @param {"user" | "account"} kind @param {string} subject */
export async function resetBudget(kind, subject) {
  const words = `What was set for ${kind} ${subject} is taken back: configuration and plan apply again, at once.`;
  const sure = await confirmed({ title: "Reset this budget?", words, yes: "Reset it" });
  return sure !== undefined && carryOut(() => order(budgetOf(kind, subject), undefined, "DELETE"), `The budget of ${subject} is by configuration and plan again.`);
}
