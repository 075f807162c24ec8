//! A configuration that is read again while the relay runs, when it is told to (SIGHUP): all of it applies at once, or, if anything is wrong with
//! it, none of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{faults, serve};
use crate::App;
use crate::config::Config;
use crate::operations::telemetry;
use crate::provider::{Provider, Upstream, Upstreams};

/// Where the configuration of a relay is.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The file.
    pub(super) path: Option<PathBuf>,
    /// Where to listen, whatever the file says.
    pub(super) listen: Option<SocketAddr>,
}

impl Source {
    /// Reads all of it, and says all that is wrong with it.
    pub(super) fn read(&self) -> Result<Config, String> {
        faults::examine(self.path.as_deref(), false, self.listen)
    }
}

/// SIGHUP, from when it is listened for: one that comes before it is waited for is kept, and none ends the process.
#[cfg(unix)]
pub(super) struct Hangups(std::io::Result<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Hangups {
    pub(super) fn listen() -> Hangups {
        use tokio::signal::unix::{SignalKind, signal};
        Hangups(signal(SignalKind::hangup()))
    }
}

/// There is no such signal here.
#[cfg(not(unix))]
pub(super) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    pub(super) fn listen() -> Hangups {
        Hangups
    }
}

/// Reads the configuration again with each SIGHUP, at once if one came while the relay was starting: what it started with was read before.
#[cfg(unix)]
pub(super) fn on_hangup(hangups: Hangups, source: Source, apps: watch::Sender<Arc<App>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut hangups = match hangups.0 {
            Ok(hangups) => hangups,
            Err(error) => return tracing::warn!(%error, "the configuration cannot be read again"),
        };
        while hangups.recv().await.is_some() {
            reload(&source, &apps).await;
        }
    })
}

/// Nothing is read again.
#[cfg(not(unix))]
pub(super) fn on_hangup(_hangups: Hangups, _source: Source, apps: watch::Sender<Arc<App>>) -> JoinHandle<()> {
    tokio::spawn(async move { apps.closed().await })
}

async fn reload(source: &Source, apps: &watch::Sender<Arc<App>>) {
    let (source, old) = (source.clone(), Arc::clone(&apps.borrow()));
    let before = Arc::clone(&old);
    let Ok(read) = spawn_blocking(move || renewed(&source, &old)).await else {
        return tracing::error!("the configuration was not read again: the reading of it has failed");
    };
    match read {
        Ok((app, waiting)) => {
            app.config.providers.keys().for_each(|name| telemetry::provider(name));
            for upstream in replaced(&before.upstreams, &app.upstreams) {
                upstream.retire();
            }
            for key in waiting {
                tracing::warn!("{key} differs, and needs a restart: what applied before goes on");
            }
            if let Some(tls) = app.tls.clone() {
                // Fails only while the runtime ends.
                let _ = spawn_blocking(move || tls.renew(true)).await;
            }
            // A token that is looked at in between is looked at with the new keys and the old limits, each of them whole.
            app.admission.verifier.renew(&app.config.auth);
            apps.send_replace(Arc::new(app));
        }
        Err(faults) => {
            for fault in faults.lines() {
                tracing::error!("{fault}");
            }
            tracing::error!("the configuration was read again and is wrong: nothing has changed");
        }
    }
}

/// The relay with its configuration as it is now, and what of it waits for a restart. What has not changed is kept, with its connections and with
/// what is known of it.
fn renewed(source: &Source, old: &App) -> Result<(App, Vec<&'static str>), String> {
    let (config, waiting) = old.config.renewed(source.read()?);
    if let Some(path) = &source.path {
        note_file(path);
    }
    let prices = faults::price_table(&config)?;
    for old in faults::old_prices(&config, &prices) {
        tracing::warn!("{old}");
    }
    let upstreams = upstreams(&config, &old.upstreams)?;
    let tool_client = match &old.tool_client {
        Some(client) => Some(client.clone()),
        None => serve::client_of_tools(&config)?,
    };
    Ok((old.renewed(config, prices, upstreams, tool_client), waiting))
}

/// Says which file was read, and when it was written: in a container that may be an older one than whoever changed it has before them.
fn note_file(path: &Path) {
    let written = fs::metadata(path).and_then(|file| file.modified()).ok();
    let written = written.and_then(|at| Timestamp::try_from(at).ok()).map(tracing::field::display);
    tracing::info!(file = %path.display(), written, "the configuration is read again from this file");
}

fn upstreams(config: &Config, old: &Upstreams) -> Result<Upstreams, String> {
    let upstream = |provider: &Provider| match old.get(&provider.name) {
        Some(known) if known.provider() == provider => Ok(Arc::clone(known)),
        _ => Upstream::new(provider.clone())
            .map(Arc::new)
            .map_err(|error| serve::no_client("providers", &error)),
    };
    config.providers.values().map(|provider| Ok((provider.name.clone(), upstream(provider)?))).collect()
}

/// Those that are not among the new ones: their providers are configured otherwise, or not at all.
fn replaced<'u>(old: &'u Upstreams, new: &Upstreams) -> Vec<&'u Arc<Upstream>> {
    let named = old.iter().map(|(name, upstream)| (new.get(name), upstream));
    let gone = named.filter(|(newest, old)| !newest.is_some_and(|newest| Arc::ptr_eq(newest, old)));
    gone.map(|(_, old)| old).collect()
}
