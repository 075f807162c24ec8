-- What the list of messages to webhooks is narrowed by. Of those that wait or were given up there are few among a million: their indexes have
-- nothing else in them.
CREATE INDEX deliveries_of_webhook ON deliveries (webhook, created_at, id);
CREATE INDEX deliveries_of_event ON deliveries (event, created_at, id);
CREATE INDEX deliveries_waiting ON deliveries (created_at, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_given_up ON deliveries (created_at, id) WHERE next_attempt_at IS NULL AND delivered_at IS NULL;
