-- What sessions that have ended come to, added up by the hour (UTC, in milliseconds since 1970): for lists and charts that may not read every
-- session. A session, its ledger rows and its turns are in them exactly if its rolled_up is the number of the revision 'rollups'. A new number
-- means that they are made anew, out of the rows that are there.
ALTER TABLE sessions ADD COLUMN rolled_up BIGINT NOT NULL DEFAULT 0;

CREATE INDEX sessions_rolled_up ON sessions (rolled_up) WHERE state = 'ended';

-- By the hour in which they began.
CREATE TABLE rollup_calls (
    hour          BIGINT NOT NULL,
    account       TEXT   NOT NULL,
    agent         TEXT   NOT NULL,
    -- The name of the close code with which they ended.
    reason        TEXT   NOT NULL,
    calls         BIGINT NOT NULL,
    milliseconds  BIGINT NOT NULL,
    reconnects    BIGINT NOT NULL,
    PRIMARY KEY (hour, account, agent, reason)
);

-- Ledger rows, by the hour in which they were written.
CREATE TABLE rollup_money (
    hour          BIGINT NOT NULL,
    account       TEXT   NOT NULL,
    agent         TEXT   NOT NULL,
    provider      TEXT   NOT NULL,
    item          TEXT   NOT NULL,
    unit          TEXT   NOT NULL,
    quantity      BIGINT NOT NULL,
    cost_nano_usd BIGINT NOT NULL,
    PRIMARY KEY (hour, account, agent, provider, item, unit)
);

-- Turns, by the hour in which they were first written: how many took how long in each stage, in buckets counted from 0; and how many answers
-- there were, and how many of them were interrupted.
CREATE TABLE rollup_turns (
    hour          BIGINT NOT NULL,
    account       TEXT   NOT NULL,
    agent         TEXT   NOT NULL,
    stage         TEXT   NOT NULL,
    bucket        BIGINT NOT NULL,
    turns         BIGINT NOT NULL,
    PRIMARY KEY (hour, account, agent, stage, bucket)
);

-- By user and day (UTC), in milliseconds since 1970. Erasing a session takes it out, and a row with nothing in it is deleted.
CREATE TABLE rollup_users (
    day           BIGINT NOT NULL,
    account       TEXT   NOT NULL,
    user_sub      TEXT   NOT NULL,
    calls         BIGINT NOT NULL,
    milliseconds  BIGINT NOT NULL,
    cost_nano_usd BIGINT NOT NULL,
    PRIMARY KEY (day, account, user_sub)
);

CREATE INDEX rollup_users_empty ON rollup_users (day) WHERE calls = 0 AND cost_nano_usd = 0;

INSERT INTO revisions (name, number) VALUES ('rollups', 1);

ALTER TABLE rollup_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_money ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_users ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON rollup_calls USING ((SELECT has_table_privilege('voxrelay.rollup_calls', 'DELETE')));
CREATE POLICY relay ON rollup_money USING ((SELECT has_table_privilege('voxrelay.rollup_money', 'DELETE')));
CREATE POLICY relay ON rollup_turns USING ((SELECT has_table_privilege('voxrelay.rollup_turns', 'DELETE')));
CREATE POLICY relay ON rollup_users USING ((SELECT has_table_privilege('voxrelay.rollup_users', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON rollup_calls, rollup_money, rollup_turns, rollup_users FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
