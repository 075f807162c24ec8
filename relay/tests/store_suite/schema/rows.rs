//! Rows as they were written by relays of each earlier schema, and what they come to.

/// Rows of the first schema that has all of these tables: two sessions that have ended, and one that is live. `HASH` is 32 bytes in the words of
/// the database.
pub(super) const ROWS: &str = "
INSERT INTO sessions (id, conversation_id, user_sub, account, client, agent, state, started_at, ended_at, end_reason, relay, lease_until,
    epoch, uplink_seq_committed, uplink_position_committed, resume_hash, audio_samples, cost_nano_usd, authorised_nano_usd, user_period,
    account_period, metered_position)
VALUES ('a', 'a', 'ada', 'acme', 'test/1', 'echo', 'ended', 1000, 2000, 'normal', '', 0, 1, 10, 16000, HASH, 16000, 80000, 80000,
        '2026-11-22', '2026-11', 16000),
    ('b', 'a', 'ada', 'acme', 'test/1', 'host', 'ended', 3000, 4000, 'abnormal', '', 0, 0, 0, 0, HASH, 0, 500, 500, '2026-11-22', '2026-11', 0),
    ('c', 'c', 'bob', 'acme', 'test/1', 'echo', 'live', 5000, NULL, NULL, 'relay-1', 6000, 2, 5, 8000, HASH, 8000, 40000, 90000,
        '2026-11-22', '2026-11', 8000);
INSERT INTO turns (session_id, turn, user_sub, role, text, start_position, end_position, created_at)
VALUES ('a', 0, 'ada', 'user', 'hello', 0, 16000, 1500), ('a', 1, 'ada', 'agent', 'Hello, Ada.', 0, 24000, 1600),
    ('c', 0, 'bob', 'user', 'and I am Bob', 0, 8000, 5500);
INSERT INTO ledger (session_id, key, user_sub, account, provider, item, unit, quantity, price_nano_usd, per, price_version, cost_nano_usd,
    estimated, created_at)
VALUES ('a', 'listening@0', 'ada', 'acme', 'echo', 'echo/listening', 'sample', 16000, 4800000, 960000, 'test', 80000, 0, 1600),
    ('b', 'chat@0', 'ada', 'acme', 'openai', 'openai/chat', 'output_token', 100, 5, 1, 'test', 500, 1, 3600),
    ('c', 'listening@0', 'bob', 'acme', 'echo', 'echo/listening', 'sample', 8000, 4800000, 960000, 'test', 40000, 0, 5600);
INSERT INTO budgets (scope, owner, period, spent_nano_usd, reserved_nano_usd)
VALUES ('user', 'of ada', '2026-11-22', 80500, 0), ('account', 'of acme', '2026-11', 120500, 50000);
INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd, created_at)
VALUES ('one', 'user', 'of ada', '2026-11-22', 50, 'a', 'ada', 'acme', 160000, 80000, 1700);
INSERT INTO denials (kind, subject, reason, created_by, created_at) VALUES ('sub', 'eve', 'stolen', 'ops', 1000);
INSERT INTO erased_usage (account, day, item, unit, quantity, cost_nano_usd)
VALUES ('acme', '2026-11-21', 'echo/listening', 'sample', 7, 35);
INSERT INTO erased_recordings (recording) VALUES ('2026/11/21/gone.wav');
INSERT INTO revisions (name, number) VALUES ('of these rows', 7)";

