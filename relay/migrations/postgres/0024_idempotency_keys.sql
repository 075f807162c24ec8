-- Writes over the HTTP API that came with an `Idempotency-Key`, for a day. Whoever asks, the keys and the requests are here by their SHA-256.
CREATE TABLE idempotency_keys (
    -- Who asks, the route and the key.
    key         TEXT   NOT NULL PRIMARY KEY,
    -- Who asks.
    owner       TEXT   NOT NULL,
    -- The whole request: the same key with another one is refused.
    request     TEXT   NOT NULL,
    -- What the request makes has this id, also if another relay goes on with it.
    act         TEXT   NOT NULL,
    -- Until then a relay is at work on it.
    lease_until BIGINT NOT NULL,
    -- The answer, once there is one to repeat.
    status      BIGINT,
    body        TEXT,
    created_at  BIGINT NOT NULL
);

CREATE INDEX idempotency_keys_of_owner ON idempotency_keys (owner, created_at);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON idempotency_keys USING ((SELECT has_table_privilege('voxrelay.idempotency_keys', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON idempotency_keys FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
