-- An alert outlives the session that raised it: that an account is used up is to be told, and told once, also if that call is erased meanwhile. So an
-- alert refers to no session any more, and a trigger takes out what names one, whichever relay erases it: its id, and its user where the budget is not
-- theirs. Whoever has no session left is named by no alert. What is about the budget of a session goes with it. Relays of earlier versions read and write
-- the same columns, and no statement of theirs leans on the reference, so 'oldest_relay' stays.

-- To drop the reference takes a lock on both tables, and that on 'alerts' first. Relays have a session locked when they write an alert: whoever of them
-- is at work meanwhile would wait for this, and this for them. So it waits for them here, while it holds nothing.
LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE;

ALTER TABLE alerts DROP CONSTRAINT alerts_session_id_fkey;

-- The reference did its work with the rights of the schema's owner, whoever deleted the session, and so does this. Nobody else may put it to use.
CREATE FUNCTION forget_session_in_alerts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM voxrelay.alerts a WHERE a.session_id = OLD.id AND a.scope = 'session';
    UPDATE voxrelay.alerts a SET session_id = '', user_sub = CASE a.scope WHEN 'user' THEN a.user_sub ELSE '' END WHERE a.session_id = OLD.id;
    UPDATE voxrelay.alerts a SET user_sub = ''
    WHERE a.user_sub = OLD.user_sub AND NOT EXISTS (SELECT 1 FROM voxrelay.sessions s WHERE s.user_sub = OLD.user_sub);
    RETURN NULL;
END
$$;

CREATE TRIGGER alerts_of_erased AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION forget_session_in_alerts();

REVOKE ALL ON FUNCTION forget_session_in_alerts() FROM PUBLIC;
