-- Whose a budget is, and what they may spend by configuration and plan and by their token, as the last call said that set money aside. Erasing a
-- user takes the name out.
ALTER TABLE budgets ADD COLUMN name TEXT;
ALTER TABLE budgets ADD COLUMN plan_nano_usd BIGINT;
ALTER TABLE budgets ADD COLUMN token_nano_usd BIGINT;

CREATE INDEX budgets_of_period ON budgets (scope, period, name);
CREATE INDEX budgets_of_name ON budgets (name);

-- What an administrator lets a user spend in a day, or an account in a month, in the place of configuration and plan.
CREATE TABLE budget_caps (
    scope        TEXT   NOT NULL CHECK (scope IN ('user', 'account')),
    subject      TEXT   NOT NULL,
    cap_nano_usd BIGINT NOT NULL CHECK (cap_nano_usd >= 0),
    PRIMARY KEY (scope, subject)
);

ALTER TABLE budget_caps ENABLE ROW LEVEL SECURITY;

CREATE POLICY relay ON budget_caps USING ((SELECT has_table_privilege('voxrelay.budget_caps', 'DELETE')));

-- Supabase may give its roles everything that is new, TRUNCATE included, which no policy stops.
DO $$
BEGIN
    IF to_regrole('authenticated') IS NOT NULL AND to_regrole('anon') IS NOT NULL THEN
        REVOKE ALL ON budget_caps FROM PUBLIC, anon, authenticated;
    END IF;
END
$$;
