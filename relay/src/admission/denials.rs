//! The deny-list: users and logins that may not use the relay, whatever their tokens say.
//!
//! The list is kept in memory, so that it applies while the database is away as well. An administrator's decision reaches the sessions of the
//! relay that is told at once, and those of other relays within [`LOOK_EVERY`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use protocol::relay::Refusal;
use protocol::{CloseCode, ErrorCode};
use tokio::time::{MissedTickBehavior, interval};

use crate::App;
use crate::admission::auth::Identity;
use crate::records::store::{
    Denial, DenialKind, HAND_OFF, HAS_COMMANDS, PAGE_MAX, Store, StoreError, unix_ms,
};
use crate::session::Registry;

/// The time between two looks at what administrators decided at other relays.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The deny-list as this relay knows it.
#[derive(Debug, Default)]
pub struct Denials(RwLock<List>);

/// The entries of the list.
#[derive(Debug, Default)]
struct List {
    /// The list's revision in the database when it was read. `None` before it was first read.
    revision: Option<i64>,
    /// Whether all of it could be read. What cannot be read is looked for again at the next look.
    is_whole: bool,
    /// How each user is denied.
    subs: HashMap<String, Entry>,
    /// How each login is denied.
    logins: HashMap<String, Entry>,
}

/// How somebody is denied.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Until when, in milliseconds since 1970. `None` is for ever.
    expires_at_ms: Option<i64>,
    /// Whether by an API key, and no person.
    by_key: bool,
}

impl Denials {
    /// Lets an identity pass, unless it is denied.
    ///
    /// # Errors
    /// When its user or its login is on the list. The client is not told which, nor why.
    pub(crate) fn admit(&self, identity: Identity) -> Result<Identity, Refusal> {
        if self.denies(&identity) {
            tracing::info!(sub = %identity.sub, "refused by the deny-list");
            return Err(Refusal::new(CloseCode::Forbidden, ErrorCode::Denied));
        }
        Ok(identity)
    }

    /// Whether an identity is denied.
    pub(crate) fn denies(&self, identity: &Identity) -> bool {
        self.has(&identity.sub, identity.login.as_deref(), unix_ms())
    }

    /// Whether an identity may not use the HTTP API. An API key that got into wrong hands keeps no administrator from revoking it.
    pub(crate) fn denies_api(&self, identity: &Identity) -> bool {
        let (sub, login) = (identity.sub.as_str(), identity.login.as_deref());
        self.any(sub, login, unix_ms(), |entry| !(entry.by_key && identity.is_admin))
    }

    fn has(&self, sub: &str, login: Option<&str>, now_ms: i64) -> bool {
        self.any(sub, login, now_ms, |_| true)
    }

    /// Whether there is an entry for this user or this login that is not over and that `counts`.
    fn any(&self, sub: &str, login: Option<&str>, now_ms: i64, counts: impl Fn(Entry) -> bool) -> bool {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entries = [list.subs.get(sub), login.and_then(|login| list.logins.get(login))];
        let is_over = |entry: Entry| entry.expires_at_ms.is_some_and(|at| at <= now_ms);
        entries.into_iter().flatten().any(|entry| !is_over(*entry) && counts(*entry))
    }

    fn is_empty(&self) -> bool {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        list.subs.is_empty() && list.logins.is_empty()
    }

    /// The revision at which all of the list was read.
    fn revision(&self) -> Option<i64> {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        list.revision.filter(|_| list.is_whole)
    }

    /// Puts the entries that were read at this revision, or later, in place of the list, unless the list is of a later revision already.
    fn replace(&self, revision: i64, denials: Vec<Denial>) {
        let list = List::of(revision, denials);
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if current.revision <= list.revision {
            *current = list;
        }
    }

    /// Adds the entries that were read at this revision, or later, beside some that cannot be read. One of those may deny somebody who is on the
    /// list: whoever is on it stays denied.
    fn add(&self, revision: i64, denials: Vec<Denial>) {
        let list = List::of(revision, denials);
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if current.revision <= list.revision {
            current.revision = list.revision;
            current.is_whole = false;
            current.subs.extend(list.subs);
            current.logins.extend(list.logins);
        }
    }
}

