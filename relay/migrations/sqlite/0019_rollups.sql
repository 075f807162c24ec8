-- What sessions that have ended come to, added up by the hour (UTC, in milliseconds since 1970): for lists and charts that may not read every
-- session. A session, its ledger rows and its turns are in them exactly if its rolled_up is the number of the revision 'rollups'. A new number
-- means that they are made anew, out of the rows that are there.
ALTER TABLE sessions ADD COLUMN rolled_up INTEGER NOT NULL DEFAULT 0;

CREATE INDEX sessions_rolled_up ON sessions (rolled_up) WHERE state = 'ended';

-- By the hour in which they began.
CREATE TABLE rollup_calls (
    hour          INTEGER NOT NULL,
    account       TEXT    NOT NULL,
    agent         TEXT    NOT NULL,
    -- The name of the close code with which they ended.
    reason        TEXT    NOT NULL,
    calls         INTEGER NOT NULL,
    milliseconds  INTEGER NOT NULL,
    reconnects    INTEGER NOT NULL,
    PRIMARY KEY (hour, account, agent, reason)
) STRICT, WITHOUT ROWID;

-- Ledger rows, by the hour in which they were written.
CREATE TABLE rollup_money (
    hour          INTEGER NOT NULL,
    account       TEXT    NOT NULL,
    agent         TEXT    NOT NULL,
    provider      TEXT    NOT NULL,
    item          TEXT    NOT NULL,
    unit          TEXT    NOT NULL,
    quantity      INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (hour, account, agent, provider, item, unit)
) STRICT, WITHOUT ROWID;

-- Turns, by the hour in which they were first written: how many took how long in each stage, in buckets counted from 0; and how many answers
-- there were, and how many of them were interrupted.
CREATE TABLE rollup_turns (
    hour          INTEGER NOT NULL,
    account       TEXT    NOT NULL,
    agent         TEXT    NOT NULL,
    stage         TEXT    NOT NULL,
    bucket        INTEGER NOT NULL,
    turns         INTEGER NOT NULL,
    PRIMARY KEY (hour, account, agent, stage, bucket)
) STRICT, WITHOUT ROWID;

-- By user and day (UTC), in milliseconds since 1970. Erasing a session takes it out, and a row with nothing in it is deleted.
CREATE TABLE rollup_users (
    day           INTEGER NOT NULL,
    account       TEXT    NOT NULL,
    user_sub      TEXT    NOT NULL,
    calls         INTEGER NOT NULL,
    milliseconds  INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (day, account, user_sub)
) STRICT, WITHOUT ROWID;

CREATE INDEX rollup_users_empty ON rollup_users (day) WHERE calls = 0 AND cost_nano_usd = 0;

INSERT INTO revisions (name, number) VALUES ('rollups', 1);
