-- What the user of a session thinks of it: 1 (bad) to 5 (good), and in words.
ALTER TABLE sessions ADD COLUMN rating BIGINT CHECK (rating BETWEEN 1 AND 5);
ALTER TABLE sessions ADD COLUMN comment TEXT;

CREATE INDEX sessions_commented ON sessions (started_at) WHERE comment IS NOT NULL;