impl List {
    /// The whole list as it was read at this revision.
    fn of(revision: i64, denials: Vec<Denial>) -> List {
        let mut list = List { revision: Some(revision), is_whole: true, ..List::default() };
        for Denial { kind, subject, by_key, expires_at_ms, .. } in denials {
            let entry = Entry { expires_at_ms, by_key };
            match kind {
                DenialKind::Sub => list.subs.insert(subject, entry),
                DenialKind::Login => list.logins.insert(subject, entry),
            };
        }
        list
    }
}

/// Looks every [`LOOK_EVERY`] at what was decided at other relays, until this one stops.
pub(crate) async fn keep(app: Arc<App>) {
    let mut due = interval(LOOK_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.live.shutdown.cancelled() => return,
            _ = due.tick() => {
                if let Err(error) = apply_decisions(&app).await {
                    tracing::warn!(%error, "the deny-list was not read: the one in memory goes on");
                }
            }
        }
    }
}

/// Reads the deny-list if it changed, closes the calls of those on it, ends the sessions that are asked to end, hands off those that another
/// relay asks for, and has those look for commands for which some wait.
///
/// # Errors
/// When the database cannot be read. The list in memory was applied nevertheless.
pub(crate) async fn apply_decisions(app: &App) -> Result<(), StoreError> {
    let read = refresh(&app.admission.denials, &*app.records.store).await;
    apply(&app.admission.denials, &app.live.sessions);
    read?;
    for request in app.records.store.ends_requested(&app.live.relay_id).await? {
        if request.reason == HAND_OFF {
            app.live.sessions.hand_off(&request.id);
            continue;
        }
        if request.reason == HAS_COMMANDS {
            app.live.sessions.look_for_commands(&request.id);
            continue;
        }
        let code = CloseCode::from_name(&request.reason).unwrap_or(CloseCode::Normal);
        app.live.sessions.end_all(code, |whose| whose.id == request.id);
    }
    Ok(())
}

