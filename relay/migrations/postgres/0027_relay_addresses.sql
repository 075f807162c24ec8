-- Where other relays reach a relay, if its configuration says it (`network.advertise`): whoever listens in to a call is let through to the relay that
-- has it. Nothing for a relay from before this column.
ALTER TABLE relays ADD COLUMN address TEXT;
