-- Calls of tools in live sessions: whoever takes a session over knows what was called, and calls again what nothing has come of.
CREATE TABLE tool_calls (
    session_id TEXT   NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    call_id    TEXT   NOT NULL,
    -- The number of the turn before which it stands.
    turn       BIGINT NOT NULL,
    -- The model's own name for it, which it may use again.
    model_id   TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    arguments  TEXT   NOT NULL,
    runs       TEXT   NOT NULL CHECK (runs IN ('page', 'webhook')),
    output     TEXT,
    is_error   BIGINT NOT NULL DEFAULT 0 CHECK (is_error IN (0, 1)),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (session_id, call_id)
);

-- A session that has ended goes on nowhere.
CREATE FUNCTION forget_tool_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM voxrelay.tool_calls WHERE session_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER tool_calls_of_ended AFTER UPDATE OF state ON sessions FOR EACH ROW WHEN (NEW.state = 'ended')
    EXECUTE FUNCTION forget_tool_calls();

ALTER TABLE tool_calls ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON tool_calls USING ((SELECT has_table_privilege('voxrelay.tool_calls', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops. What a backend answers is not for its users.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON tool_calls FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