/// What those rows come to, whatever the schema.
pub(super) const SUMS: [(&str, i64); 14] = [
    ("SELECT COUNT(*) FROM sessions WHERE state = 'ended'", 2),
    ("SELECT COUNT(*) FROM sessions WHERE state = 'live' AND relay = 'relay-1' AND lease_until = 6000", 1),
    ("SELECT CAST(SUM(cost_nano_usd) AS BIGINT) FROM sessions", 120_500),
    ("SELECT CAST(SUM(authorised_nano_usd - cost_nano_usd) AS BIGINT) FROM sessions", 50_000),
    ("SELECT CAST(SUM(quantity) AS BIGINT) FROM ledger", 24_100),
    ("SELECT CAST(SUM(cost_nano_usd) AS BIGINT) FROM ledger", 120_500),
    ("SELECT CAST(SUM(LENGTH(text)) AS BIGINT) FROM turns", 28),
    ("SELECT CAST(SUM(spent_nano_usd) AS BIGINT) FROM budgets", 201_000),
    ("SELECT CAST(SUM(reserved_nano_usd) AS BIGINT) FROM budgets", 50_000),
    (
        "SELECT CAST(SUM(spent_nano_usd) AS BIGINT) FROM alerts WHERE percent = 50 AND session_id = 'a'",
        80_000,
    ),
    ("SELECT COUNT(*) FROM denials WHERE subject = 'eve' AND expires_at IS NULL", 1),
    ("SELECT CAST(SUM(cost_nano_usd) AS BIGINT) FROM erased_usage", 35),
    ("SELECT COUNT(*) FROM erased_recordings WHERE recording = '2026/11/21/gone.wav'", 1),
    ("SELECT number FROM revisions WHERE name = 'of these rows'", 7),
];

/// Rows, and columns of rows that are there, which a schema has from a migration on.
pub(super) struct Later {
    /// The number of the migration.
    pub(super) from: i64,
    /// Statements that both databases understand.
    pub(super) rows: &'static str,
    /// What they come to, whatever the schema.
    pub(super) sums: &'static [(&'static str, i64)],
}

