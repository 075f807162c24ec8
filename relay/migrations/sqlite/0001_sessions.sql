-- Times are milliseconds since 1970, positions are samples of the speaker's timeline, money is in nano-dollars.

CREATE TABLE sessions (
    id                        TEXT    NOT NULL PRIMARY KEY,
    user_sub                  TEXT    NOT NULL,
    client                    TEXT    NOT NULL,
    agent                     TEXT    NOT NULL,
    state                     TEXT    NOT NULL CHECK (state IN ('live', 'ended')),
    started_at                INTEGER NOT NULL,
    ended_at                  INTEGER,
    end_reason                TEXT,
    epoch                     INTEGER NOT NULL,
    uplink_seq_committed      INTEGER NOT NULL,
    uplink_position_committed INTEGER NOT NULL,
    resume_hash               BLOB    NOT NULL,
    resume_hash_previous      BLOB,
    reconnects                INTEGER NOT NULL DEFAULT 0,
    audio_samples             INTEGER NOT NULL DEFAULT 0,
    cost_nano_usd             INTEGER NOT NULL DEFAULT 0,
    -- Audio before this position is in usage rows: played again after a crash, it is not metered again.
    metered_position          INTEGER NOT NULL DEFAULT 0,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL))
) STRICT;

CREATE INDEX sessions_of_user ON sessions (user_sub, started_at);
CREATE INDEX sessions_live ON sessions (state) WHERE state = 'live';

CREATE TABLE turns (
    session_id     TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    turn           INTEGER NOT NULL,
    role           TEXT    NOT NULL CHECK (role IN ('user', 'agent')),
    text           TEXT    NOT NULL,
    start_position INTEGER NOT NULL,
    end_position   INTEGER NOT NULL,
    heard_position INTEGER,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (session_id, turn)
) STRICT, WITHOUT ROWID;

-- Append only. A row written twice counts once.
CREATE TABLE usage (
    session_id     TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    item           TEXT    NOT NULL,
    from_quantity  INTEGER NOT NULL,
    quantity       INTEGER NOT NULL,
    unit           TEXT    NOT NULL,
    price_nano_usd INTEGER NOT NULL,
    per            INTEGER NOT NULL,
    price_version  TEXT    NOT NULL,
    cost_nano_usd  INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (session_id, item, from_quantity)
) STRICT, WITHOUT ROWID;
