-- The number of the newest settlement that was written, counted from 1 over all relays of the session: one with a number that is not above it is
-- a copy, from the disk of a relay.
ALTER TABLE sessions ADD COLUMN settlements INTEGER NOT NULL DEFAULT 0;
