-- Calls of tools in live sessions: whoever takes a session over knows what was called, and calls again what nothing has come of.
CREATE TABLE tool_calls (
    session_id TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    call_id    TEXT    NOT NULL,
    -- The number of the turn before which it stands.
    turn       INTEGER NOT NULL,
    -- The model's own name for it, which it may use again.
    model_id   TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    arguments  TEXT    NOT NULL,
    runs       TEXT    NOT NULL CHECK (runs IN ('page', 'webhook')),
    output     TEXT,
    is_error   INTEGER NOT NULL DEFAULT 0 CHECK (is_error IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (session_id, call_id)
) STRICT, WITHOUT ROWID;

-- A session that has ended goes on nowhere.
CREATE TRIGGER tool_calls_of_ended AFTER UPDATE OF state ON sessions WHEN NEW.state = 'ended'
BEGIN
    DELETE FROM tool_calls WHERE session_id = NEW.id;
END;
