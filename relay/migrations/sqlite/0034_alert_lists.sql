-- What the list of messages to webhooks is narrowed by, for the alerts among them. Those that wait or were given up and those about providers
-- are few among a million: their indexes have nothing else in them.
CREATE INDEX alerts_waiting ON alerts (created_at, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX alerts_given_up ON alerts (created_at, id) WHERE next_attempt_at IS NULL AND delivered_at IS NULL;
CREATE INDEX alerts_of_providers ON alerts (scope, created_at, id) WHERE scope = 'provider';
