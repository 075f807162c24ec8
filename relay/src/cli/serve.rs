use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::reload::{self, Hangups, Source};
use super::{announce, failed, faults};
use crate::admission::auth::{self, Verifier};
use crate::config::{Config, Secret};
use crate::drain::drain;
use crate::operations::log;
use crate::operations::telemetry::{self, Telemetry};
use crate::operations::traces::Traces;
use crate::operations::tracker;
use crate::provider::{Upstream, Upstreams};
use crate::records::recording::{RecordingError, Recordings};
use crate::records::spill::{SPILL_FILE, Spill};
use crate::records::store::{DATABASE_FILE, FolderLock, Leases, SqlStore, Store, StoreError};
use crate::server::Tls;
use crate::session::tool_client;
use crate::{App, Records};

/// How long the relay waits for its database when it starts.
const DATABASE_PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const DATABASE_RETRY: Duration = Duration::from_secs(1);
/// How many connections the system keeps that the relay has not taken yet, where it allows so many: the calls of a relay that is gone come at once.
const BACKLOG: u32 = 1_024;

/// Options of `voxrelay serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
    /// Where to listen, whatever the configuration says. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Options of `voxrelay dev`.
#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
    /// Where to listen; 127.0.0.1:8080 if nothing else is configured. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

pub(super) async fn serve(args: ServeArgs) -> ExitCode {
    let source = Source { path: args.config, listen: args.listen };
    log::look_ahead(source.path.as_deref());
    let signals = Signals::listen();
    let hangups = Hangups::listen();
    match source.read() {
        Ok(config) => run(config, signals, Some((source, hangups))).await,
        Err(error) => failed(2, &error),
    }
}

pub(super) async fn dev(args: DevArgs) -> ExitCode {
    log::look_ahead(args.config.as_deref());
    let signals = Signals::listen();
    let mut config = match faults::examine(args.config.as_deref(), true, args.listen) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    config.dev = true;
    config.drain_as_given();
    if config.auth.hs256_secret.is_none() {
        match auth::development_secret(&config.data_dir) {
            Ok(secret) => config.auth.hs256_secret = Some(secret),
            Err(error) => return failed(1, &format!("the development secret: {error}")),
        }
    }
    // Nothing is read again: whoever closes the terminal of a relay that is tried means its end.
    run(config, signals, None).await
}

/// Each call is an open file, and most systems allow 1,024 of them unless one asks for as many as one may have.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) => tracing::debug!(allowed, "open files"),
        Err(error) => tracing::warn!(%error, "the number of open files could not be raised"),
    }
}

/// Runs until it is told to stop. The configuration is read again from where it is said to be, with each of those signals.
async fn run(config: Config, mut signals: Signals, source: Option<(Source, Hangups)>) -> ExitCode {
    log::start(&config.log);
    let started = tokio::select! {
        biased;
        () = signals.next() => {
            tracing::info!("told to stop while it was starting: voxrelay has stopped");
            tracker::finish();
            log::finish();
            // Not by returning: the runtime would wait for a name that is being looked up.
            std::process::exit(0);
        }
        started = start(config) => started,
    };
    let Started { app, listener, address, lock } = match started {
        Ok(started) => started,
        Err(code) => return code,
    };
    let stopping = stop_on_signals(signals, Arc::clone(&app));
    let (newest, apps) = watch::channel(Arc::clone(&app));
    let reloading = source.map(|(source, hangups)| reload::on_hangup(hangups, source, newest));
    // The first line on standard output, for whoever started the relay on port 0.
    let scheme = if app.tls.is_some() { "https" } else { "http" };
    announce(&format!("listening on {scheme}://{address}"));
    tracing::info!(%address, dev = app.config.dev, data = %app.config.data_dir.display(), "voxrelay listens");
    if app.config.dev {
        // No browser gives the microphone to a page at 0.0.0.0.
        let port = address.port();
        let page =
            if address.ip().is_unspecified() { format!("localhost:{port}") } else { address.to_string() };
        let command = token_command(&app.config.data_dir);
        tracing::info!("open {scheme}://{page}/ in a browser, or get a token with: {command}");
    }
    crate::run_newest(listener, apps).await;
    stopping.abort();
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    drop(lock);
    tracker::finish();
    tracing::info!("voxrelay has stopped");
    ExitCode::SUCCESS
}

/// A relay that is ready for its first connection.
struct Started {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    /// Of its folder, until it has stopped.
    lock: FolderLock,
}

