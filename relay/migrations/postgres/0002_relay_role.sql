-- A relay needs no more than to read and write rows. Where its role does not own the tables, row level security would show it none of
-- them: whoever may delete rows of a table is a relay and has them all. Supabase's users may not.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['sessions', 'turns', 'ledger', 'alerts', 'budgets', 'denials', 'revisions', 'erased_usage',
        'erased_recordings']
    LOOP
        EXECUTE format('CREATE POLICY relay ON %I USING ((SELECT has_table_privilege(%L, ''DELETE'')))', name,
            'voxrelay.' || name);
    END LOOP;
END
$$;
