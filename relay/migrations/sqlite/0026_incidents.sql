-- What operators are told of the service as a whole: providers that are not asked, calls that fail, answers that are slow. It waits here for the
-- webhook of alerts, and names no user and no session.
CREATE TABLE incidents (
    id              TEXT    NOT NULL PRIMARY KEY,
    kind            TEXT    NOT NULL,
    -- The provider, by its name in the configuration. Empty where all calls are meant.
    subject         TEXT    NOT NULL,
    -- Counted from 1 for each kind and subject, so that of several relays that write what they have found at once one does.
    number          INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('firing', 'resolved')),
    -- What was measured, and what it is measured by. 0 where nothing is.
    value           INTEGER NOT NULL,
    threshold       INTEGER NOT NULL,
    -- When any relay has last found it to be so. It is over when none has for a while.
    found_at        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- When the webhook is tried next; nothing once it is delivered or given up.
    next_attempt_at INTEGER,
    delivered_at    INTEGER,
    UNIQUE (kind, subject, number)
) STRICT;

CREATE INDEX incidents_by_time ON incidents (created_at, id);
CREATE INDEX incidents_due ON incidents (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
