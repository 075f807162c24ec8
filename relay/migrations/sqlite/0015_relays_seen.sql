-- When a relay last said that it is there, which relays that share a database do twice a second: one that has said nothing for a while is lost, and
-- is not asked to hand a session over. A relay from before this column never says it: its 0 means nothing.
ALTER TABLE relays ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
