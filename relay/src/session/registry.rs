//! The sessions that live in this relay, so that a connection finds its session, and orders of an administrator reach it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{CloseCode, Hello};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, timeout};

use super::connection::Connection;
use super::listening::Heard;
use crate::Live;
use crate::admission::auth::Identity;

/// How many locks there are for rebuilding sessions: at most so many are rebuilt at the same time.
const STRIPES: usize = 64;
/// How long somebody who wants to listen in waits for the session, which has other things to do and may be gone.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(2);

/// What a session is told from outside.
#[derive(Debug)]
pub(super) enum Command {
    /// A connection wants to go on with the session.
    Resume(Box<ResumeRequest>),
    /// The session is to end, for this reason.
    End(CloseCode),
    /// Another relay has taken the session over, or the store has its end.
    TakenOver,
    /// The client wants to go on with the session at another relay: the session writes what is owed and lets go of its lease.
    HandOff,
    /// Commands of administrators wait in the store.
    LookForCommands,
    /// Somebody wants to listen in.
    Listen {
        /// Where what they hear goes.
        heard: oneshot::Sender<Heard>,
        /// Whether the page is to know of them.
        tell_page: bool,
    },
}

/// A connection that wants to go on with a session.
#[derive(Debug)]
pub(super) struct ResumeRequest {
    pub(super) connection: Connection,
    pub(super) hello: Hello,
    /// What the access token says that the connection came with.
    pub(super) identity: Identity,
    /// Where the connection goes back to if the session does not take it.
    pub(super) back: oneshot::Sender<Back>,
}

impl ResumeRequest {
    /// Gives the connection back to the task that brought it.
    pub(super) fn give_back(self, is_gone: bool) {
        let ResumeRequest { connection, hello, back, .. } = self;
        // A client that has gone meanwhile needs no answer.
        let _ = back.send(Back { connection, hello, is_gone });
    }
}

/// A connection that a session did not take.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) connection: Connection,
    pub(super) hello: Hello,
    /// Whether the session does not live here any more, which is no reason to refuse its client: the store knows what became of it.
    pub(super) is_gone: bool,
}

/// The receiving end of a session's commands.
#[derive(Debug)]
pub(super) struct Commands(pub(super) mpsc::Receiver<Command>);

impl Commands {
    /// The next command, or `None` if no command can come any more.
    pub(super) async fn recv(&mut self) -> Option<Command> {
        self.0.recv().await
    }
}

