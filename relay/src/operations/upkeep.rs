//! What a relay does beside its calls, until it stops: its lease, sessions that others have lost, what is owed to the database, alerts and what
//! they are about, recordings on their way, what is too old. Each is a task of its own, and those that may have much to do do it in small steps:
//! none holds up another, or a call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::config;
use crate::operations::clock::DatabaseClock;
use crate::operations::incidents;
use crate::operations::webhook::{self, Pace, Webhook};
use crate::records::retention::{self, Purged};
use crate::records::spill::Round;
use crate::records::store::{Expiring, RolledUp, StoreError, Subscription, Swept, unix_ms};
use crate::server::Tls;
use crate::{App, session};

/// Between two looks for what could not be written.
const REPLAY_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for sessions that others have lost.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// For how long a relay that starts watches the database's clock before it looks for the first time.
const WATCH_CLOCK: Duration = Duration::from_secs(2);
/// Between two steps of something that has many: calls have the database to themselves for so long.
const BREATH: Duration = Duration::from_millis(50);
/// Between two looks for alerts, or for events of one address.
const ALERTS_EVERY: Duration = Duration::from_secs(2);
/// Between two times that this relay names the addresses of its webhooks: those that none has named for two hours are forgotten.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(60);
/// How soon that is tried again. What happens before it succeeds is not told to addresses that are new.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);
/// Between two looks for recordings that stayed.
const RECORDINGS_EVERY: Duration = Duration::from_secs(300);
/// Between two looks for recordings of erased sessions that could not be deleted at once.
const ERASED_EVERY: Duration = Duration::from_secs(15);
/// Between two looks for rates that are whole again, which they are after a minute.
const RATES_EVERY: Duration = Duration::from_secs(60);
/// How many rates one statement deletes.
const RATES: u32 = 500;
/// Between two looks at whether the issuer's keys are old.
const KEYS_EVERY: Duration = Duration::from_secs(60);
/// Between two looks at the files of the certificate.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(60);
/// Between two looks for ended sessions that are in no sum.
const ROLL_UP_EVERY: Duration = Duration::from_secs(60);
/// How many of them one transaction adds.
const ROLL_UP: u32 = 200;
/// Between two looks at whether the schema of the database is one that this relay can use.
const SCHEMA_EVERY: Duration = Duration::from_secs(5);
/// How long it may take to say so.
const SCHEMA_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks for what is too old.
const RETENTION_EVERY: Duration = Duration::from_secs(3_600);

/// Where alerts are sent, as the newest configuration says.
#[derive(Debug, Default)]
pub(super) struct AlertsAddress(Option<(config::Webhook, Webhook)>);

impl AlertsAddress {
    /// What sends to this address, made anew only if it is another one.
    ///
    /// # Errors
    /// When the system has no TLS to offer.
    pub(super) fn newest(
        &mut self,
        wanted: Option<&config::Webhook>,
    ) -> Result<Option<&Webhook>, reqwest::Error> {
        if self.0.as_ref().map(|(config, _)| config) != wanted {
            let make = |config: &config::Webhook| {
                Webhook::new(config, Pace::default()).map(|made| (config.clone(), made))
            };
            self.0 = wanted.map(make).transpose()?;
        }
        Ok(self.0.as_ref().map(|(_, webhook)| webhook))
    }
}

/// Starts all of it. All but the lease ends with [`Live::shutdown`](crate::Live::shutdown); dropped, everything ends at once.
/// Alerts and events go to where the newest of `apps` says.
pub(crate) fn start(app: &Arc<App>, apps: &watch::Receiver<Arc<App>>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(session::keep_lease(Arc::clone(app)));
    spawn(&mut tasks, app, session::compare_sessions(Arc::clone(app)));
    spawn(&mut tasks, app, replay(Arc::clone(app)));
    spawn(&mut tasks, app, sweep_lost(Arc::clone(app)));
    spawn(&mut tasks, app, deliver_alerts(apps.clone()));
    spawn(&mut tasks, app, incidents::watch_providers(apps.clone()));
    spawn(&mut tasks, app, incidents::watch_calls(apps.clone()));
    spawn(&mut tasks, app, incidents::watch_store(apps.clone()));
    spawn(&mut tasks, app, deliver_events(apps.clone()));
    spawn(&mut tasks, app, carry_recordings(Arc::clone(app)));
    spawn(&mut tasks, app, erase_recordings(Arc::clone(app)));
    spawn(&mut tasks, app, forget_rates(Arc::clone(app)));
    spawn(&mut tasks, app, roll_up(Arc::clone(app)));
    spawn(&mut tasks, app, watch_schema(Arc::clone(app)));
    spawn(&mut tasks, app, expire(Arc::clone(app)));
    spawn(&mut tasks, app, keep_keys_fresh(Arc::clone(app)));
    if let Some(tls) = &app.tls {
        spawn(&mut tasks, app, renew_certificate(Arc::clone(tls)));
    }
    tasks
}

