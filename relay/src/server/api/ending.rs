//! Ending live sessions, whichever relay has them.

use std::time::Duration;

use protocol::CloseCode;
use tokio::time::{Instant, sleep};

use super::Problem;
use crate::App;
use crate::records::store::{SessionFilter, SessionState, Whom};

/// How long the relays that have the sessions may take to end them. They look every second whether they are asked to.
const WAIT: Duration = Duration::from_secs(4);
/// The time between two looks at whether the sessions have ended.
const LOOK: Duration = Duration::from_millis(50);

/// Asks the relays that have these sessions to end them, and waits for that for a moment, so that everything they have used is written. Says
/// whether all of them have ended. `by` is the administrator whose order this is, if that is all they want: it is put into the audit.
pub(super) async fn end_and_wait(
    app: &App,
    whom: Whom<'_>,
    reason: CloseCode,
    by: Option<&str>,
) -> Result<bool, Problem> {
    // An order is written before any session hears it, so that none ends by an order that is not in the audit.
    let asked = app.records.store.request_end(whom, reason.name(), by).await?;
    // The sessions of this relay need not look for it.
    app.live.sessions.end_all(reason, |whose| match whom {
        Whom::Session(id) => whose.id == id,
        Whom::User(sub) => whose.sub == sub,
    });
    let deadline = Instant::now() + WAIT;
    loop {
        let ended = !is_live(app, whom).await?;
        // If no relay could hear the request, there is nothing to wait for.
        if ended || asked == 0 || Instant::now() >= deadline {
            return Ok(ended);
        }
        sleep(LOOK).await;
    }
}

/// Whether any of these sessions is live.
async fn is_live(app: &App, whom: Whom<'_>) -> Result<bool, Problem> {
    match whom {
        Whom::Session(id) => {
            let session = app.records.store.session(id).await?;
            Ok(session.is_some_and(|session| session.state == SessionState::Live))
        }
        Whom::User(sub) => {
            let filter = SessionFilter {
                user_sub: Some(sub.to_owned()),
                state: Some(SessionState::Live),
                ..SessionFilter::default()
            };
            Ok(!app.records.store.list_sessions(&filter, None, 1).await?.rows.is_empty())
        }
    }
}
