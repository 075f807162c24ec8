-- Who did what as an administrator. A row is written with the deed that it tells of.
CREATE TABLE audit (
    id       TEXT    NOT NULL PRIMARY KEY,
    done_at  INTEGER NOT NULL,
    -- The administrator. Empty once that user is erased.
    done_by  TEXT    NOT NULL,
    what     TEXT    NOT NULL,
    -- The user to whom it was done, if it was done to one who is not erased.
    user_sub TEXT,
    -- The session, the login or the key of the credit. Empty where the user is all there is to name.
    subject  TEXT    NOT NULL,
    reason   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_by_time ON audit (done_at, id);
CREATE INDEX audit_by_whom ON audit (done_by, done_at, id);
CREATE INDEX audit_of_user ON audit (user_sub, done_at, id);

-- Erasing a user takes their name and the words about them out, and nothing else ever changes.
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
WHEN NEW.id <> OLD.id OR NEW.done_at <> OLD.done_at OR NEW.what <> OLD.what OR NEW.subject <> OLD.subject
    OR (NEW.done_by <> OLD.done_by AND NEW.done_by <> '') OR (NEW.reason <> OLD.reason AND NEW.reason <> '')
    OR (NEW.user_sub IS NOT OLD.user_sub AND NEW.user_sub IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