/// Each of these may be dropped at any moment.
fn spawn(tasks: &mut JoinSet<()>, app: &Arc<App>, work: impl Future<Output = ()> + Send + 'static) {
    let shutdown = app.live.shutdown.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    });
}

/// Has the issuer's keys fetched when they are old, also of a relay that nobody calls: one that was taken back is to be good for nobody.
async fn keep_keys_fresh(app: Arc<App>) {
    let mut tick = every(KEYS_EVERY);
    loop {
        tick.tick().await;
        app.admission.verifier.keep_fresh();
    }
}

/// Writes what sessions that had to leave have left behind.
async fn replay(app: Arc<App>) {
    let mut tick = every(REPLAY_EVERY);
    loop {
        tick.tick().await;
        let (mut round, mut entries) = (Round::default(), 0);
        let done = loop {
            match app
                .records
                .spill
                .replay_some(&*app.records.store, |id| app.live.sessions.has(id), &mut round)
                .await
            {
                Ok(None) => break round.end(),
                Ok(Some(written)) => entries += written,
                Err(error) => break Err(error),
            }
            sleep(BREATH).await;
        };
        if entries > 0 {
            tracing::info!(entries, "what was owed to the database is written");
        }
        if let Err(error) = done {
            tracing::debug!(%error, "what is owed to the database waits");
        }
    }
}

/// Looks after the sessions that others have lost. Where the database's clock was changed, relays that are there have the time of a round to renew
/// their leases by it.
async fn sweep_lost(app: Arc<App>) {
    let mut clock = DatabaseClock::default();
    if let Err(error) = goes_on(&app, &mut clock).await {
        tracing::debug!(%error, "the database's clock was not read");
    }
    sleep(WATCH_CLOCK).await;
    let mut tick = every(SWEEP_EVERY);
    loop {
        tick.tick().await;
        loop {
            match sweep_some(&app, &mut clock).await {
                Ok(None) => {
                    tracing::warn!(
                        "lost sessions wait: the database's clock was changed, or this relay stood still"
                    );
                    break;
                }
                Ok(Some(swept)) if swept == Swept::default() => break,
                Ok(Some(Swept { released, ended })) => tracing::info!(released, ended, "lost sessions"),
                Err(error) => {
                    tracing::warn!(%error, "lost sessions were not looked for");
                    break;
                }
            }
            sleep(BREATH).await;
        }
    }
}

/// Looks after some of them; `None` if the leases say nothing now.
async fn sweep_some(app: &App, clock: &mut DatabaseClock) -> Result<Option<Swept>, StoreError> {
    match goes_on(app, clock).await? {
        true => app.records.store.sweep(app.config.resume_window).await.map(Some),
        false => Ok(None),
    }
}

/// Whether the database's clock has gone on as time has.
async fn goes_on(app: &App, clock: &mut DatabaseClock) -> Result<bool, StoreError> {
    let shown_ms = app.records.store.clock_ms().await?;
    Ok(clock.handle_look(app.live.now(), shown_ms))
}

async fn deliver_alerts(apps: watch::Receiver<Arc<App>>) {
    let mut address = AlertsAddress::default();
    let mut tick = every(ALERTS_EVERY);
    loop {
        tick.tick().await;
        let app = Arc::clone(&apps.borrow());
        let webhook = match address.newest(app.config.webhook.as_ref()) {
            Ok(webhook) => webhook,
            Err(error) => return tracing::error!(%error, "alerts are not sent"),
        };
        if let Err(error) = webhook::deliver_or_let_go(webhook, &*app.records.store).await {
            tracing::warn!(%error, "alerts wait for the database");
        }
    }
}

/// Names the webhooks of this relay, so that what happens from now on is told to them.
pub(crate) async fn announce_webhooks(app: &App) -> Result<(), StoreError> {
    let named = app.config.webhooks.iter();
    let named: Vec<Subscription> =
        named.map(|(name, hook)| Subscription { name: name.clone(), events: hook.events.clone() }).collect();
    app.records.store.keep_webhooks(&named).await
}

