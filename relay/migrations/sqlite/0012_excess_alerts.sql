-- An alert may also be about a provider that reported more than was set aside for its request: its owner is the item, its period the hour, and
-- what is spent the excess. It concerns no user, so that none is named. SQLite changes no constraint of a table that is there.
ALTER TABLE alerts RENAME TO alerts_11;
DROP INDEX alerts_by_time;
DROP INDEX alerts_of_user;
DROP INDEX alerts_of_session;
DROP INDEX alerts_due;

CREATE TABLE alerts (
    id              TEXT    NOT NULL PRIMARY KEY,
    scope           TEXT    NOT NULL CHECK (scope IN ('session', 'user', 'account', 'provider')),
    owner           TEXT    NOT NULL,
    period          TEXT    NOT NULL,
    percent         INTEGER NOT NULL,
    session_id      TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    user_sub        TEXT    NOT NULL,
    account         TEXT    NOT NULL,
    limit_nano_usd  INTEGER NOT NULL,
    spent_nano_usd  INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- When the webhook is tried next; nothing once it is delivered or given up.
    next_attempt_at INTEGER,
    delivered_at    INTEGER,
    UNIQUE (scope, owner, period, percent)
) STRICT;

INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd, created_at,
    attempts, next_attempt_at, delivered_at)
SELECT id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd, created_at,
    attempts, next_attempt_at, delivered_at
FROM alerts_11;
DROP TABLE alerts_11;

CREATE INDEX alerts_by_time ON alerts (created_at, id);
CREATE INDEX alerts_of_user ON alerts (user_sub);
CREATE INDEX alerts_of_session ON alerts (session_id);
CREATE INDEX alerts_due ON alerts (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
