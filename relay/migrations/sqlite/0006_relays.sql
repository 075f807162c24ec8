-- Until when a relay may not be taken for lost, with all sessions that are its. A session's own lease_until only ends that sooner: at the
-- year 9999 it is the relay's alone, at any other time the session was let go, or is of a relay from before this table.
CREATE TABLE relays (
    id          TEXT    NOT NULL PRIMARY KEY,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
