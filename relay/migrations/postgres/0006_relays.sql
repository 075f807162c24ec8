-- Until when a relay may not be taken for lost, with all sessions that are its. A session's own lease_until only ends that sooner: at the
-- year 9999 it is the relay's alone, at any other time the session was let go, or is of a relay from before this table.
CREATE TABLE relays (
    id          TEXT   NOT NULL PRIMARY KEY,
    lease_until BIGINT NOT NULL
);

ALTER TABLE relays ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON relays USING ((SELECT has_table_privilege('voxrelay.relays', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON relays FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