impl Drop for Commands {
    /// Gives connections back that still wait for the session, which is over, so that each of them gets an answer.
    fn drop(&mut self) {
        self.0.close();
        while let Ok(command) = self.0.try_recv() {
            if let Command::Resume(request) = command {
                request.give_back(true);
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
    /// The login at the identity provider that the token in use comes from.
    pub(crate) login: Option<String>,
}

/// The sessions that live in this relay.
#[derive(Debug)]
pub struct Registry {
    sessions: Mutex<HashMap<String, Handle>>,
    /// Those that are about to be: the database may have them as this relay's own before they are entered.
    coming: Mutex<HashSet<String>>,
    /// The locks of [`Registry::lock_rebuilding`].
    rebuilding: [tokio::sync::Mutex<()>; STRIPES],
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            sessions: Mutex::default(),
            coming: Mutex::default(),
            rebuilding: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }
}

impl Whose {
    /// Whether the session belongs to this user and is paid for by this account.
    pub(super) fn is_of(&self, identity: &Identity) -> bool {
        self.sub == identity.sub && self.account == identity.account
    }
}

impl Registry {
    /// How many sessions live here.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The session with this id, if it belongs to this user and is paid for by this account.
    pub(super) fn find(&self, id: &str, of: &Identity) -> Option<Handle> {
        self.lock().get(id).filter(|handle| handle.whose.is_of(of)).cloned()
    }

    /// Notes that a session is about to begin or to be taken over here, before the database hears of it. However long that takes, it is not taken
    /// for one that nobody here has.
    pub(super) fn expect(live: &Arc<Live>, id: &str) -> Coming {
        live.sessions.lock_coming().insert(id.to_owned());
        Coming { live: live.clone(), id: id.to_owned() }
    }

    /// Locks the rebuilding of a session from the store, so that two connections do not rebuild the same one.
    pub(super) async fn lock_rebuilding(&self, id: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        self.rebuilding[hasher.finish() as usize % STRIPES].lock().await
    }

    /// Whether a session lives here.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Whether no task here has this session, or is about to have it.
    pub(super) fn is_stray(&self, id: &str) -> bool {
        // A session is entered before it is no longer about to be, so one that comes in between is found by the second look.
        let is_coming = self.lock_coming().contains(id);
        !is_coming && !self.has(id)
    }

    /// The ids of all sessions.
    pub(super) fn ids(&self) -> HashSet<String> {
        self.lock().keys().cloned().collect()
    }

    /// Gives a session a command, if it is here. A session whose queue is full does not get it.
    pub(super) fn tell(&self, id: &str, command: Command) {
        if let Some(handle) = self.lock().get(id) {
            let _ = handle.commands.try_send(command);
        }
    }

    /// Makes a session hand itself off to another relay.
    pub(crate) fn hand_off(&self, id: &str) {
        self.tell(id, Command::HandOff);
    }

    /// Has a session take the commands of administrators that wait for it. One that does not come to it is told again with the next look.
    pub(crate) fn look_for_commands(&self, id: &str) {
        self.tell(id, Command::LookForCommands);
    }

    /// What is heard in a session from now on, and whether its page is told. `None` if it is not here, or does not come to it in time.
    pub(crate) async fn listen(&self, id: &str, tell_page: bool) -> Option<Heard> {
        let (heard, hears) = oneshot::channel();
        self.tell(id, Command::Listen { heard, tell_page });
        timeout(LISTEN_TIMEOUT, hears).await.ok()?.ok()
    }

    /// Ends the sessions that `which` picks, and returns how many took the command.
    pub(crate) fn end_all(&self, code: CloseCode, which: impl Fn(&Whose) -> bool) -> usize {
        let sessions = self.lock();
        let picked = sessions.values().filter(|handle| which(&handle.whose));
        picked.filter(|handle| handle.commands.try_send(Command::End(code)).is_ok()).count()
    }

    /// Removes a session, unless a newer one with the same id has taken its place.
    fn remove(&self, id: &str, commands: &mpsc::Sender<Command>) {
        let mut sessions = self.lock();
        if sessions.get(id).is_some_and(|handle| handle.commands.same_channel(commands)) {
            sessions.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_coming(&self) -> MutexGuard<'_, HashSet<String>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that is about to be. Dropped, it comes to nothing: what the database has of it then is a stray.
#[derive(Debug)]
pub(super) struct Coming {
    live: Arc<Live>,
    id: String,
}

impl Coming {
    /// Enters the session. An older one with the same id, which it was taken over from, is told so.
    pub(super) fn enter(self, handle: Handle) -> Registration {
        let commands = handle.commands.clone();
        let before = self.live.sessions.lock().insert(self.id.clone(), handle);
        if let Some(before) = before {
            let _ = before.commands.try_send(Command::TakenOver);
        }
        Registration { live: self.live.clone(), id: self.id.clone(), commands }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.live.sessions.lock_coming().remove(&self.id);
    }
}

/// A session's entry in the registry. It is removed when this is dropped, so that not even a panic leaves it there.
#[derive(Debug)]
pub(super) struct Registration {
    live: Arc<Live>,
    id: String,
    commands: mpsc::Sender<Command>,
}

impl Registration {
    /// Notes that the session goes on with a token of another login.
    pub(super) fn update(&self, whose: &Arc<Whose>) {
        let mut sessions = self.live.sessions.lock();
        let own = sessions.get_mut(&self.id).filter(|handle| handle.commands.same_channel(&self.commands));
        if let Some(handle) = own {
            handle.whose = whose.clone();
        }
    }

    /// Removes the session from the registry before it is dropped.
    pub(super) fn remove(&self) {
        self.live.sessions.remove(&self.id, &self.commands);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.remove();
    }
}
