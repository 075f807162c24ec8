-- What the list of messages to webhooks says of alerts: since when each is to be sent, if an administrator had it repeated, and what was answered
-- last. Of an alert about money that is a status or that there was none, and no more: with Supabase its user reads the row.
ALTER TABLE alerts ADD COLUMN due_since BIGINT;
ALTER TABLE alerts ADD COLUMN answer TEXT;
ALTER TABLE incidents ADD COLUMN due_since BIGINT;
ALTER TABLE incidents ADD COLUMN answer TEXT;
