-- The user whom a request with a key names, and so may its answer, if it names one: by their SHA-256.
ALTER TABLE idempotency_keys ADD COLUMN about TEXT;
-- Who is at work on it until `lease_until`: for the first time whoever has the same id as the act, and each time that it is begun again another
-- one. Empty where nobody is, or a relay from before this column.
ALTER TABLE idempotency_keys ADD COLUMN holder TEXT NOT NULL DEFAULT '';

CREATE INDEX idempotency_keys_about ON idempotency_keys (about) WHERE about IS NOT NULL;

CREATE INDEX api_keys_by_maker ON api_keys (created_by, created_at, id);

-- Whether an API key has denied them, and no person: that keeps no administrator out of the HTTP API.
ALTER TABLE denials ADD COLUMN by_key INTEGER NOT NULL DEFAULT 0 CHECK (by_key IN (0, 1));
