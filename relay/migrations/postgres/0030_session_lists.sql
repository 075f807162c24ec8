-- What the list of sessions is narrowed by. Of live sessions there are few among a million: their indexes have nothing else in them.
CREATE INDEX sessions_live_by_time ON sessions (started_at, id) WHERE state = 'live';
CREATE INDEX sessions_live_of_user_by_time ON sessions (user_sub, started_at, id) WHERE state = 'live';
CREATE INDEX sessions_live_of_account_by_time ON sessions (account, started_at, id) WHERE state = 'live';
