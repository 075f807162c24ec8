-- An alert may also be about a provider that reported more than was set aside for its request: its owner is the item, its period the hour, and
-- what is spent the excess. It concerns no user, so that none is named.
ALTER TABLE alerts DROP CONSTRAINT alerts_scope_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_scope_check CHECK (scope IN ('session', 'user', 'account', 'provider'));
