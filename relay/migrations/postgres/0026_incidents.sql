-- What operators are told of the service as a whole: providers that are not asked, calls that fail, answers that are slow. It waits here for the
-- webhook of alerts, and names no user and no session.
CREATE TABLE incidents (
    id              TEXT   NOT NULL PRIMARY KEY,
    kind            TEXT   NOT NULL,
    -- The provider, by its name in the configuration. Empty where all calls are meant.
    subject         TEXT   NOT NULL,
    -- Counted from 1 for each kind and subject, so that of several relays that write what they have found at once one does.
    number          BIGINT NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('firing', 'resolved')),
    -- What was measured, and what it is measured by. 0 where nothing is.
    value           BIGINT NOT NULL,
    threshold       BIGINT NOT NULL,
    -- When any relay has last found it to be so. It is over when none has for a while.
    found_at        BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    attempts        BIGINT NOT NULL DEFAULT 0,
    -- When the webhook is tried next; nothing once it is delivered or given up.
    next_attempt_at BIGINT,
    delivered_at    BIGINT,
    UNIQUE (kind, subject, number)
);

CREATE INDEX incidents_by_time ON incidents (created_at, id);
CREATE INDEX incidents_due ON incidents (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

ALTER TABLE incidents ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON incidents USING ((SELECT has_table_privilege('voxrelay.incidents', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON incidents FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
