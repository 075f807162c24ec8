//! The sessions that live in this relay, so that a reconnect finds its own and a user's can be counted.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{CloseCode, Hello};
use tokio::sync::{mpsc, oneshot};

use super::connection::Connection;
use crate::Live;
use crate::admission::auth::Identity;

/// Sessions that are rebuilt side by side after a restart, at most.
const STRIPES: usize = 64;

/// What a session is told from outside.
#[derive(Debug)]
pub(super) enum Command {
    /// Go on over this connection.
    Resume(Box<ResumeRequest>),
    /// End.
    End(CloseCode),
    /// Another relay has it: write nothing any more.
    Lose,
    /// Its client wants to go on with it at another relay: write what is owed, and leave it to that one.
    HandOver,
}

/// A connection that wants to go on with a session.
#[derive(Debug)]
pub(super) struct ResumeRequest {
    pub(super) connection: Connection,
    pub(super) hello: Hello,
    /// What its token says.
    pub(super) identity: Identity,
    /// Where it goes back to if its resume token is not good.
    pub(super) refused: oneshot::Sender<(Connection, Hello)>,
}

/// What is said to a session, as the session hears it.
#[derive(Debug)]
pub(super) struct Commands(pub(super) mpsc::Receiver<Command>);

impl Commands {
    /// The next one; `None` if nobody can say anything any more.
    pub(super) async fn recv(&mut self) -> Option<Command> {
        self.0.recv().await
    }
}

impl Drop for Commands {
    /// The session is over: connections that still wait for it go back, so that each of them gets an answer.
    fn drop(&mut self) {
        self.0.close();
        while let Ok(command) = self.0.try_recv() {
            if let Command::Resume(request) = command {
                let ResumeRequest { connection, hello, refused, .. } = *request;
                // Whoever hung up meanwhile needs no answer.
                let _ = refused.send((connection, hello));
            }
        }
    }
}

/// A living session, as others see it.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) whose: Arc<Whose>,
    pub(super) commands: mpsc::Sender<Command>,
}

/// Whose session it is.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    pub(crate) id: String,
    pub(crate) sub: String,
    pub(crate) account: String,
    /// The session at the identity provider that the token in use comes from.
    pub(crate) login: Option<String>,
}

/// The sessions that live in this relay.
#[derive(Debug)]
pub struct Registry {
    sessions: Mutex<HashMap<String, Handle>>,
    /// See [`Registry::rebuild`].
    rebuilding: [tokio::sync::Mutex<()>; STRIPES],
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            sessions: Mutex::default(),
            rebuilding: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }
}

impl Whose {
    /// Whether it is this user's, paid for by this account.
    pub(super) fn is_of(&self, identity: &Identity) -> bool {
        self.sub == identity.sub && self.account == identity.account
    }
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

    /// The session, if it is this user's, paid for by this account.
    pub(super) fn find(&self, id: &str, of: &Identity) -> Option<Handle> {
        self.lock().get(id).filter(|handle| handle.whose.is_of(of)).cloned()
    }

    /// Enters a session. One of the same id, which was taken over in the meantime, is told that it is lost.
    pub(super) fn enter(live: &Arc<Live>, id: &str, handle: Handle) -> Registration {
        let commands = handle.commands.clone();
        let before = live.sessions.lock().insert(id.to_owned(), handle);
        if let Some(before) = before {
            let _ = before.commands.try_send(Command::Lose);
        }
        Registration { live: live.clone(), id: id.to_owned(), commands }
    }

    /// To be held while a session is rebuilt from the store, so that two connections do not rebuild the same one.
    pub(super) async fn rebuild(&self, id: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        self.rebuilding[hasher.finish() as usize % STRIPES].lock().await
    }

    /// Whether a session lives here.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// The ids of all sessions.
    pub(super) fn ids(&self) -> HashSet<String> {
        self.lock().keys().cloned().collect()
    }

    /// Tells a session, if it is here. One that does not even take commands is ending.
    pub(super) fn tell(&self, id: &str, command: Command) {
        if let Some(handle) = self.lock().get(id) {
            let _ = handle.commands.try_send(command);
        }
    }

    /// Lets go of a session that another relay is to go on with.
    pub(crate) fn hand_over(&self, id: &str) {
        self.tell(id, Command::HandOver);
    }

    /// Ends the sessions that `which` picks, and says how many there were.
    pub(crate) fn end_all(&self, code: CloseCode, which: impl Fn(&Whose) -> bool) -> usize {
        let sessions = self.lock();
        let picked = sessions.values().filter(|handle| which(&handle.whose));
        picked.filter(|handle| handle.commands.try_send(Command::End(code)).is_ok()).count()
    }

    /// Takes a session off the list, if this is the one that is on it.
    fn remove(&self, id: &str, commands: &mpsc::Sender<Command>) {
        let mut sessions = self.lock();
        if sessions.get(id).is_some_and(|handle| handle.commands.same_channel(commands)) {
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
    live: Arc<Live>,
    id: String,
    commands: mpsc::Sender<Command>,
}

impl Registration {
    /// A session goes on with a token of another login.
    pub(super) fn update(&self, whose: &Arc<Whose>) {
        let mut sessions = self.live.sessions.lock();
        let own = sessions.get_mut(&self.id).filter(|handle| handle.commands.same_channel(&self.commands));
        if let Some(handle) = own {
            handle.whose = whose.clone();
        }
    }

    /// Gives the place back before the session is dropped.
    pub(super) fn leave(&self) {
        self.live.sessions.remove(&self.id, &self.commands);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}