/// Reads the deny-list, if its revision has changed, or if some of it could not be read.
async fn refresh(list: &Denials, store: &dyn Store) -> Result<(), StoreError> {
    let revision = store.denials_revision().await?;
    if list.revision() == Some(revision) {
        return Ok(());
    }
    let (mut denials, mut damaged) = (Vec::new(), 0);
    let mut after = None;
    loop {
        let page = store.denials(after.as_ref(), PAGE_MAX).await?;
        denials.extend(page.rows);
        damaged += page.damaged;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    match damaged {
        0 => list.replace(revision, denials),
        _ => list.add(revision, denials),
    }
    Ok(())
}

/// Closes the calls of those on the list. It is done at every look, whether or not the list changed, to find sessions that were about to
/// begin when it did.
fn apply(list: &Denials, sessions: &Registry) {
    if list.is_empty() {
        return;
    }
    let now_ms = unix_ms();
    let closed =
        sessions.end_all(CloseCode::Forbidden, |whose| list.has(&whose.sub, whose.login.as_deref(), now_ms));
    if closed > 0 {
        tracing::info!(closed, "calls closed by the deny-list");
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::records::store::{DATABASE_FILE, SqlStore};

    fn denial(kind: DenialKind, subject: &str, expires_at_ms: Option<i64>) -> Denial {
        Denial {
            kind,
            subject: subject.into(),
            reason: String::new(),
            created_by: String::new(),
            by_key: false,
            created_at_ms: 0,
            expires_at_ms,
        }
    }

    #[test]
    fn a_user_and_a_login_are_denied_each_by_its_own_name_until_their_time_is_over() {
        let denials = Denials::default();
        assert!(!denials.has("ada", Some("login-1"), 0));
        let list = vec![
            denial(DenialKind::Sub, "ada", Some(1_000)),
            denial(DenialKind::Sub, "bob", None),
            denial(DenialKind::Login, "login-1", Some(2_000)),
        ];
        denials.replace(1, list);
        assert!(denials.has("ada", None, 999) && !denials.has("ada", None, 1_000));
        assert!(denials.has("bob", Some("any"), i64::MAX));
        assert!(denials.has("cyd", Some("login-1"), 1_999) && !denials.has("cyd", Some("login-1"), 2_000));
        assert!(!denials.has("login-1", Some("bob"), 0), "a login is no user");
    }

    #[test]
    fn what_an_api_key_denies_keeps_no_administrator_out_of_the_http_api() {
        let denials = Denials::default();
        let by_key = |kind, subject| Denial { by_key: true, ..denial(kind, subject, None) };
        let list = [by_key(DenialKind::Sub, "root"), by_key(DenialKind::Login, "login-1")];
        denials.replace(1, [&list[..], &[denial(DenialKind::Sub, "eve", None)]].concat());
        for (sub, login) in [("root", None), ("boss", Some("login-1"))] {
            let user =
                Identity { login: login.map(str::to_owned), ..Identity::new(sub.into(), String::new(), 0) };
            assert!(denials.denies_api(&user) && denials.denies(&user), "{sub} as a user");
            let admin = Identity { is_admin: true, ..user };
            assert!(!denials.denies_api(&admin), "{sub}");
            assert!(denials.denies(&admin), "{sub} makes no calls");
        }
        let eve = Identity { is_admin: true, ..Identity::new("eve".into(), String::new(), 0) };
        assert!(denials.denies_api(&eve), "a person has denied her");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_is_denied_stays_so_while_the_row_is_damaged_and_others_are_denied_as_well() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join(DATABASE_FILE);
        let (store, denials) = (SqlStore::sqlite(&file).await.expect("opened"), Denials::default());
        let eve = denial(DenialKind::Sub, "eve", None);
        store.deny(&eve).await.expect("written");
        refresh(&denials, &store).await.expect("read");
        assert!(denials.has("eve", None, 0) && denials.revision().is_some());

        let mut operator = SqliteConnectOptions::new().filename(&file).connect().await.expect("opened");
        let damage = "UPDATE denials SET reason = CAST(X'41C3' AS TEXT) WHERE subject = 'eve'";
        sqlx::raw_sql(damage).execute(&mut operator).await.expect("written");
        store.deny(&denial(DenialKind::Login, "login-1", None)).await.expect("written");
        refresh(&denials, &store).await.expect("read");
        assert!(denials.has("eve", None, 0) && denials.has("ada", Some("login-1"), 0));

        // Whoever mends it need not know that the list has a number.
        let mend = "UPDATE denials SET reason = 'so', subject = 'mallory' WHERE subject = 'eve'";
        sqlx::raw_sql(mend).execute(&mut operator).await.expect("written");
        refresh(&denials, &store).await.expect("read");
        assert!(!denials.has("eve", None, 0) && denials.has("mallory", None, 0));
        assert!(denials.revision().is_some());
        store.close().await;
    }

    #[test]
    fn a_list_that_was_read_in_part_is_read_again_and_replaces_no_later_one() {
        let denials = Denials::default();
        denials.replace(2, vec![denial(DenialKind::Sub, "ada", None)]);
        denials.add(1, vec![denial(DenialKind::Sub, "bob", None)]);
        assert_eq!((denials.revision(), denials.has("bob", None, 0)), (Some(2), false));
        denials.add(3, vec![denial(DenialKind::Sub, "cyd", None)]);
        assert_eq!((denials.revision(), denials.has("ada", None, 0)), (None, true));
        denials.replace(2, Vec::new());
        assert!(denials.has("cyd", None, 0), "that one was read earlier");
        denials.replace(3, Vec::new());
        assert_eq!((denials.revision(), denials.has("ada", None, 0)), (Some(3), false));
    }

    #[test]
    fn a_list_that_was_read_earlier_does_not_replace_a_later_one() {
        let denials = Denials::default();
        denials.replace(2, vec![denial(DenialKind::Sub, "ada", None)]);
        denials.replace(1, Vec::new());
        assert!(denials.has("ada", None, 0));
        denials.replace(3, Vec::new());
        assert!(!denials.has("ada", None, 0));
    }
}
