-- Times are milliseconds since 1970, positions are samples of the speaker's timeline, money is in nano-dollars.
-- The same tables, column by column, as in ../sqlite.
-- They live in the schema `voxrelay`, apart from whatever else the database is for.

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
    started_at                BIGINT  NOT NULL,
    ended_at                  BIGINT,
    end_reason                TEXT,
    -- The name of the close code somebody wants it to end with. Its relay does that.
    end_requested             TEXT,
    -- The relay that has it, and until when nobody else may take that for lost.
    relay                     TEXT    NOT NULL,
    lease_until               BIGINT  NOT NULL,
    -- Since when it has no connection.
    detached_at               BIGINT,
    -- Counts the relays' memories of it. Who writes with an older one has lost it to another relay.
    epoch                     BIGINT  NOT NULL,
    uplink_seq_committed      BIGINT  NOT NULL,
    uplink_position_committed BIGINT  NOT NULL,
    resume_hash               BYTEA    NOT NULL,
    resume_hash_previous      BYTEA,
    reconnects                BIGINT  NOT NULL DEFAULT 0,
    rtt_avg_us                BIGINT  NOT NULL DEFAULT 0,
    rtt_max_us                BIGINT  NOT NULL DEFAULT 0,
    lost_samples              BIGINT  NOT NULL DEFAULT 0,
    recording                 TEXT,
    -- Sums of its ledger rows.
    audio_samples             BIGINT  NOT NULL DEFAULT 0,
    tokens                    BIGINT  NOT NULL DEFAULT 0,
    characters                BIGINT  NOT NULL DEFAULT 0,
    cost_nano_usd             BIGINT  NOT NULL DEFAULT 0,
    -- Up to here it may spend in all; what is above the cost is reserved in the budgets of the two periods.
    authorised_nano_usd       BIGINT  NOT NULL DEFAULT 0,
    -- How much of that is taken for spent if its relay is lost.
    exposed_nano_usd          BIGINT  NOT NULL DEFAULT 0,
    user_period               TEXT    NOT NULL,
    account_period            TEXT    NOT NULL,
    -- Audio before this position is in ledger rows: played again after a crash, it is not metered again.
    metered_position          BIGINT  NOT NULL DEFAULT 0,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK (authorised_nano_usd >= cost_nano_usd)
);

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
    turn           BIGINT  NOT NULL,
    user_sub       TEXT    NOT NULL,
    role           TEXT    NOT NULL CHECK (role IN ('user', 'agent')),
    text           TEXT    NOT NULL,
    start_position BIGINT  NOT NULL,
    end_position   BIGINT  NOT NULL,
    heard_position BIGINT,
    created_at     BIGINT  NOT NULL,
    stt_ms         BIGINT,
    llm_ms         BIGINT,
    tts_ms         BIGINT,
    total_ms       BIGINT,
    PRIMARY KEY (session_id, turn)
);

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
    quantity       BIGINT  NOT NULL CHECK (quantity >= 0),
    price_nano_usd BIGINT  NOT NULL,
    per            BIGINT  NOT NULL,
    price_version  TEXT    NOT NULL,
    cost_nano_usd  BIGINT  NOT NULL CHECK (cost_nano_usd >= 0),
    estimated      BIGINT  NOT NULL CHECK (estimated IN (0, 1)),
    created_at     BIGINT  NOT NULL,
    PRIMARY KEY (session_id, key)
);

CREATE INDEX ledger_of_user ON ledger (user_sub, created_at);
CREATE INDEX ledger_of_account ON ledger (account, created_at);
CREATE INDEX ledger_by_time ON ledger (created_at);

CREATE FUNCTION refuse_ledger_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END
$$;

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION refuse_ledger_update();

