import assert from "node:assert/strict";
import { test } from "node:test";

import { ERROR_CODES } from "../src/codes.js";
import { measured, trouble } from "../src/preflight/grade.js";

test("the words of a code are what is so, and then what to do", () => {
  const { message, cure, grade, code } = trouble("unauthorized", ERROR_CODES.unauthorized.message);
  assert.deepEqual([grade, code, message], ["failed", "unauthorized", "The relay did not accept the token."]);
  assert.equal(cure, "Mint a new one for this relay and check its issuer, audience and expiry.");
  const origin = trouble("origin_refused", ERROR_CODES.origin_refused.message);
  assert.deepEqual([origin.message, origin.cure], ["Pages of this origin may not use this relay.", "Its operator can add it to `origins`."]);
});

test("a refusal that passes says when to come back", () => {
  const rate = trouble("session_rate", ERROR_CODES.session_rate.message, { retryAfterMs: 4_000 });
  assert.deepEqual([rate.cure, rate.retryAfterMs], ["Wait 4000 ms.", 4_000]);
  assert.equal(trouble("relay_full", "This relay takes no more calls now.", { retryAfterMs: 5_000 }).cure, "Come back in 5000 ms.");
  assert.equal(trouble("session_rate", ERROR_CODES.session_rate.message).cure, "Wait a while.");
});

test("whoever refuses a call before it begins has a cure in its words", () => {
  const refusals = ["unauthorized", "denied", "agent_unknown", "agent_forbidden", "session_limit", "account_session_limit", "session_rate", "address_rate", "user_budget", "account_budget", "conversation_unknown", "missing_price", "relay_full", "store_unavailable", "keys_unavailable", "preflight_rate", "address_connections", "origin_refused", "no_relay", "unreachable"] as const;
  for (const code of refusals) {
    const { cure, message } = trouble(code, ERROR_CODES[code].message);
    assert.ok(cure && message !== ERROR_CODES[code].message, code);
  }
});

test("words beside a cure stay whole", () => {
  const { message, cure } = trouble("token_unavailable", "It threw: Error: no. Not today", { cure: "Look there." });
  assert.deepEqual([message, cure], ["It threw: Error: no. Not today", "Look there."]);
});

test("what is good needs no cure", () => {
  assert.equal(measured("good", "Near.", 20, "Move.").cure, undefined);
  assert.equal(measured("fair", "Far.", 400, "Move.").cure, "Move.");
});
