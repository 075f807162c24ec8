-- Keys with which a server uses the administrators' part of the HTTP API. Only their SHA-256 is here.
CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    -- No other key ever has it, so that the audit names one key by it.
    name         TEXT    NOT NULL UNIQUE,
    hash         TEXT    NOT NULL UNIQUE,
    is_admin     INTEGER NOT NULL CHECK (is_admin IN (0, 1)),
    is_reader    INTEGER NOT NULL CHECK (is_reader IN (0, 1)),
    -- The administrator. Empty once that user is erased.
    created_by   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    -- To the hour.
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_by_time ON api_keys (created_at, id);