CREATE TABLE budgets (
    scope             TEXT    NOT NULL CHECK (scope IN ('user', 'account')),
    -- SHA-256 of the user or account: erasing a user leaves no name behind, and no budget full again.
    owner             TEXT    NOT NULL,
    period            TEXT    NOT NULL,
    spent_nano_usd    BIGINT  NOT NULL DEFAULT 0 CHECK (spent_nano_usd >= 0),
    reserved_nano_usd BIGINT  NOT NULL DEFAULT 0 CHECK (reserved_nano_usd >= 0),
    PRIMARY KEY (scope, owner, period)
);

CREATE TABLE alerts (
    id              TEXT    NOT NULL PRIMARY KEY,
    scope           TEXT    NOT NULL CHECK (scope IN ('session', 'user', 'account')),
    owner           TEXT    NOT NULL,
    period          TEXT    NOT NULL,
    percent         BIGINT  NOT NULL,
    session_id      TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    user_sub        TEXT    NOT NULL,
    account         TEXT    NOT NULL,
    limit_nano_usd  BIGINT  NOT NULL,
    spent_nano_usd  BIGINT  NOT NULL,
    created_at      BIGINT  NOT NULL,
    attempts        BIGINT  NOT NULL DEFAULT 0,
    -- When the webhook is tried next; nothing once it is delivered or given up.
    next_attempt_at BIGINT,
    delivered_at    BIGINT,
    UNIQUE (scope, owner, period, percent)
);

CREATE INDEX alerts_by_time ON alerts (created_at, id);
CREATE INDEX alerts_of_user ON alerts (user_sub);
CREATE INDEX alerts_of_session ON alerts (session_id);
CREATE INDEX alerts_due ON alerts (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

CREATE TABLE denials (
    kind       TEXT    NOT NULL CHECK (kind IN ('sub', 'login')),
    subject    TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (kind, subject)
);

-- Counts what every relay has to hear of soon: they look at the number before they look at the rest.
CREATE TABLE revisions (
    name   TEXT   NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);

-- What was used by those who were erased, without saying by whom: the account's bill stays whole.
CREATE TABLE erased_usage (
    account       TEXT    NOT NULL,
    day           TEXT    NOT NULL,
    item          TEXT    NOT NULL,
    unit          TEXT    NOT NULL,
    quantity      BIGINT  NOT NULL,
    cost_nano_usd BIGINT  NOT NULL,
    PRIMARY KEY (account, day, item, unit)
);

-- Recordings whose session is gone, until they are gone as well.
CREATE TABLE erased_recordings (
    recording TEXT NOT NULL PRIMARY KEY
);

-- Supabase: a signed-in user reads the rows that are theirs and nothing else, and writes nothing. The relay owns the tables, and
-- an owner is not bound by these policies. Elsewhere there is nobody for whom they could be, and no row is given out.
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE denials ENABLE ROW LEVEL SECURITY;
ALTER TABLE revisions ENABLE ROW LEVEL SECURITY;
ALTER TABLE erased_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE erased_recordings ENABLE ROW LEVEL SECURITY;

DO $$
BEGIN
    IF to_regprocedure('auth.uid()') IS NULL OR to_regrole('authenticated') IS NULL OR to_regrole('anon') IS NULL THEN
        RETURN;
    END IF;
    -- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
    REVOKE ALL ON ALL TABLES IN SCHEMA voxrelay FROM PUBLIC, anon, authenticated;
    GRANT USAGE ON SCHEMA voxrelay TO authenticated;
    GRANT SELECT ON sessions, turns, ledger, alerts TO authenticated;
    CREATE POLICY own_sessions ON sessions FOR SELECT TO authenticated
        USING (user_sub = (SELECT auth.uid())::text);
    CREATE POLICY own_turns ON turns FOR SELECT TO authenticated
        USING (user_sub = (SELECT auth.uid())::text);
    CREATE POLICY own_ledger ON ledger FOR SELECT TO authenticated
        USING (user_sub = (SELECT auth.uid())::text);
    CREATE POLICY own_alerts ON alerts FOR SELECT TO authenticated
        USING (user_sub = (SELECT auth.uid())::text);
END
$$;
