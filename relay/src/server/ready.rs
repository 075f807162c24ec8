//! `GET /readyz`: whether calls are to be sent here, for load balancers; and what is away meanwhile, for people.
//!
//! A database or a provider that is away is no reason to send calls elsewhere: it is away from every relay, and the calls that go on without it have
//! to be able to come back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::STOPPING_RETRY_AFTER_SECONDS;
use crate::App;
use crate::provider::Standing;
use crate::records::store::StoreError;

/// How long an answer of the database counts. The database is asked no more often than this, however many requests come.
const COUNTS_FOR: Duration = Duration::from_secs(1);
/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a request waits for what the database answers. Load balancers take a relay out that does not answer them within a second or two, and a
/// database that does not answer would have them take out every relay.
const WAITS: Duration = Duration::from_millis(200);
/// After how many seconds to come back to a relay that lacks something.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Whether calls are to be sent here, as far as the database said last.
#[derive(Debug)]
pub(super) struct Readiness {
    app: Arc<App>,
    /// When the database was heard of last, and what it said, or that it said nothing within [`PATIENCE`].
    said: watch::Sender<Option<(Instant, Database)>>,
    /// The place of the task that asks the database, which is one at a time.
    asking: Arc<Semaphore>,
}

/// What is told.
#[derive(Debug, Serialize)]
struct Told {
    ready: bool,
    /// Why calls are to be sent elsewhere.
    reasons: Vec<Reason>,
    database: Database,
    /// The keys with which tokens are checked.
    keys: Health,
    /// The speech and language providers: `away` if at least one of them is not asked at the moment. One that the next request tries is not away: it
    /// failed some time ago, and nobody knows how it is.
    providers: Health,
}

/// Why calls are to be sent elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// The relay is told to stop.
    Draining,
    /// No key of an issuer was fetched yet, so that no token can be checked.
    NoKeys,
    /// The schema of the database lacks what this relay needs.
    SchemaTooOld,
}

/// How the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Database {
    Ok,
    /// It does not answer, or takes no writes.
    Away,
    /// Its schema is too old.
    Outdated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Ok,
    Away,
}

impl Health {
    fn of(is_there: bool) -> Health {
        if is_there { Health::Ok } else { Health::Away }
    }
}

impl Readiness {
    pub(super) fn new(app: Arc<App>) -> Readiness {
        Readiness { app, said: watch::Sender::new(None), asking: Arc::new(Semaphore::new(1)) }
    }

    /// Whether the database answers and takes writes, as it said a moment ago or says within [`WAITS`].
    async fn database(self: &Arc<Self>) -> Database {
        let mut said = self.said.subscribe();
        let last = *said.borrow_and_update();
        if let Some((_, database)) = last.filter(|(heard, _)| heard.elapsed() < COUNTS_FOR) {
            return database;
        }
        self.ask();
        let has_answered = timeout(WAITS, said.changed()).await.is_ok();
        match *said.borrow() {
            Some((_, database)) if has_answered => database,
            // A schema that is too old does not become a new one while the database is slow to say so once more.
            Some((_, Database::Outdated)) => Database::Outdated,
            Some((_, Database::Ok | Database::Away)) | None => Database::Away,
        }
    }

    /// Has the database asked, unless it is being asked. Whoever wants to know may leave before it answers, and what it answers still counts.
    fn ask(self: &Arc<Self>) {
        let Ok(place) = Arc::clone(&self.asking).try_acquire_owned() else { return };
        let readiness = Arc::clone(self);
        self.app.live.tasks.spawn(async move {
            let App { records, live, .. } = &*readiness.app;
            let answer = timeout(PATIENCE, records.store.ping());
            let Some(answer) = live.shutdown.run_until_cancelled(answer).await else { return };
            if let Ok(answer) = &answer {
                live.note_schema(answer);
            }
            let said = match answer {
                // A database with a full disk, or one that only follows another, answers and takes no writes. The renewal of the lease shows that.
                Ok(Ok(())) if live.lease.is_renewed() => Database::Ok,
                Ok(Err(StoreError::Outdated { .. })) => Database::Outdated,
                _ => Database::Away,
            };
            readiness.said.send_replace(Some((Instant::now(), said)));
            drop(place);
        });
    }

    async fn tell(self: &Arc<Self>) -> Told {
        let database = self.database().await;
        // A schema that was too old when the database was asked last still is while it does not answer.
        let reasons = reasons(&self.app, self.app.live.is_outdated());
        let now = self.app.live.now();
        let mut standings = self.app.upstreams.values().map(|upstream| upstream.look(now));
        let are_asked = standings.all(|standing| matches!(standing, Standing::Closed | Standing::Due { .. }));
        Told {
            ready: reasons.is_empty(),
            keys: Health::of(!reasons.contains(&Reason::NoKeys)),
            reasons,
            database,
            providers: Health::of(are_asked),
        }
    }
}

/// Whether calls are to be sent here, for the metric: by what the schema was when the database was asked last.
pub(crate) fn is_ready(app: &App) -> bool {
    reasons(app, app.live.is_outdated()).is_empty()
}

/// Why calls are to be sent elsewhere, if they are.
fn reasons(app: &App, is_outdated: bool) -> Vec<Reason> {
    let reasons = [
        (app.live.unready.is_cancelled(), Reason::Draining),
        (!app.admission.verifier.has_keys(), Reason::NoKeys),
        (is_outdated, Reason::SchemaTooOld),
    ];
    reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
}

/// `GET /readyz`.
pub(super) async fn readyz(State(readiness): State<Arc<Readiness>>) -> Response {
    let told = readiness.tell().await;
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if told.ready {
        return (StatusCode::OK, headers, Json(told)).into_response();
    }
    let is_draining = told.reasons.contains(&Reason::Draining);
    let seconds = if is_draining { STOPPING_RETRY_AFTER_SECONDS } else { RETRY_AFTER_SECONDS };
    headers.insert(header::RETRY_AFTER, seconds.into());
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(told)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reason with the next one.
    fn all() -> Vec<Reason> {
        std::iter::successors(Some(Reason::Draining), |reason| match reason {
            Reason::Draining => Some(Reason::NoKeys),
            Reason::NoKeys => Some(Reason::SchemaTooOld),
            Reason::SchemaTooOld => None,
        })
        .collect()
    }

    #[test]
    fn the_runbook_and_the_alert_say_what_to_do_about_each_reason_for_which_calls_are_sent_elsewhere() {
        let runbook = include_str!("../../../docs/runbook.md");
        let begun = runbook.split_once("\n### VoxrelayNotReady\n").expect("a chapter").1;
        let chapter = begun.split("\n#").next().expect("what stands in it");
        let steps: Vec<&str> = chapter.lines().filter_map(|line| line.strip_prefix("- Do: ")).collect();
        for reason in all() {
            let word = serde_json::to_string(&reason).expect("a word");
            let step = format!("`{}`: ", word.trim_matches('"'));
            assert!(steps.iter().any(|does| does.starts_with(&step)), "nothing is said of {step}");
        }
    }
}
