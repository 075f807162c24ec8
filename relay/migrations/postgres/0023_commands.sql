-- What administrators have the agents of live sessions told. The relay that has the session takes a command before it does it, so that none is
-- done twice.
CREATE TABLE commands (
    id         TEXT   NOT NULL PRIMARY KEY,
    session_id TEXT   NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    kind       TEXT   NOT NULL CHECK (kind IN ('say', 'context')),
    -- The words, until a relay has taken the command. What is said stands in the transcript.
    text       TEXT   NOT NULL,
    interrupts BIGINT NOT NULL CHECK (interrupts IN (0, 1)),
    state      TEXT   NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'taken', 'done', 'refused')),
    -- Why it was refused, as a word.
    reason     TEXT,
    created_at BIGINT NOT NULL,
    taken_at   BIGINT
);

CREATE INDEX commands_waiting ON commands (session_id) WHERE state = 'waiting';
CREATE INDEX commands_of_session ON commands (session_id);
CREATE INDEX commands_by_time ON commands (created_at);

ALTER TABLE commands ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON commands USING ((SELECT has_table_privilege('voxrelay.commands', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON commands FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
