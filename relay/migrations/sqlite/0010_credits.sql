-- What an account gets back of what it was charged, by an administrator who says why. A day is one of UTC, such as 2026-12-31.
CREATE TABLE credits (
    -- Named by whoever gives the credit, so that giving it twice counts once.
    key             TEXT    NOT NULL PRIMARY KEY,
    account         TEXT    NOT NULL,
    -- The user whose day it is, if it is one user's.
    user_sub        TEXT,
    day             TEXT    NOT NULL,
    amount_nano_usd INTEGER NOT NULL CHECK (amount_nano_usd > 0),
    reason          TEXT    NOT NULL,
    created_by      TEXT    NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX credits_of_account ON credits (account, day);
CREATE INDEX credits_of_user ON credits (user_sub, day);
CREATE INDEX credits_by_day ON credits (day);
CREATE INDEX credits_by_time ON credits (created_at, key);
CREATE INDEX credits_by_whom ON credits (created_by);

-- Erasing a user takes their name and the words about them out, and nothing else ever changes.
CREATE TRIGGER credits_are_append_only BEFORE UPDATE ON credits
WHEN NEW.key <> OLD.key OR NEW.account <> OLD.account OR NEW.day <> OLD.day OR NEW.amount_nano_usd <> OLD.amount_nano_usd
    OR NEW.created_at <> OLD.created_at OR (NEW.user_sub IS NOT OLD.user_sub AND NEW.user_sub IS NOT NULL)
    OR (NEW.reason <> OLD.reason AND NEW.reason <> '') OR (NEW.created_by <> OLD.created_by AND NEW.created_by <> '')
BEGIN
    SELECT RAISE(ABORT, 'credits are append-only');
END;

CREATE TRIGGER credits_are_kept BEFORE DELETE ON credits
BEGIN
    SELECT RAISE(ABORT, 'credits are append-only');
END;
