-- Sessions that were erased, without saying whose: what a relay still has to charge for one of them is told by this from what is charged.
CREATE TABLE erased_sessions (
    id            TEXT    NOT NULL PRIMARY KEY,
    -- As they were in the session's row.
    epoch         INTEGER NOT NULL,
    audio_samples INTEGER NOT NULL,
    erased_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX erased_sessions_by_time ON erased_sessions (erased_at);

-- The keys of their ledger rows: each counts once.
CREATE TABLE erased_rows (
    session_id TEXT NOT NULL REFERENCES erased_sessions (id) ON DELETE CASCADE,
    key        TEXT NOT NULL,
    PRIMARY KEY (session_id, key)
) STRICT, WITHOUT ROWID;
