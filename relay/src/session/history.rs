//! What was said before in the conversation of a session that begins or is taken over. A session whose agent wants to know it and cannot does not
//! begin: the agent would greet in the middle of a conversation, and know nothing of it.
//!
//! What is read is always that of one user in one account, whatever a client names as its conversation.

use super::assembly::Parts;
use crate::App;
use crate::call::Turn;
use crate::records::store::{NewSession, SaidRow, SessionRow, StoreError, TurnRow};

/// How many turns of a conversation an agent is told of, the newest of them.
const HISTORY_TURNS: u32 = 500;

/// What was said in the conversation of a session that was taken over, oldest first, or nothing for an agent that does not want to know it.
pub(super) async fn said_until(
    app: &App,
    parts: &Parts,
    session: &SessionRow,
) -> Result<Vec<SaidRow>, StoreError> {
    history(app, parts, [&session.conversation_id, &session.user_sub, &session.account]).await
}

/// What was said in the conversation that a new session goes on with. There is nothing yet in one that begins with the session.
pub(super) async fn said_before(
    app: &App,
    parts: &Parts,
    session: &NewSession,
) -> Result<Vec<SaidRow>, StoreError> {
    if begins_its_conversation(session) {
        return Ok(Vec::new());
    }
    history(app, parts, [&session.conversation_id, &session.user_sub, &session.account]).await
}

/// What the agent of a new session is told of [`said_before`], which is read before the session is opened. A session that was opened with a
/// conversation of its own, because the one that its client named is not its user's or was deleted meanwhile, is told nothing of that one.
pub(super) fn told(session: &NewSession, said: Vec<SaidRow>) -> Vec<Turn> {
    if begins_its_conversation(session) { Vec::new() } else { as_said(said) }
}

/// Turns as an agent is told them.
pub(super) fn as_said(said: Vec<SaidRow>) -> Vec<Turn> {
    TurnRow::as_said(said.into_iter().map(|said| said.row).collect())
}

/// The newest turns of a conversation of this user in this account, oldest first, or none for an agent that does not want to know them.
async fn history(
    app: &App,
    parts: &Parts,
    [conversation_id, user_sub, account]: [&str; 3],
) -> Result<Vec<SaidRow>, StoreError> {
    if !parts.wants_history() {
        return Ok(Vec::new());
    }
    app.records.store.newest_turns(conversation_id, user_sub, account, HISTORY_TURNS).await
}

/// A conversation has the id of the session that it begins with.
fn begins_its_conversation(session: &NewSession) -> bool {
    session.conversation_id == session.id
}

#[cfg(test)]
mod tests {
    use protocol::Role;

    use super::*;
    use crate::records::store::sample;

    fn session(id: &str, conversation_id: &str) -> NewSession {
        NewSession { conversation_id: conversation_id.into(), ..sample::session(id) }
    }

    #[test]
    fn what_was_read_of_a_conversation_that_the_session_is_not_in_after_all_is_told_to_no_agent() {
        let turn = Turn::new(0, Role::User, "a secret".to_owned(), 0, 16_000);
        let row = TurnRow { turn: turn.clone(), created_at_ms: 0 };
        let said = vec![SaidRow { session_id: "before".to_owned(), session_started_at_ms: 0, row }];
        assert_eq!(told(&session("s", "before"), said.clone()), [turn]);
        // Its conversation was deleted between the reading and the opening.
        assert_eq!(told(&session("s", "s"), said), []);
    }
}
