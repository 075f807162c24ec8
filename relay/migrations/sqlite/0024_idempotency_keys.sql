-- Writes over the HTTP API that came with an `Idempotency-Key`, for a day. Whoever asks, the keys and the requests are here by their SHA-256.
CREATE TABLE idempotency_keys (
    -- Who asks, the route and the key.
    key         TEXT    NOT NULL PRIMARY KEY,
    -- Who asks.
    owner       TEXT    NOT NULL,
    -- The whole request: the same key with another one is refused.
    request     TEXT    NOT NULL,
    -- What the request makes has this id, also if another relay goes on with it.
    act         TEXT    NOT NULL,
    -- Until then a relay is at work on it.
    lease_until INTEGER NOT NULL,
    -- The answer, once there is one to repeat.
    status      INTEGER,
    body        TEXT,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_of_owner ON idempotency_keys (owner, created_at);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
