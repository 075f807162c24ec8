-- What the lists of sessions, messages to webhooks and deeds of administrators are narrowed by. Of live sessions, and of messages that wait or were
-- given up, there are few among a million: their indexes have nothing else in them.
CREATE INDEX sessions_live_by_time ON sessions (started_at, id) WHERE state = 'live';
CREATE INDEX sessions_live_of_user_by_time ON sessions (user_sub, started_at, id) WHERE state = 'live';
CREATE INDEX sessions_live_of_account_by_time ON sessions (account, started_at, id) WHERE state = 'live';

CREATE INDEX deliveries_of_webhook ON deliveries (webhook, created_at, id);
CREATE INDEX deliveries_of_event ON deliveries (event, created_at, id);
CREATE INDEX deliveries_waiting ON deliveries (created_at, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_given_up ON deliveries (created_at, id) WHERE next_attempt_at IS NULL AND delivered_at IS NULL;

CREATE INDEX audit_of_kind ON audit (what, done_at, id);
