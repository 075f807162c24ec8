-- Sessions that began in the last minute, counted by user and by address over all relays: one row for each, under a SHA-256 of what it is
-- counted by. `tat_us` is the theoretical arrival time of the generic cell rate algorithm, the time at which its whole minute is there again, in
-- microseconds since 1970 by the database's clock. A row whose time has passed says nothing and is deleted.
CREATE TABLE rates (
    key    TEXT   NOT NULL PRIMARY KEY,
    tat_us BIGINT NOT NULL
);

CREATE INDEX rates_by_time ON rates (tat_us);

ALTER TABLE rates ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON rates USING ((SELECT has_table_privilege('voxrelay.rates', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON rates FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
