-- Sessions that were erased, without saying whose: what a relay still has to charge for one of them is told by this from what is charged.
CREATE TABLE erased_sessions (
    id            TEXT   NOT NULL PRIMARY KEY,
    -- As they were in the session's row.
    epoch         BIGINT NOT NULL,
    audio_samples BIGINT NOT NULL,
    erased_at     BIGINT NOT NULL
);

CREATE INDEX erased_sessions_by_time ON erased_sessions (erased_at);

-- The keys of their ledger rows: each counts once.
CREATE TABLE erased_rows (
    session_id TEXT NOT NULL REFERENCES erased_sessions (id) ON DELETE CASCADE,
    key        TEXT NOT NULL,
    PRIMARY KEY (session_id, key)
);

ALTER TABLE erased_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE erased_rows ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON erased_sessions USING ((SELECT has_table_privilege('voxrelay.erased_sessions', 'DELETE')));
CREATE POLICY relay ON erased_rows USING ((SELECT has_table_privilege('voxrelay.erased_rows', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON erased_sessions, erased_rows FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
