-- Whether another session has taken over how far this one had come, because its client could not go on with it. What a relay has kept of this one's
-- transcript and could not write before is in the other one by then.
ALTER TABLE sessions ADD COLUMN succeeded INTEGER NOT NULL DEFAULT 0;
