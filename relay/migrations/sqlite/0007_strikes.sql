-- Frames and texts that were refused: the limit on them holds through every relay that has the session.
ALTER TABLE sessions ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;
