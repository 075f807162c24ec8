-- The epoch of the relay that had the session last, and the one to which it has risen since although nobody has taken the session over. They count
-- only as long as `fenced_epoch` is the session's epoch: it is not any more once a relay takes the session over, be it one from before these columns.
ALTER TABLE sessions ADD COLUMN relay_epoch BIGINT;
ALTER TABLE sessions ADD COLUMN fenced_epoch BIGINT;
