// What an administrator may do. Each asks first, but for what is written to an agent, and says afterwards what has become of it.

import { Refused, order, read } from "./api.js";
import { confirmed, said, tell } from "./dom.js";

/** @param {string} path @param {object | undefined} body @param {string} done @param {"POST" | "PUT" | "DELETE"} [method] */
async function carryOut(path, body, done, method = "POST") {
  try {
    await order(path, body, method);
    tell(done);
    return true;
  } catch (error) {
    // An order whose answer got lost may have been carried out.
    const title = error instanceof Refused && error.isOpen ? "It may not have been done" : "It was not done";
    await confirmed({ title, words: said(error), yes: "Understood" });
    return false;
  }
}

/** @param {string} id @param {string} user */
export async function endCall(id, user) {
  const sure = await confirmed({ title: "End this call?", words: `The call of ${user} ends at once, and both sides are told.`, yes: "End the call" });
  return sure !== undefined && carryOut(`/v1/admin/sessions/${encodeURIComponent(id)}/end`, undefined, "The call has ended.");
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
 * Has the agent of a live call told something.
 * @param {string} id @param {"say" | "context"} kind @param {string} text @param {string} key Under the same one the agent is told once.
 * @returns {Promise<{ isDone: boolean, isOpen: boolean, words: string }>} What has become of it; open if the relay has not said whether it took it.
 */
export async function tellAgent(id, kind, text, key) {
  const path = `/v1/admin/sessions/${encodeURIComponent(id)}`;
  let isTaken = false;
  try {
    let given = await (await order(`${path}/${kind}`, { text }, "POST", key)).json();
    isTaken = true;
    for (let look = 0; given.outcome === "waiting" && look < LOOKS; look += 1) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      given = await read(`${path}/commands/${encodeURIComponent(given.id)}`);
    }
    const { outcome, reason } = given;
    const refused = REFUSALS[/** @type {keyof typeof REFUSALS} */ (reason)] ?? `It was refused: ${reason}.`;
    const words = outcome === "refused" ? refused : OUTCOMES[/** @type {keyof typeof OUTCOMES} */ (outcome)];
    return { isDone: outcome !== "refused", isOpen: false, words };
  } catch (error) {
    const isOpen = !isTaken && (!(error instanceof Refused) || error.isOpen);
    return { isDone: false, isOpen, words: said(error) };
  }
}

/** @param {string} user */
export async function denyUser(user) {
  const fields = [{ name: "reason", label: "Why, for administrators" }];
  const words = `${user} can make no call until the entry is taken off the deny-list. Calls that run are ended.`;
  const given = await confirmed({ title: "Deny this user?", words, yes: "Deny the user", fields });
  return given !== undefined && carryOut("/v1/admin/denials", { kind: "sub", subject: user, reason: given.reason }, `${user} is denied.`);
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

/** @param {{ account?: string, user?: string, day?: string }} [known] */
export async function giveCredit({ account = "", user = "", day = new Date().toISOString().slice(0, 10) } = {}) {
  const fields = [
    { name: "account", label: "Account", value: account },
    { name: "day", label: "Day of the charges (UTC)", value: day, type: "date" },
    usdField(),
    { name: "reason", label: "Why, for administrators" },
  ];
  const key = crypto.randomUUID();
  const words = `What is given back cannot be taken again. It is never more than was charged for that day.${user ? ` It is for ${user}.` : ""}`;
  const given = await confirmed({ title: "Give credit?", words, yes: "Give it", fields });
  if (given === undefined) return false;
  const amount = nanoUsd(given.usd);
  if (!amount) return isNoAmount();
  const body = { key, account: given.account, day: given.day, amount_nano_usd: amount, reason: given.reason, ...(user ? { user_sub: user } : {}) };
  return carryOut("/v1/admin/credits", body, "The credit is given.");
}

/** @param {{ id: string, name: string, about?: string | null }} message Of an alert it is known what it is about, and the name is that of the webhook. */
export async function replay({ id, name, about }) {
  const words = `${name} gets the message once more, under the same id, ${about ? "as it was then" : "with what is known now"}.`;
  const sure = await confirmed({ title: "Send this again?", words, yes: "Send it" });
  return sure !== undefined && carryOut(`/v1/admin/webhooks/${encodeURIComponent(id)}/replay`, undefined, "The message is sent again.");
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
  return carryOut(budgetOf(kind, subject), { cap_nano_usd: cap, reason: given.reason }, `The budget of ${subject} is set.`, "PUT");
}

/** @param {"user" | "account"} kind @param {string} subject */
export async function resetBudget(kind, subject) {
  const words = `What was set for ${kind} ${subject} is taken back: configuration and plan apply again, at once.`;
  const sure = await confirmed({ title: "Reset this budget?", words, yes: "Reset it" });
  return sure !== undefined && carryOut(budgetOf(kind, subject), undefined, `The budget of ${subject} is by configuration and plan again.`, "DELETE");
}