/// Sends what happens to each address in a task of its own: a slow one holds up none of the others. What was being sent while the addresses
/// change is sent again when its claim is over.
async fn deliver_events(mut apps: watch::Receiver<Arc<App>>) {
    loop {
        let app = Arc::clone(&apps.borrow_and_update());
        let mut tasks = JoinSet::new();
        for (name, hook) in &app.config.webhooks {
            match Webhook::new(&hook.webhook, Pace::default()) {
                Ok(webhook) => {
                    tasks.spawn(send_events(Arc::clone(&app), name.clone(), webhook));
                }
                Err(error) => tracing::error!(webhook = %name, %error, "events are not sent"),
            }
        }
        tasks.spawn(keep_webhooks(Arc::clone(&app)));
        while apps.borrow_and_update().config.webhooks == app.config.webhooks {
            if apps.changed().await.is_err() {
                // Nothing is read again.
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn send_events(app: Arc<App>, name: String, webhook: Webhook) {
    let mut tick = every(ALERTS_EVERY);
    loop {
        tick.tick().await;
        let done = loop {
            match webhook.deliver_events(&name, &*app.records.store).await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = done {
            tracing::warn!(webhook = %name, %error, "events wait for the database");
        }
    }
}

async fn keep_webhooks(app: Arc<App>) {
    let mut tick = every(ANNOUNCE_EVERY);
    loop {
        tick.tick().await;
        while let Err(error) = announce_webhooks(&app).await {
            tracing::warn!(%error, "the addresses of webhooks were not named");
            tokio::time::sleep(ANNOUNCE_AGAIN).await;
        }
    }
}

/// Has a certificate that was put in the place of another serve, whoever put it there.
async fn renew_certificate(tls: Arc<Tls>) {
    let mut tick = every(CERTIFICATE_EVERY);
    loop {
        tick.tick().await;
        let tls = Arc::clone(&tls);
        // Fails only while the runtime ends.
        let _ = spawn_blocking(move || tls.renew(false)).await;
    }
}

async fn carry_recordings(app: Arc<App>) {
    let Some(recordings) = &app.records.recordings else { return };
    let mut tick = every(RECORDINGS_EVERY);
    loop {
        tick.tick().await;
        match recordings.carry_left(&*app.records.store).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "recordings that were left on their way are in their place"),
            Err(error) => tracing::warn!(%error, "recordings on their way were not looked for"),
        }
    }
}

async fn erase_recordings(app: Arc<App>) {
    let Some(recordings) = &app.records.recordings else { return };
    let mut tick = every(ERASED_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = app.live.erased.notified() => {}
        }
        if let Err(error) = retention::sweep_erased(&*app.records.store, recordings).await {
            tracing::warn!(%error, "recordings of erased sessions are deleted later");
        }
    }
}

/// Deletes the rates of those who have begun no session for a minute.
async fn forget_rates(app: Arc<App>) {
    let mut tick = every(RATES_EVERY);
    loop {
        tick.tick().await;
        loop {
            match app.records.store.expire(Expiring::Rates, RATES).await {
                Ok(deleted) if deleted < u64::from(RATES) => break,
                Ok(_) => sleep(BREATH).await,
                Err(error) => {
                    tracing::warn!(%error, "rates that are whole again were not deleted");
                    break;
                }
            }
        }
    }
}

/// Adds up sessions that a relay of an earlier version has ended. Where `voxrelay rollups --rebuild` was broken off, this goes on with it.
async fn roll_up(app: Arc<App>) {
    let mut tick = every(ROLL_UP_EVERY);
    loop {
        tick.tick().await;
        loop {
            match app.records.store.roll_up(ROLL_UP).await {
                Ok(RolledUp::Added(added)) if added < u64::from(ROLL_UP) => break,
                Ok(_) => sleep(BREATH).await,
                Err(error) => {
                    tracing::warn!(%error, "ended sessions were not added up");
                    break;
                }
            }
        }
    }
}

/// Asks the database whether it serves this relay, so that metrics say so also where nobody asks `/readyz`.
async fn watch_schema(app: Arc<App>) {
    let mut tick = every(SCHEMA_EVERY);
    loop {
        tick.tick().await;
        // An answer that comes late may be about what was there before.
        if let Ok(answer) = timeout(SCHEMA_WITHIN, app.records.store.ping()).await {
            app.live.note_schema(&answer);
        }
    }
}

async fn expire(app: Arc<App>) {
    let mut tick = every(RETENTION_EVERY);
    loop {
        tick.tick().await;
        let keep = &app.config.retention;
        match retention::sweep(&*app.records.store, app.records.recordings.as_deref(), keep, unix_ms()).await
        {
            Ok(purged) if purged == Purged::default() => {}
            Ok(Purged { turns, recordings, erased, left, books }) => {
                tracing::info!(turns, recordings, erased, left, books, "what was too old is deleted");
                if left > 0 && app.records.recordings.is_none() {
                    tracing::error!(
                        left,
                        "recordings that have to be deleted stay: `recording` does not say where they are"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "what is too old was not deleted"),
        }
    }
}

pub(super) fn every(period: Duration) -> tokio::time::Interval {
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
