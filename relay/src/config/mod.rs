//! What the operator decides: defaults, then a TOML file, then the environment, each over the one before.
//!
//! A variable is named like its key: `VOXRELAY_LISTEN`, `VOXRELAY_LIMITS__SESSION_MINUTES`. Everything is checked on start,
//! and an error names the key, what was given and what is accepted. The table of all keys is `keys`; what it says is what is
//! read, checked and documented.

mod agents;
mod alerts;
mod auth;
mod check;
mod drain;
mod error;
mod keys;
mod limits;
mod network;
mod origins;
mod public_key;
mod reconcile;
mod reference;
mod renewed;
#[cfg(test)]
mod tests;
mod tools;
mod traces;
mod tracker;
mod values;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Codec;
use reqwest::Url;

use crate::money::reconcile::Mapping;
use crate::provider::Provider;
pub use agents::{AgentConfig, AgentKind, ECHO};
pub use alerts::Alerts;
pub use auth::{AuthConfig, ClaimPath, ClaimPaths};
pub use drain::Drain;
pub use error::{ConfigError, Place, unreadable};
pub use limits::{Limits, TokenLimits, TokenUsd};
pub use network::{Network, TlsFiles};
pub use origins::Origins;
pub(crate) use public_key::RSA_BITS;
pub use public_key::{PublicKey, PublicKeyError};
pub use reference::reference;
pub use tools::ToolConfig;
pub use traces::Traces;
pub use tracker::Sentry;
use values::Values;
pub(crate) use values::as_variable;
pub use webhooks::EventHook;

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where what is configured was given, by key.
    given: BTreeMap<String, Place>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the SQLite database and the development secret live.
    pub data_dir: PathBuf,
    /// The PostgreSQL database; SQLite in the data folder if there is none. Its password is in it.
    pub database_url: Option<Secret>,
    /// Whether this is `voxrelay dev`: the demo page and its tokens are served.
    pub dev: bool,
    /// Whose tokens are good.
    pub auth: AuthConfig,
    /// Which pages may call.
    pub origins: Origins,
    /// What a session, its user and its account may do without a plan.
    pub limits: Limits,
    /// What they may do with one, by its name.
    pub plans: BTreeMap<String, Limits>,
    /// What an address may do.
    pub network: Network,
    /// How often a client is to send `ping`.
    pub heartbeat: Duration,
    /// How long a session without a connection is kept.
    pub resume_window: Duration,
    /// How the relay goes when it is told to stop.
    pub drain: Drain,
    /// How long running calls may take to end when the relay stops.
    pub shutdown_grace: Duration,
    /// How long running calls go on while the database is away.
    pub store_grace: Duration,
    /// How long things are kept.
    pub retention: Retention,
    /// Where alerts are sent.
    pub webhook: Option<Webhook>,
    /// Who is told what happens, by name.
    pub webhooks: BTreeMap<String, EventHook>,
    /// From when on something is wrong with the service, so that an alert is sent.
    pub alerts: Alerts,
    /// Where calls are recorded; they are not if it says nothing.
    pub recording: Option<RecordingPlace>,
    /// Whether all relays of the database have that folder, if it is one.
    pub recording_is_shared: bool,
    /// Bytes that recordings leave free on the disk of the data folder.
    pub recording_min_free: u64,
    /// Whether the page of a call is told that somebody listens in.
    pub tells_of_listening: bool,
    /// Where metrics are served, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Where traces go, if anywhere.
    pub traces: Option<Traces>,
    /// Where faults are told, beside the log.
    pub sentry: Option<Sentry>,
    /// A price table instead of the shipped one.
    pub prices_file: Option<PathBuf>,
    /// Requests of one user to the HTTP API in a minute.
    pub api_requests_per_minute: u32,
    /// How many preflights a user may make in a minute.
    pub preflights_per_minute: u32,
    /// The agents that calls may have, by name, beside the echo.
    pub agents: BTreeMap<String, AgentConfig>,
    /// The tools that agents may have, by name.
    pub tools: BTreeMap<String, ToolConfig>,
    /// The agent of a call that names none.
    pub default_agent: String,
    /// The speech and language providers, by name.
    pub providers: BTreeMap<String, Provider>,
    /// How the usage exports of providers read, by name.
    pub reconcile: BTreeMap<String, Mapping>,
    /// The echo agent.
    pub echo: EchoConfig,
    /// How to log.
    pub log: LogConfig,
}

