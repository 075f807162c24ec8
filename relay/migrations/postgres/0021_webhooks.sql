-- The addresses that are told what happens, as relays have them in their configuration. One that no relay has named for a while is forgotten.
CREATE TABLE webhooks (
    name    TEXT   NOT NULL PRIMARY KEY,
    -- What it is told, each word between commas: `,call.ended,user.erased,`.
    events  TEXT   NOT NULL,
    seen_at BIGINT NOT NULL
);

-- What each of them is to be told, or was told.
CREATE TABLE deliveries (
    id              TEXT   NOT NULL PRIMARY KEY,
    -- Not a reference: what is on its way outlives the name.
    webhook         TEXT   NOT NULL,
    event           TEXT   NOT NULL,
    session_id      TEXT   REFERENCES sessions (id) ON DELETE CASCADE,
    -- The user who was erased, until the receiver has heard of it.
    user_sub        TEXT,
    created_at      BIGINT NOT NULL,
    -- When it was written or last repeated by an administrator.
    due_since       BIGINT NOT NULL,
    attempts        BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT,
    delivered_at    BIGINT,
    answer          TEXT
);

CREATE INDEX deliveries_due ON deliveries (webhook, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_by_time ON deliveries (created_at, id);
CREATE INDEX deliveries_of_session ON deliveries (session_id);

-- An event is written with what it tells of, whichever relay does that, also one of an earlier version whose role has no rights on these tables:
-- so the functions run with those of the schema's owner, and nobody else may put them to use. While a database is filled from another one nothing happens in it.
CREATE FUNCTION tell_call_started() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    happened BIGINT := CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT);
BEGIN
    IF NOT EXISTS (SELECT 1 FROM voxrelay.revisions r WHERE r.name = 'import') THEN
        INSERT INTO voxrelay.deliveries (id, webhook, event, session_id, created_at, due_since, next_attempt_at)
        SELECT 'started_' || NEW.id || '_' || w.name, w.name, 'call.started', NEW.id, happened, happened, happened
        FROM voxrelay.webhooks w WHERE w.events LIKE '%,call.started,%'
        ON CONFLICT (id) DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER deliveries_of_started AFTER INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION tell_call_started();

CREATE FUNCTION tell_call_ended() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    happened BIGINT := CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT);
BEGIN
    INSERT INTO voxrelay.deliveries (id, webhook, event, session_id, created_at, due_since, next_attempt_at)
    SELECT 'ended_' || NEW.id || '_' || w.name, w.name, 'call.ended', NEW.id, happened, happened, happened
    FROM voxrelay.webhooks w WHERE w.events LIKE '%,call.ended,%'
    ON CONFLICT (id) DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER deliveries_of_ended AFTER UPDATE OF state ON sessions FOR EACH ROW
WHEN (NEW.state = 'ended' AND OLD.state <> 'ended') EXECUTE FUNCTION tell_call_ended();

REVOKE ALL ON FUNCTION tell_call_started(), tell_call_ended() FROM PUBLIC;

ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON webhooks USING ((SELECT has_table_privilege('voxrelay.webhooks', 'DELETE')));
CREATE POLICY relay ON deliveries USING ((SELECT has_table_privilege('voxrelay.deliveries', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON webhooks, deliveries FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
