-- How long the first sound of an answer took from its voice to the page, and from there until it was heard, in milliseconds.
ALTER TABLE turns ADD COLUMN send_ms BIGINT;
ALTER TABLE turns ADD COLUMN heard_ms BIGINT;