/// How many days things are kept; for ever if it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Transcripts.
    pub transcript_days: Option<u32>,
    /// Recordings.
    pub recording_days: Option<u32>,
}

/// Where messages are sent that are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The address: https, or on this machine.
    pub url: Url,
    /// What they are signed with, each with every one of them: there is one at least, and each has at least 32 bytes.
    pub secrets: Vec<Secret>,
}

/// Where recordings go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordingPlace {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, `s3://bucket/prefix`.
    Bucket(Url),
}

/// The echo agent.
#[derive(Clone, Debug)]
pub struct EchoConfig {
    /// Codec of what it says back: 16 or 24 kHz.
    pub codec: Codec,
}

/// How to log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// A level, or directives such as `info,relay=debug`.
    pub level: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line a person reads.
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that never shows in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Config {
    /// Reads the file, if one is named, and then the variables that start with `VOXRELAY_`, and `DATABASE_URL`.
    ///
    /// # Errors
    /// When the file cannot be read, or a key is unknown, of the wrong type or out of range.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let (config, mut faults) = Config::examine(path, environment)?;
        match (faults.pop(), faults.is_empty()) {
            (None, _) => Ok(config),
            (Some(only), true) => Err(only),
            (Some(last), false) => {
                faults.push(last);
                Err(ConfigError::Many(faults))
            }
        }
    }

    /// Reads as [`Config::load`] does and finds everything that is wrong: the faults, and what the configuration is without them.
    ///
    /// # Errors
    /// When the file cannot be read, or nothing can be made of it.
    pub fn examine(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Config, Vec<ConfigError>), ConfigError> {
        let (mut values, mut faults) = Values::read(path, environment)?;
        loop {
            // What was found is taken out, and what is left is looked at again.
            match Config::check(&values) {
                Ok(config) => return Ok((config, faults)),
                Err(fault) if values.repair(&fault) => {
                    if !faults.iter().any(|found| found.explains(&fault)) {
                        faults.push(fault);
                    }
                }
                Err(fault) if faults.is_empty() => return Err(fault),
                Err(fault) => {
                    faults.push(fault);
                    return Err(ConfigError::Many(faults));
                }
            }
        }
    }

    /// Whether the operator gave a key.
    #[must_use]
    pub fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Where a key was given.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        self.given.get(key).cloned().unwrap_or_default()
    }

    /// What [`Config::load`] would find, a line for each key, with where it comes from; secrets are not shown.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn explain(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<String, ConfigError> {
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let config = Config::load(path, environment.iter().cloned())?;
        let (values, _) = Values::read(path, environment)?;
        Ok(reference::explain(&values, &config))
    }

    /// What applies when nothing is configured.
    ///
    /// # Panics
    /// Never: a test loads the defaults.
    #[must_use]
    pub fn defaults() -> Config {
        Config::load(None, []).expect("a test loads the defaults")
    }

    /// What a caller may do: the limits of the plan that their token names, or the default ones if there is no such plan, each as tight as
    /// their token wants it.
    #[must_use]
    pub fn limits_for(&self, plan: Option<&str>, token: &TokenLimits) -> Limits {
        let plan = plan.and_then(|plan| self.plans.get(plan));
        plan.unwrap_or(&self.limits).tightened(token)
    }

    /// The largest WebSocket message taken from a client, in bytes. Twice the largest chunk of any plan, so that a chunk that
    /// is somewhat too large can still be answered with an error instead of the end of the call.
    #[must_use]
    pub fn message_max_bytes(&self) -> usize {
        let limits = self.plans.values().chain([&self.limits]);
        let chunk = limits.map(|limits| limits.chunk_max_bytes as usize).max().unwrap_or_default();
        (2 * chunk + protocol::HEADER_LEN).max(protocol::MESSAGE_MAX_BYTES)
    }
}

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: String) -> Secret {
        Secret(secret)
    }

    /// The secret itself, for the one place that uses it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
