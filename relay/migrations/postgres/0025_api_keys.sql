-- Keys with which a server uses the administrators' part of the HTTP API. Only their SHA-256 is here.
CREATE TABLE api_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    -- No other key ever has it, so that the audit names one key by it.
    name         TEXT   NOT NULL UNIQUE,
    hash         TEXT   NOT NULL UNIQUE,
    is_admin     BIGINT NOT NULL CHECK (is_admin IN (0, 1)),
    is_reader    BIGINT NOT NULL CHECK (is_reader IN (0, 1)),
    -- The administrator. Empty once that user is erased.
    created_by   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    -- To the hour.
    last_used_at BIGINT,
    revoked_at   BIGINT
);

CREATE INDEX api_keys_by_time ON api_keys (created_at, id);

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON api_keys USING ((SELECT has_table_privilege('voxrelay.api_keys', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON api_keys FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