/// Gets a relay ready, which may take the time that its database and its issuer take. It may be broken off at any moment. What keeps it from starting
/// is said, and the code to end with is the error.
async fn start(config: Config) -> Result<Started, ExitCode> {
    if let Some(Err(error)) = config.sentry.as_ref().map(tracker::start) {
        return Err(failed(2, &no_client("tracker of errors", &error)));
    }
    raise_open_files();
    let verifier = match Verifier::from_config(&config.auth) {
        Ok(verifier) => verifier,
        Err(error) => return Err(failed(2, &error)),
    };
    let prices = match faults::price_table(&config) {
        Ok(prices) => prices,
        Err(error) => return Err(failed(2, &error)),
    };
    for old in faults::old_prices(&config, &prices) {
        tracing::warn!("{old}");
    }
    let upstreams = match upstreams(&config) {
        Ok(upstreams) => upstreams,
        Err(error) => return Err(failed(2, &error)),
    };
    let tool_client = match client_of_tools(&config) {
        Ok(client) => client,
        Err(error) => return Err(failed(2, &error)),
    };
    let tls = match config.network.tls.as_ref().map(Tls::read).transpose() {
        Ok(tls) => tls.map(Arc::new),
        Err(error) => return Err(failed(2, &error)),
    };
    let traces = match config.traces.as_ref().map(Traces::start).transpose() {
        Ok(traces) => traces.map(Arc::new),
        Err(error) => return Err(failed(2, &no_client("collector of traces", &error))),
    };
    // Before anything is touched that a relay which runs already may have: the folder is this one's, and its ports are free.
    let mut lock = match FolderLock::take(&config.data_dir) {
        Ok(lock) => lock,
        Err(error) => return Err(failed(1, &error)),
    };
    let socket = match bind(config.listen) {
        Ok(socket) => socket,
        Err(error) => return Err(failed(1, &format!("cannot listen on {}: {error}", config.listen))),
    };
    let address = socket.local_addr().unwrap_or(config.listen);
    lock.note_doing(&format!("about to listen on {address}"));
    let metrics = match listen_for_metrics(&config).await {
        Ok(metrics) => metrics,
        Err(error) => return Err(failed(1, &error)),
    };
    let recordings = match open_recordings(&config) {
        Ok(recordings) => recordings,
        Err(error) => return Err(failed(2, &error)),
    };
    let store = match open_store(&config).await {
        Ok(store) => store,
        Err(error) => return Err(failed(1, &error)),
    };
    let owed = config.data_dir.join(SPILL_FILE);
    let spill = match Spill::open(&config.data_dir).await {
        Ok(spill) => spill,
        Err(error) => return Err(failed(1, &error.of(&owed))),
    };
    // It is written to for the first time when the database is away, which is too late to hear of it.
    if let Err(error) = std::fs::OpenOptions::new().append(true).open(&owed) {
        return Err(failed(1, &format!("cannot write {}: {error}", owed.display())));
    }
    // What the relay before this one could not write. Nobody may take its sessions over before that.
    match spill.replay(&*store, |_| false).await {
        Ok(_) => {}
        // Its session alone waits until somebody has mended the row: all others are served.
        Err(error) if error.is_damage() => {
            tracing::error!(%error, "what is owed waits for a row that is damaged");
        }
        Err(error) => return Err(failed(1, &error)),
    }
    // Its sessions are free for whoever their clients come to: nobody has to wait until their leases are over.
    if let Some(before) = lock.relay_before()
        && let Err(error) = store.end_leases(Leases::Of(&before)).await
    {
        return Err(failed(1, &error));
    }
    let records = Records { store, spill, recordings: recordings.map(Arc::new) };
    let app =
        App::new(config, verifier, records, prices).with_upstreams(upstreams).with_tool_client(tool_client);
    let app = Arc::new(app.with_tls(tls).with_traces(traces));
    lock.note_relay(&app.live.relay_id);
    app.config.providers.keys().for_each(|name| telemetry::provider(name));
    if let Some((listener, telemetry)) = metrics {
        app.live.tasks.spawn(telemetry::serve(listener, telemetry, Arc::clone(&app)));
    }
    app.admission.verifier.warm_up().await;
    crate::prepare(&app).await;
    // Nobody can connect before it answers: a load balancer goes on to another relay at once where it cannot, and waits where it can.
    let listener = match socket.listen(BACKLOG) {
        Ok(listener) => listener,
        Err(error) => return Err(failed(1, &format!("cannot listen on {address}: {error}"))),
    };
    lock.note_doing(&format!("listening on {address}"));
    Ok(Started { app, listener, address, lock })
}

