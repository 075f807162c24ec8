//! What was said before in the conversation of a session that begins or is taken over. A session whose agent wants to know it and cannot does not
//! begin: the agent would greet in the middle of a conversation, and know nothing of it.

use super::assembly::Parts;
use crate::App;
use crate::call::Turn;
use crate::records::store::{NewSession, SaidRow, StoreError, TurnRow};

/// How many turns of a conversation an agent is told of, the newest of them.
const HISTORY_TURNS: u32 = 500;

/// The newest turns of a conversation, oldest first, or none for an agent that does not want to know them.
pub(super) async fn history(
    app: &App,
    parts: &Parts,
    conversation_id: &str,
    user_sub: &str,
) -> Result<Vec<SaidRow>, StoreError> {
    if !parts.wants_history() {
        return Ok(Vec::new());
    }
    app.records.store.newest_turns(conversation_id, user_sub, HISTORY_TURNS).await
}

/// What was said in the conversation that a new session goes on with. There is nothing yet in one that begins with the session.
pub(super) async fn said_before(
    app: &App,
    parts: &Parts,
    session: &NewSession,
) -> Result<Vec<SaidRow>, StoreError> {
    if session.conversation_id == session.id {
        return Ok(Vec::new());
    }
    history(app, parts, &session.conversation_id, &session.user_sub).await
}

/// Turns as an agent is told them.
pub(super) fn as_said(said: Vec<SaidRow>) -> Vec<Turn> {
    TurnRow::as_said(said.into_iter().map(|said| said.row).collect())
}
