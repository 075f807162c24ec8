//! The sessions that live in this relay, so that a reconnect finds its own and a user's can be counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::WebSocket;
use protocol::{CloseCode, Hello};
use tokio::sync::{mpsc, oneshot};

use crate::App;

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

    /// Enters a session, unless its user has `limit` already. A session of theirs that lost its connection makes room: the
    /// page was reloaded, or the tab closed.
    pub(super) fn admit(app: &Arc<App>, id: &str, handle: Handle, limit: u32) -> Result<Registration, usize> {
        let attached = handle.attached.clone();
        app.sessions.enter(id, handle, limit)?;
        Ok(Registration { app: app.clone(), id: id.to_owned(), attached })
    }

    fn enter(&self, id: &str, handle: Handle, limit: u32) -> Result<(), usize> {
        let mut sessions = self.lock();
        let of_user = || sessions.iter().filter(|(_, other)| other.sub == handle.sub);
        let count = of_user().count();
        if count >= limit as usize {
            let left = of_user()
                .filter(|(_, other)| !other.attached.load(Ordering::Relaxed))
                .map(|(id, _)| id.clone())
                .min()
                .ok_or(count)?;
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

    fn handle(sub: &str, attached: bool) -> (Handle, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(1);
        (Handle { sub: sub.into(), commands, attached: Arc::new(AtomicBool::new(attached)) }, receiver)
    }

    #[test]
    fn a_user_has_no_more_sessions_than_the_limit_and_others_do_not_count() {
        let registry = Registry::default();
        let (one, _one) = handle("ada", true);
        let (two, _two) = handle("ada", true);
        let (other, _other) = handle("bob", true);
        assert_eq!(registry.enter("1", one.clone(), 1), Ok(()));
        assert_eq!(registry.enter("2", two, 1), Err(1));
        assert_eq!(registry.enter("3", other, 1), Ok(()));
        assert!(registry.find("1", "bob").is_none(), "somebody else's session is not there");
        registry.remove("1", &one.attached);
        assert!(registry.find("1", "ada").is_none());
    }

    #[test]
    fn a_session_without_a_connection_makes_room() {
        let registry = Registry::default();
        let (left, mut commands) = handle("ada", false);
        assert_eq!(registry.enter("1", left, 1), Ok(()));
        let (next, _next) = handle("ada", true);
        assert_eq!(registry.enter("2", next, 1), Ok(()));
        assert!(matches!(commands.try_recv(), Ok(Command::End(CloseCode::Replaced))));
        assert_eq!(registry.len(), 1);
    }
}
