-- An alert outlives the session that raised it: that an account is used up is to be told, and told once, also if that call is erased meanwhile. So an
-- alert refers to no session any more, and a trigger takes out what names one, whichever relay erases it: its id, and its user where the budget is not
-- theirs. Whoever has no session left is named by no alert. What is about the budget of a session goes with it. Relays of earlier versions read and write
-- the same columns, and no statement of theirs leans on the reference, so 'oldest_relay' stays. SQLite drops no reference of a table that is there.
ALTER TABLE alerts RENAME TO alerts_34;
DROP INDEX alerts_by_time;
DROP INDEX alerts_of_user;
DROP INDEX alerts_of_session;
DROP INDEX alerts_due;
DROP INDEX alerts_waiting;
DROP INDEX alerts_given_up;
DROP INDEX alerts_of_providers;

CREATE TABLE alerts (
    id              TEXT    NOT NULL PRIMARY KEY,
    scope           TEXT    NOT NULL CHECK (scope IN ('session', 'user', 'account', 'provider')),
    owner           TEXT    NOT NULL,
    period          TEXT    NOT NULL,
    percent         INTEGER NOT NULL,
    -- Empty once the session is erased.
    session_id      TEXT    NOT NULL,
    user_sub        TEXT    NOT NULL,
    account         TEXT    NOT NULL,
    limit_nano_usd  INTEGER NOT NULL,
    spent_nano_usd  INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- When the webhook is tried next; nothing once it is delivered or given up.
    next_attempt_at INTEGER,
    delivered_at    INTEGER,
    due_since       INTEGER,
    answer          TEXT,
    UNIQUE (scope, owner, period, percent)
) STRICT;

INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd, created_at,
    attempts, next_attempt_at, delivered_at, due_since, answer)
SELECT id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd, created_at,
    attempts, next_attempt_at, delivered_at, due_since, answer
FROM alerts_34;
DROP TABLE alerts_34;

CREATE INDEX alerts_by_time ON alerts (created_at, id);
CREATE INDEX alerts_of_user ON alerts (user_sub);
CREATE INDEX alerts_of_session ON alerts (session_id);
CREATE INDEX alerts_due ON alerts (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX alerts_waiting ON alerts (created_at, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX alerts_given_up ON alerts (created_at, id) WHERE next_attempt_at IS NULL AND delivered_at IS NULL;
CREATE INDEX alerts_of_providers ON alerts (scope, created_at, id) WHERE scope = 'provider';

CREATE TRIGGER alerts_of_erased AFTER DELETE ON sessions
BEGIN
    DELETE FROM alerts WHERE session_id = OLD.id AND scope = 'session';
    UPDATE alerts SET session_id = '', user_sub = CASE scope WHEN 'user' THEN user_sub ELSE '' END WHERE session_id = OLD.id;
    UPDATE alerts SET user_sub = ''
    WHERE user_sub = OLD.user_sub AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.user_sub = OLD.user_sub);
END;
