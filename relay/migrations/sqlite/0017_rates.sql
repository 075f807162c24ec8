-- Sessions that began in the last minute, counted by user and by address over all relays: one row for each, under a SHA-256 of what it is
-- counted by. `tat_us` is the theoretical arrival time of the generic cell rate algorithm, the time at which its whole minute is there again, in
-- microseconds since 1970 by the database's clock. A row whose time has passed says nothing and is deleted.
CREATE TABLE rates (
    key    TEXT    NOT NULL PRIMARY KEY,
    tat_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX rates_by_time ON rates (tat_us);