/// What later migrations brought: whatever has a table or a column of its own is written here in its order.
pub(super) const LATER: &[Later] = &[
    Later {
        from: 3,
        rows: "UPDATE sessions SET replayable_samples = 700 WHERE id = 'c'",
        sums: &[("SELECT replayable_samples FROM sessions WHERE id = 'c'", 700)],
    },
    Later {
        from: 4,
        rows: "
INSERT INTO erased_sessions (id, epoch, audio_samples, erased_at) VALUES ('gone', 3, 16000, 9000);
INSERT INTO erased_rows (session_id, key) VALUES ('gone', 'listening@0')",
        sums: &[
            (
                "SELECT COUNT(*) FROM erased_sessions WHERE id = 'gone' AND epoch = 3 AND audio_samples = 16000",
                1,
            ),
            ("SELECT COUNT(*) FROM erased_rows WHERE session_id = 'gone' AND key = 'listening@0'", 1),
        ],
    },
    Later {
        from: 5,
        rows: "
INSERT INTO ledger (session_id, key, user_sub, account, provider, item, unit, quantity, price_nano_usd, per, price_version, cost_nano_usd,
    estimated, created_at, turn, request_id)
VALUES ('c', 'chat@0', 'bob', 'acme', 'openai', 'openai/chat', 'output_token', 0, 5, 1, 'test', 0, 0, 5700, 3, 'r-1');
INSERT INTO erased_rows (session_id, key, item, quantity) VALUES ('gone', 'listening@1', 'echo/listening', 16000)",
        sums: &[
            ("SELECT turn FROM ledger WHERE request_id = 'r-1'", 3),
            ("SELECT quantity FROM erased_rows WHERE item = 'echo/listening'", 16_000),
        ],
    },
    Later {
        from: 6,
        rows: "INSERT INTO relays (id, lease_until) VALUES ('relay-9', 7000)",
        sums: &[("SELECT lease_until FROM relays WHERE id = 'relay-9'", 7_000)],
    },
    Later {
        from: 7,
        rows: "UPDATE sessions SET strikes = 4 WHERE id = 'c'",
        sums: &[("SELECT strikes FROM sessions WHERE id = 'c'", 4)],
    },
    Later {
        from: 8,
        rows: "UPDATE sessions SET rating = 2, comment = 'too slow' WHERE id = 'a'",
        sums: &[("SELECT rating FROM sessions WHERE comment = 'too slow'", 2)],
    },
    Later {
        from: 9,
        rows: "
INSERT INTO tool_calls (session_id, call_id, turn, model_id, name, arguments, runs, output, is_error, created_at)
VALUES ('c', 'call-1', 2, 'm-1', 'weather', '{}', 'webhook', 'rain', 1, 5600)",
        sums: &[
            (
                "SELECT turn FROM tool_calls WHERE session_id = 'c' AND name = 'weather' AND output = 'rain' AND is_error = 1",
                2,
            ),
        ],
    },
    Later {
        from: 10,
        rows: "
INSERT INTO credits (key, account, user_sub, day, amount_nano_usd, reason, created_by, created_at)
VALUES ('k', 'acme', 'ada', '2026-11-22', 300, 'a cough', 'ops', 1800)",
        sums: &[
            (
                "SELECT amount_nano_usd FROM credits WHERE key = 'k' AND user_sub = 'ada' AND reason = 'a cough'",
                300,
            ),
        ],
    },
    Later {
        from: 11,
        rows: "UPDATE turns SET send_ms = 30, heard_ms = 200 WHERE session_id = 'a' AND turn = 1",
        sums: &[("SELECT CAST(SUM(send_ms + heard_ms) AS BIGINT) FROM turns", 230)],
    },
    Later {
        from: 12,
        rows: "
INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd, created_at)
VALUES ('two', 'provider', 'openai/chat', '2026-11-22T19', 100, 'b', '', 'acme', 0, 500, 1900)",
        sums: &[
            ("SELECT spent_nano_usd FROM alerts WHERE scope = 'provider' AND owner = 'openai/chat'", 500),
        ],
    },
    Later {
        from: 14,
        rows: "UPDATE sessions SET settlements = 9 WHERE id = 'c'",
        sums: &[("SELECT settlements FROM sessions WHERE id = 'c'", 9)],
    },
    Later {
        from: 15,
        rows: "UPDATE relays SET seen_at = 6500 WHERE id = 'relay-9'",
        sums: &[("SELECT seen_at FROM relays WHERE id = 'relay-9'", 6_500)],
    },
    Later {
        from: 16,
        rows: "UPDATE sessions SET succeeded = 1 WHERE id = 'b'",
        sums: &[("SELECT COUNT(*) FROM sessions WHERE id = 'b' AND succeeded = 1", 1)],
    },
    Later {
        from: 17,
        rows: "INSERT INTO rates (key, tat_us) VALUES ('of ada', 99)",
        sums: &[("SELECT tat_us FROM rates WHERE key = 'of ada'", 99)],
    },
    Later {
        from: 18,
        rows: "UPDATE turns SET epoch = 1, revision = 4 WHERE session_id = 'a' AND turn = 0",
        sums: &[("SELECT revision FROM turns WHERE epoch = 1", 4)],
    },
    Later {
        from: 19,
        rows: "
INSERT INTO rollup_calls (hour, account, agent, reason, calls, milliseconds, reconnects) VALUES (0, 'before', 'host', 'normal', 3, 9000, 1);
INSERT INTO rollup_money (hour, account, agent, provider, item, unit, quantity, cost_nano_usd)
VALUES (0, 'before', 'host', 'openai', 'openai/chat', 'output_token', 7, 35);
INSERT INTO rollup_turns (hour, account, agent, stage, bucket, turns) VALUES (0, 'before', 'host', 'total', 5, 2);
INSERT INTO rollup_users (day, account, user_sub, calls, milliseconds, cost_nano_usd) VALUES (0, 'before', 'cy', 3, 9000, 35)",
        sums: &[
            ("SELECT calls FROM rollup_calls WHERE account = 'before'", 3),
            ("SELECT cost_nano_usd FROM rollup_money WHERE account = 'before'", 35),
            ("SELECT turns FROM rollup_turns WHERE account = 'before'", 2),
            ("SELECT cost_nano_usd FROM rollup_users WHERE account = 'before'", 35),
        ],
    },
    Later {
        from: 20,
        rows: "
INSERT INTO audit (id, done_at, done_by, what, user_sub, subject, reason)
VALUES ('one', 2000, 'ops', 'give_credit', 'ada', 'k', 'a cough')",
        sums: &[
            (
                "SELECT done_at FROM audit WHERE id = 'one' AND done_by = 'ops' AND user_sub = 'ada' AND reason = 'a cough'",
                2_000,
            ),
        ],
    },
    Later {
        from: 21,
        rows: "
INSERT INTO webhooks (name, events, seen_at) VALUES ('crm', ',call.ended,', 3000);
INSERT INTO deliveries (id, webhook, event, session_id, created_at, due_since, attempts, delivered_at, answer)
VALUES ('ended_a_crm', 'crm', 'call.ended', 'a', 2100, 2100, 2, 2200, '204')",
        sums: &[
            ("SELECT seen_at FROM webhooks WHERE name = 'crm' AND events = ',call.ended,'", 3_000),
            (
                "SELECT delivered_at FROM deliveries WHERE id = 'ended_a_crm' AND session_id = 'a' AND answer = '204'",
                2_200,
            ),
        ],
    },
    Later {
        from: 22,
        rows: "
UPDATE budgets SET name = 'ada', plan_nano_usd = 160000, token_nano_usd = 170000 WHERE scope = 'user';
INSERT INTO budget_caps (scope, subject, cap_nano_usd) VALUES ('user', 'ada', 250000)",
        sums: &[
            ("SELECT plan_nano_usd + token_nano_usd FROM budgets WHERE name = 'ada'", 330_000),
            ("SELECT cap_nano_usd FROM budget_caps WHERE scope = 'user' AND subject = 'ada'", 250_000),
        ],
    },
    Later {
        from: 23,
        rows: "
INSERT INTO commands (id, session_id, kind, text, interrupts, state, created_at, taken_at)
VALUES ('one', 'c', 'say', 'We close.', 1, 'taken', 7000, 7100)",
        sums: &[
            (
                "SELECT taken_at FROM commands WHERE session_id = 'c' AND text = 'We close.' AND interrupts = 1 AND state = 'taken'",
                7_100,
            ),
        ],
    },
    Later {
        from: 24,
        rows: "
INSERT INTO idempotency_keys (key, owner, request, act, lease_until, status, body, created_at)
VALUES ('k', 'of ops', 'of a credit', 'one', 0, 201, '{}', 8000)",
        sums: &[
            (
                "SELECT status FROM idempotency_keys WHERE key = 'k' AND owner = 'of ops' AND act = 'one' AND body = '{}'",
                201,
            ),
        ],
    },
    Later {
        from: 25,
        rows: "
INSERT INTO api_keys (id, name, hash, is_admin, is_reader, created_by, created_at, expires_at)
VALUES ('one', 'billing', 'of a key', 1, 0, 'ops', 8100, 8200)",
        sums: &[
            (
                "SELECT expires_at FROM api_keys WHERE name = 'billing' AND hash = 'of a key' AND is_admin = 1 AND created_by = 'ops'",
                8_200,
            ),
        ],
    },
    Later {
        from: 26,
        rows: "
INSERT INTO incidents (id, kind, subject, number, state, value, threshold, found_at, created_at, delivered_at)
VALUES ('one', 'provider.down', 'voice', 1, 'firing', 0, 0, 9100, 9000, 9050)",
        sums: &[
            (
                "SELECT found_at FROM incidents WHERE id = 'one' AND subject = 'voice' AND number = 1 AND state = 'firing'",
                9_100,
            ),
        ],
    },
    Later {
        from: 27,
        rows: "UPDATE relays SET address = 'http://10.0.0.7:8080' WHERE id = 'relay-9'",
        sums: &[("SELECT COUNT(*) FROM relays WHERE address = 'http://10.0.0.7:8080'", 1)],
    },
    Later {
        from: 28,
        rows: "
UPDATE idempotency_keys SET about = 'of bob', holder = 'one' WHERE key = 'k';
UPDATE denials SET by_key = 1 WHERE subject = 'eve'",
        sums: &[
            ("SELECT COUNT(*) FROM idempotency_keys WHERE about = 'of bob' AND holder = 'one'", 1),
            ("SELECT by_key FROM denials WHERE subject = 'eve'", 1),
        ],
    },
    Later {
        from: 29,
        rows: "UPDATE sessions SET relay_epoch = 0, fenced_epoch = 1 WHERE id = 'a'",
        sums: &[("SELECT fenced_epoch - relay_epoch FROM sessions WHERE id = 'a'", 1)],
    },
    Later {
        from: 33,
        rows: "
UPDATE alerts SET due_since = 1800, answer = '503' WHERE id = 'one';
UPDATE incidents SET due_since = 9200, answer = '204' WHERE id = 'one'",
        sums: &[
            ("SELECT due_since FROM alerts WHERE id = 'one' AND answer = '503'", 1_800),
            ("SELECT due_since FROM incidents WHERE id = 'one' AND answer = '204'", 9_200),
        ],
    },
];