/// What prints a token for this relay, in whatever folder of this machine it is typed.
fn token_command(data_dir: &Path) -> String {
    // One that was found by its name alone is found again.
    let is_known = std::env::args_os().next().is_some_and(|name| Path::new(&name).components().count() == 1);
    let program = std::env::current_exe().ok().filter(|_| !is_known);
    let program = program.map_or_else(|| "voxrelay".to_owned(), |program| for_shell(&program));
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    format!("VOXRELAY_DATA_DIR={} {program} token --sub me", for_shell(&data_dir))
}

/// A path as a shell takes it for one word.
fn for_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-+:@%,".contains(char);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// A port of this relay's own, to which nobody can connect yet. One that somebody listens on is refused at once.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The connections of a relay that is gone keep nobody from its port for a minute. On Windows the option lets two relays have one port.
    if cfg!(not(windows)) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

async fn open_store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(url) = &config.database_url {
        let store = wait_for(url).await?;
        store.check_whole().await?;
        return Ok(Arc::new(store));
    }
    let file = config.data_dir.join(DATABASE_FILE);
    let store = SqlStore::sqlite(&file).await?;
    store.check_whole().await.map_err(|error| error.of(&file))?;
    // The data folder is held by this relay: whatever was left there was left by one that is gone.
    store.end_leases(Leases::OfAllBut("")).await.map_err(|error| error.of(&file))?;
    Ok(Arc::new(store))
}

/// A database that is started with the relay may take its time. What waiting does not help is said at once.
async fn wait_for(url: &Secret) -> Result<SqlStore, StoreError> {
    let end = Instant::now() + DATABASE_PATIENCE;
    loop {
        match SqlStore::postgres(url).await {
            Err(error) if error.is_starting() && Instant::now() < end => {
                tracing::warn!(%error, "waiting for the database");
                sleep(DATABASE_RETRY).await;
            }
            opened => return opened,
        }
    }
}

/// The providers, ready to be asked. A relay without providers needs no certificates.
fn upstreams(config: &Config) -> Result<Upstreams, String> {
    let upstreams = config.providers.values().map(|provider| {
        let upstream = Upstream::new(provider.clone()).map_err(|error| no_client("providers", &error))?;
        Ok((provider.name.clone(), Arc::new(upstream)))
    });
    upstreams.collect()
}

/// What asks the tools that are webhooks. A relay without any needs no certificates.
pub(super) fn client_of_tools(config: &Config) -> Result<Option<reqwest::Client>, String> {
    let is_needed = config.tools.values().any(|tool| tool.webhook.is_some());
    is_needed.then(tool_client).transpose().map_err(|error| no_client("tools", &error))
}

pub(super) fn no_client(whom: &str, error: &reqwest::Error) -> String {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    format!(
        "the {whom} cannot be asked: {cause}; install the system's certificates, such as Debian's ca-certificates"
    )
}

fn open_recordings(config: &Config) -> Result<Option<Recordings>, RecordingError> {
    let open = |place| Recordings::new(place, &config.data_dir, config.recording_min_free, std::env::vars());
    config.recording.as_ref().map(open).transpose()
}

async fn listen_for_metrics(config: &Config) -> Result<Option<(TcpListener, Telemetry)>, String> {
    let Some(address) = config.metrics_listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("cannot listen on {address} for metrics: {error}"))?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, "metrics");
    let telemetry = Telemetry::install().ok_or("something else counts in this process")?;
    Ok(Some((listener, telemetry)))
}

/// Drains and stops the relay on SIGINT and SIGTERM. A second one stops it without waiting for its calls to go, and whatever comes while it stops
/// ends it at once.
fn stop_on_signals(mut signals: Signals, app: Arc<App>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        signals.next().await;
        let mut drained = pin!(drain(&app));
        tokio::select! {
            biased;
            () = drained.as_mut() => {}
            () = signals.next() => {
                tracing::info!("told once more: stopping; calls are told to come back elsewhere");
                app.live.shutdown.cancel();
            }
        }
        signals.next().await;
        log::finish();
        std::process::exit(1);
    })
}

/// SIGINT and SIGTERM, from when they are listened for: one that comes before it is waited for is kept, and none ends the process unheard.
#[cfg(unix)]
pub(super) struct Signals(Option<[tokio::signal::unix::Signal; 2]>);

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(interrupt), Ok(terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            // Nothing is logged yet. Nobody to tell if standard error is closed.
            let deaf = "signals cannot be caught; voxrelay stops without a goodbye";
            let _ = log::say(log::To::Log, "WARN", deaf);
            return Signals(None);
        };
        Signals(Some([interrupt, terminate]))
    }

    pub(super) async fn next(&mut self) {
        let Some([interrupt, terminate]) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> Signals {
        Signals
    }

    pub(super) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
