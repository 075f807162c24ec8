//! The sessions that live in this relay, so that a reconnect finds its own and a user's can be counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::WebSocket;
use protocol::{CloseCode, ErrorCode, Hello};
use tokio::sync::{mpsc, oneshot};

use crate::App;
use crate::config::Limits;
use crate::throttle::Excess;

/// When to look again whether a session of the user or the account has ended.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a session is told from outside.
#[derive(Debug)]
pub(super) enum Command {
    /// Go on over this connection.
    Resume(Box<ResumeRequest>),
    /// End.
    End(CloseCode),
}

/// A connection that wants to go on with a session.
#[derive(Debug)]
pub(super) struct ResumeRequest {
    pub(super) socket: WebSocket,
    pub(super) hello: Hello,
    /// When its token expires, in seconds since 1970.
    pub(super) expires_at: u64,
    /// Where it goes back to if its resume token is not good.
    pub(super) refused: oneshot::Sender<(WebSocket, Hello)>,
}

/// A living session, as others see it.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) sub: Arc<str>,
    pub(super) account: Arc<str>,
    pub(super) commands: mpsc::Sender<Command>,
    /// Whether it has a connection.
    pub(super) attached: Arc<AtomicBool>,
}

/// The sessions that live in this relay.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<HashMap<String, Handle>>,
    /// Held while a session is rebuilt from the store, so that two connections do not rebuild the same one.
    pub(super) rebuilding: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Sessions that live here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none lives here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(super) fn find(&self, id: &str, sub: &str) -> Option<Handle> {
        self.lock().get(id).filter(|handle| *handle.sub == *sub).cloned()
    }

    /// Enters a session, unless its user or its account has as many as the limits say. A session of the user that lost its
    /// connection makes room: the page was reloaded, or the tab closed.
    pub(super) fn admit(
        app: &Arc<App>,
        id: &str,
        handle: Handle,
        limits: &Limits,
    ) -> Result<Registration, Excess> {
        let attached = handle.attached.clone();
        app.sessions.enter(id, handle, limits.sessions_per_user, limits.sessions_per_account)?;
        Ok(Registration { app: app.clone(), id: id.to_owned(), attached })
    }

    fn enter(&self, id: &str, handle: Handle, per_user: u32, per_account: u32) -> Result<(), Excess> {
        let mut sessions = self.lock();
        let of_user = || sessions.iter().filter(|(_, other)| other.sub == handle.sub);
        let of_account = sessions.values().filter(|other| other.account == handle.account);
        let excess = too_many(ErrorCode::SessionLimit, of_user().count(), per_user)
            .or_else(|| too_many(ErrorCode::AccountSessionLimit, of_account.count(), per_account));
        if let Some(excess) = excess {
            let left = of_user()
                .filter(|(_, other)| !other.attached.load(Ordering::Relaxed))
                .map(|(id, _)| id.clone())
                .min()
                .ok_or(excess)?;
            if let Some(left) = sessions.remove(&left) {
                let _ = left.commands.try_send(Command::End(CloseCode::Replaced));
            }
        }
        sessions.insert(id.to_owned(), handle);
        Ok(())
    }

    /// Takes a session off the list, if this is the one that is on it.
    fn remove(&self, id: &str, attached: &Arc<AtomicBool>) {
        let mut sessions = self.lock();
        if sessions.get(id).is_some_and(|handle| Arc::ptr_eq(&handle.attached, attached)) {
            sessions.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether another one is one too many.
fn too_many(code: ErrorCode, count: usize, limit: u32) -> Option<Excess> {
    let (asked, limit) = (count as u64 + 1, u64::from(limit));
    (asked > limit).then_some(Excess { code, limit, asked, retry_after: RETRY_AFTER })
}

/// A session's place on the list. Given back when this is dropped, however the session ends: a panic leaves no place taken.
#[derive(Debug)]
pub(super) struct Registration {
    app: Arc<App>,
    id: String,
    attached: Arc<AtomicBool>,
}

impl Registration {
    /// Whether the session has a connection: one that has none makes room for another of its user.
    pub(super) fn set_attached(&self, attached: bool) {
        self.attached.store(attached, Ordering::Relaxed);
    }

    /// Gives the place back before the session is dropped.
    pub(super) fn leave(&self) {
        self.app.sessions.remove(&self.id, &self.attached);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(sub: &str, account: &str, attached: bool) -> (Handle, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(1);
        let attached = Arc::new(AtomicBool::new(attached));
        (Handle { sub: sub.into(), account: account.into(), commands, attached }, receiver)
    }

    #[test]
    fn a_user_has_no_more_sessions_than_the_limit_and_others_do_not_count() {
        let registry = Registry::default();
        let (one, _one) = handle("ada", "acme", true);
        let (two, _two) = handle("ada", "acme", true);
        let (other, _other) = handle("bob", "acme", true);
        assert_eq!(registry.enter("1", one.clone(), 1, 9), Ok(()));
        let excess = registry.enter("2", two, 1, 9).expect_err("the second");
        assert_eq!((excess.code, excess.limit, excess.asked), (ErrorCode::SessionLimit, 1, 2));
        assert_eq!(registry.enter("3", other, 1, 9), Ok(()));
        assert!(registry.find("1", "bob").is_none(), "somebody else's session is not there");
        registry.remove("1", &one.attached);
        assert!(registry.find("1", "ada").is_none());
    }

    #[test]
    fn an_account_has_no_more_sessions_than_its_limit_whoever_has_them() {
        let registry = Registry::default();
        let (one, _one) = handle("ada", "acme", true);
        let (two, _two) = handle("bob", "acme", false);
        let (three, _three) = handle("cyd", "acme", true);
        let (other, _other) = handle("cyd", "initech", true);
        assert_eq!(registry.enter("1", one.clone(), 3, 2), Ok(()));
        assert_eq!(registry.enter("2", two, 3, 2), Ok(()));
        let excess = registry.enter("3", three.clone(), 3, 2).expect_err("the third");
        assert_eq!((excess.code, excess.limit, excess.asked), (ErrorCode::AccountSessionLimit, 2, 3));
        assert!(registry.find("2", "bob").is_some(), "nobody makes room for another user");
        assert_eq!(registry.enter("4", other, 3, 2), Ok(()));
        registry.remove("1", &one.attached);
        assert_eq!(registry.enter("3", three, 3, 2), Ok(()));
    }

    #[test]
    fn a_session_without_a_connection_makes_room() {
        let registry = Registry::default();
        for (per_user, per_account) in [(1, 9), (9, 1)] {
            let (left, mut commands) = handle("ada", "acme", false);
            assert_eq!(registry.enter("1", left, per_user, per_account), Ok(()));
            let (next, _next) = handle("ada", "acme", true);
            assert_eq!(registry.enter("2", next.clone(), per_user, per_account), Ok(()));
            assert!(matches!(commands.try_recv(), Ok(Command::End(CloseCode::Replaced))));
            assert_eq!(registry.len(), 1);
            registry.remove("2", &next.attached);
        }
    }
}
