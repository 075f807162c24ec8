-- Accounts, conversations, leases, budgets, the ledger, alerts, the deny-list.
-- Times are milliseconds since 1970, positions are samples of the speaker's timeline, money is in nano-dollars.
-- The same tables, column by column, as in ../postgres.

ALTER TABLE sessions RENAME TO sessions_1;
ALTER TABLE turns RENAME TO turns_1;
ALTER TABLE usage RENAME TO usage_1;
DROP INDEX sessions_of_user;
DROP INDEX sessions_live;

CREATE TABLE sessions (
    id                        TEXT    NOT NULL PRIMARY KEY,
    conversation_id           TEXT    NOT NULL,
    user_sub                  TEXT    NOT NULL,
    account                   TEXT    NOT NULL,
    plan                      TEXT,
    -- The session at the identity provider, which the deny-list may name.
    login                     TEXT,
    client                    TEXT    NOT NULL,
    agent                     TEXT    NOT NULL,
    state                     TEXT    NOT NULL CHECK (state IN ('live', 'ended')),
    started_at                INTEGER NOT NULL,
    ended_at                  INTEGER,
    end_reason                TEXT,
    -- The name of the close code somebody wants it to end with. Its relay does that.
    end_requested             TEXT,
    -- The relay that has it, and until when nobody else may take that for lost.
    relay                     TEXT    NOT NULL,
    lease_until               INTEGER NOT NULL,
    -- Since when it has no connection.
    detached_at               INTEGER,
    -- Counts the relays' memories of it. Who writes with an older one has lost it to another relay.
    epoch                     INTEGER NOT NULL,
    uplink_seq_committed      INTEGER NOT NULL,
    uplink_position_committed INTEGER NOT NULL,
    resume_hash               BLOB    NOT NULL,
    resume_hash_previous      BLOB,
    reconnects                INTEGER NOT NULL DEFAULT 0,
    rtt_avg_us                INTEGER NOT NULL DEFAULT 0,
    rtt_max_us                INTEGER NOT NULL DEFAULT 0,
    lost_samples              INTEGER NOT NULL DEFAULT 0,
    recording                 TEXT,
    -- Sums of its ledger rows.
    audio_samples             INTEGER NOT NULL DEFAULT 0,
    tokens                    INTEGER NOT NULL DEFAULT 0,
    characters                INTEGER NOT NULL DEFAULT 0,
    cost_nano_usd             INTEGER NOT NULL DEFAULT 0,
    -- Up to here it may spend in all; what is above the cost is reserved in the budgets of the two periods.
    authorised_nano_usd       INTEGER NOT NULL DEFAULT 0,
    -- How much of that is taken for spent if its relay is lost.
    exposed_nano_usd          INTEGER NOT NULL DEFAULT 0,
    user_period               TEXT    NOT NULL,
    account_period            TEXT    NOT NULL,
    -- Audio before this position is in ledger rows: played again after a crash, it is not metered again.
    metered_position          INTEGER NOT NULL DEFAULT 0,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK (authorised_nano_usd >= cost_nano_usd)
) STRICT;

CREATE INDEX sessions_of_user ON sessions (user_sub, started_at, id);
CREATE INDEX sessions_of_account ON sessions (account, started_at, id);
CREATE INDEX sessions_by_time ON sessions (started_at, id);
CREATE INDEX sessions_of_conversation ON sessions (conversation_id);
CREATE INDEX sessions_recorded ON sessions (id) WHERE recording IS NOT NULL;
CREATE INDEX sessions_live ON sessions (lease_until) WHERE state = 'live';
CREATE INDEX sessions_end_requested ON sessions (relay) WHERE end_requested IS NOT NULL AND state = 'live';
CREATE INDEX sessions_live_of_user ON sessions (user_sub) WHERE state = 'live';
CREATE INDEX sessions_live_of_account ON sessions (account) WHERE state = 'live';

CREATE TABLE turns (
    session_id     TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    turn           INTEGER NOT NULL,
    user_sub       TEXT    NOT NULL,
    role           TEXT    NOT NULL CHECK (role IN ('user', 'agent')),
    text           TEXT    NOT NULL,
    start_position INTEGER NOT NULL,
    end_position   INTEGER NOT NULL,
    heard_position INTEGER,
    created_at     INTEGER NOT NULL,
    stt_ms         INTEGER,
    llm_ms         INTEGER,
    tts_ms         INTEGER,
    total_ms       INTEGER,
    PRIMARY KEY (session_id, turn)
) STRICT, WITHOUT ROWID;

CREATE INDEX turns_of_user ON turns (user_sub);
CREATE INDEX turns_by_time ON turns (created_at);

