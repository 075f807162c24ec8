-- The addresses that are told what happens, as relays have them in their configuration. One that no relay has named for a while is forgotten.
CREATE TABLE webhooks (
    name    TEXT    NOT NULL PRIMARY KEY,
    -- What it is told, each word between commas: `,call.ended,user.erased,`.
    events  TEXT    NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What each of them is to be told, or was told.
CREATE TABLE deliveries (
    id              TEXT    NOT NULL PRIMARY KEY,
    -- Not a reference: what is on its way outlives the name.
    webhook         TEXT    NOT NULL,
    event           TEXT    NOT NULL,
    session_id      TEXT    REFERENCES sessions (id) ON DELETE CASCADE,
    -- The user who was erased, until the receiver has heard of it.
    user_sub        TEXT,
    created_at      INTEGER NOT NULL,
    -- When it was written or last repeated by an administrator.
    due_since       INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    delivered_at    INTEGER,
    answer          TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (webhook, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_by_time ON deliveries (created_at, id);
CREATE INDEX deliveries_of_session ON deliveries (session_id);

-- An event is written with what it tells of, whichever relay does that. While a database is filled from another one nothing happens in it.
CREATE TRIGGER deliveries_of_started AFTER INSERT ON sessions
WHEN NOT EXISTS (SELECT 1 FROM revisions WHERE name = 'import')
BEGIN
    INSERT INTO deliveries (id, webhook, event, session_id, created_at, due_since, next_attempt_at)
    SELECT 'started_' || NEW.id || '_' || name, name, 'call.started', NEW.id,
        CAST(unixepoch('subsec') * 1000 AS INTEGER), CAST(unixepoch('subsec') * 1000 AS INTEGER),
        CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM webhooks WHERE events LIKE '%,call.started,%'
    ON CONFLICT (id) DO NOTHING;
END;

CREATE TRIGGER deliveries_of_ended AFTER UPDATE OF state ON sessions
WHEN NEW.state = 'ended' AND OLD.state <> 'ended'
BEGIN
    INSERT INTO deliveries (id, webhook, event, session_id, created_at, due_since, next_attempt_at)
    SELECT 'ended_' || NEW.id || '_' || name, name, 'call.ended', NEW.id,
        CAST(unixepoch('subsec') * 1000 AS INTEGER), CAST(unixepoch('subsec') * 1000 AS INTEGER),
        CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM webhooks WHERE events LIKE '%,call.ended,%'
    ON CONFLICT (id) DO NOTHING;
END;
