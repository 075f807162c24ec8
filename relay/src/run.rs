//! A relay from its first connection to its last: what stands above its rooms, and starts and ends them in order.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::admission::denials;
use crate::admission::throttle::SWEEP_INTERVAL;
use crate::operations::upkeep;
use crate::records::store::Leases;
use crate::{App, server};

/// Runs until [`Live::shutdown`](crate::Live::shutdown) is cancelled; then lets what goes on end within the configured grace, and closes the store.
pub async fn run(listener: TcpListener, app: Arc<App>) {
    prepare(&app).await;
    let (_newest, apps) = watch::channel(app);
    run_newest(listener, apps).await;
}

/// Reads who is denied, and names the addresses of webhooks, which may want to hear of the first call. A database that is away is asked again while
/// the relay runs. Nobody is answered meanwhile.
pub(crate) async fn prepare(app: &App) {
    if let Err(error) = denials::apply_decisions(app).await {
        tracing::warn!(%error, "the deny-list was not read yet");
    }
    if let Err(error) = upkeep::announce_webhooks(app).await {
        tracing::warn!(%error, "the addresses of webhooks were not named yet");
    }
}

/// Runs as [`run`] does, from the first connection on. Whatever begins is as the newest of `apps` has it, each made of the one before by
/// [`App::renewed`].
pub async fn run_newest(listener: TcpListener, apps: watch::Receiver<Arc<App>>) {
    let app = Arc::clone(&apps.borrow());
    app.live.tasks.spawn(sweep(Arc::clone(&app)));
    app.live.tasks.spawn(denials::keep(Arc::clone(&app)));
    let mut upkeep = upkeep::start(&app, &apps);
    server::serve(listener, apps).await;
    app.live.tasks.close();
    if timeout(app.config.shutdown_grace, app.live.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = app.live.tasks.len(), "some connections did not end in time");
    }
    let records = async {
        upkeep.shutdown().await;
        if let Err(error) = app.records.store.end_leases(Leases::Of(&app.live.relay_id)).await {
            tracing::warn!(%error, "the sessions that were left could not be set free at once");
        }
        app.records.store.close().await;
        app.records.spill.close().await;
    };
    let traces = async {
        if let Some(traces) = &app.traces {
            traces.close().await;
        }
    };
    // Other relays wait for the leases, and nobody has to wait for a collector that hangs.
    tokio::join!(records, traces);
}

/// Forgets who called a while ago, so that what is remembered of strangers stays small.
async fn sweep(app: Arc<App>) {
    let mut due = interval(SWEEP_INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.live.shutdown.cancelled() => return,
            _ = due.tick() => {
                app.admission.throttle.sweep();
                app.admission.api_requests.sweep();
            }
        }
    }
}