CREATE TABLE ledger (
    session_id     TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    key            TEXT    NOT NULL,
    user_sub       TEXT    NOT NULL,
    account        TEXT    NOT NULL,
    provider       TEXT    NOT NULL,
    item           TEXT    NOT NULL,
    unit           TEXT    NOT NULL,
    quantity       INTEGER NOT NULL CHECK (quantity >= 0),
    price_nano_usd INTEGER NOT NULL,
    per            INTEGER NOT NULL,
    price_version  TEXT    NOT NULL,
    cost_nano_usd  INTEGER NOT NULL CHECK (cost_nano_usd >= 0),
    estimated      INTEGER NOT NULL CHECK (estimated IN (0, 1)),
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (session_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX ledger_of_user ON ledger (user_sub, created_at);
CREATE INDEX ledger_of_account ON ledger (account, created_at);
CREATE INDEX ledger_by_time ON ledger (created_at);

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TABLE budgets (
    scope             TEXT    NOT NULL CHECK (scope IN ('user', 'account')),
    -- SHA-256 of the user or account: erasing a user leaves no name behind, and no budget full again.
    owner             TEXT    NOT NULL,
    period            TEXT    NOT NULL,
    spent_nano_usd    INTEGER NOT NULL DEFAULT 0 CHECK (spent_nano_usd >= 0),
    reserved_nano_usd INTEGER NOT NULL DEFAULT 0 CHECK (reserved_nano_usd >= 0),
    PRIMARY KEY (scope, owner, period)
) STRICT, WITHOUT ROWID;

CREATE TABLE alerts (
    id              TEXT    NOT NULL PRIMARY KEY,
    scope           TEXT    NOT NULL CHECK (scope IN ('session', 'user', 'account')),
    owner           TEXT    NOT NULL,
    period          TEXT    NOT NULL,
    percent         INTEGER NOT NULL,
    session_id      TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    user_sub        TEXT    NOT NULL,
    account         TEXT    NOT NULL,
    limit_nano_usd  INTEGER NOT NULL,
    spent_nano_usd  INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- When the webhook is tried next; nothing once it is delivered or given up.
    next_attempt_at INTEGER,
    delivered_at    INTEGER,
    UNIQUE (scope, owner, period, percent)
) STRICT;

CREATE INDEX alerts_by_time ON alerts (created_at, id);
CREATE INDEX alerts_of_user ON alerts (user_sub);
CREATE INDEX alerts_of_session ON alerts (session_id);
CREATE INDEX alerts_due ON alerts (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

CREATE TABLE denials (
    kind       TEXT    NOT NULL CHECK (kind IN ('sub', 'login')),
    subject    TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- Counts what every relay has to hear of soon: they look at the number before they look at the rest.
CREATE TABLE revisions (
    name   TEXT   NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was used by those who were erased, without saying by whom: the account's bill stays whole.
CREATE TABLE erased_usage (
    account       TEXT    NOT NULL,
    day           TEXT    NOT NULL,
    item          TEXT    NOT NULL,
    unit          TEXT    NOT NULL,
    quantity      INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (account, day, item, unit)
) STRICT, WITHOUT ROWID;

-- Recordings whose session is gone, until they are gone as well.
CREATE TABLE erased_recordings (
    recording TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT INTO sessions (id, conversation_id, user_sub, account, client, agent, state, started_at, ended_at, end_reason, relay,
    lease_until, epoch, uplink_seq_committed, uplink_position_committed, resume_hash, resume_hash_previous, reconnects,
    audio_samples, cost_nano_usd, authorised_nano_usd, user_period, account_period, metered_position)
SELECT id, id, user_sub, 'default', client, agent, state, started_at, ended_at, end_reason, '',
    0, epoch, uplink_seq_committed, uplink_position_committed, resume_hash, resume_hash_previous, reconnects,
    audio_samples, cost_nano_usd, cost_nano_usd, '', '', metered_position
FROM sessions_1;

INSERT INTO turns (session_id, turn, user_sub, role, text, start_position, end_position, heard_position, created_at)
SELECT session_id, turn, user_sub, role, text, start_position, end_position, heard_position, created_at
FROM turns_1 JOIN sessions_1 ON sessions_1.id = session_id;

INSERT INTO ledger (session_id, key, user_sub, account, provider, item, unit, quantity, price_nano_usd, per, price_version,
    cost_nano_usd, estimated, created_at)
SELECT session_id, item || '@' || from_quantity, user_sub, 'default', substr(item, 1, instr(item, '/') - 1), item, unit,
    quantity, price_nano_usd, per, price_version, usage_1.cost_nano_usd, 0, created_at
FROM usage_1 JOIN sessions_1 ON sessions_1.id = session_id;

DROP TABLE usage_1;
DROP TABLE turns_1;
DROP TABLE sessions_1;
