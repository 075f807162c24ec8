//! What the operator decides: defaults, then a TOML file, then the environment, each over the one before.
//!
//! A variable is named like its key: `VOXRELAY_LISTEN`, `VOXRELAY_LIMITS__SESSION_MINUTES`. Everything is checked on start,
//! and an error names the key, what was given and what is accepted.

mod file;
mod origins;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Codec;

use crate::money::NanoUsd;
pub use origins::Origins;

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the database and the development secret live.
    pub data_dir: PathBuf,
    /// Whether this is `voxrelay dev`: the demo page and its tokens are served.
    pub dev: bool,
    /// Whose tokens are good.
    pub auth: AuthConfig,
    /// Which pages may call.
    pub origins: Origins,
    /// What a session may do.
    pub limits: Limits,
    /// How often a client is to send `ping`.
    pub heartbeat: Duration,
    /// How long a session without a connection is kept.
    pub resume_window: Duration,
    /// How long running calls may take to end when the relay stops.
    pub shutdown_grace: Duration,
    /// The echo agent.
    pub echo: EchoConfig,
    /// Where received audio is written as WAV; nothing is if there is no folder.
    pub recording_dir: Option<PathBuf>,
    /// How to log.
    pub log: LogConfig,
}

/// Whose tokens are good.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The secret shared with whoever mints tokens.
    pub hs256_secret: Option<Secret>,
    /// Where the minter publishes its public keys (JWKS).
    pub jwks_url: Option<reqwest::Url>,
    /// Accepted `iss` claims; never empty.
    pub issuers: Vec<String>,
    /// Accepted `aud` claims; never empty.
    pub audiences: Vec<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// What a session, a user and this relay may do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest duration of a session.
    pub session: Duration,
    /// Longest time without audio or a message other than `ping`.
    pub idle: Duration,
    /// Shortest payload of an audio frame, in bytes.
    pub chunk_min_bytes: u32,
    /// Longest payload of an audio frame, in bytes.
    pub chunk_max_bytes: u32,
    /// Audio that may come faster than real time.
    pub burst: Duration,
    /// What a session may cost.
    pub budget: NanoUsd,
    /// WebSocket connections this relay serves at a time.
    pub max_connections: usize,
    /// Sessions a user may have at a time.
    pub sessions_per_user: u32,
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

/// Why the configuration is not good. The text names the key, what was given and what is accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read, is not TOML, or a key is unknown or of the wrong type.
    #[error("configuration: {0}")]
    Source(#[from] config::ConfigError),
    /// A value is outside of what is accepted.
    #[error("configuration: {key} = {given}: {accepted}")]
    Value {
        /// The key, with dots.
        key: &'static str,
        /// What was given.
        given: String,
        /// What is accepted.
        accepted: String,
    },
    /// A key is missing.
    #[error("configuration: {key} is missing: {why}")]
    Missing {
        /// The key, with dots.
        key: &'static str,
        /// Why it is needed.
        why: &'static str,
    },
}

impl Config {
    /// Reads the file, if one is named, and then the variables that start with `VOXRELAY_`.
    ///
    /// # Errors
    /// When the file cannot be read, or a key is unknown, of the wrong type or out of range.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        file::load(path, environment)
    }

    /// What applies when nothing is configured.
    ///
    /// # Panics
    /// Never: a test loads the defaults.
    #[must_use]
    pub fn defaults() -> Config {
        Config::load(None, []).expect("a test loads the defaults")
    }

    /// The largest WebSocket message taken from a client, in bytes. Twice the largest chunk, so that a chunk that is somewhat
    /// too large can still be answered with an error instead of the end of the call.
    #[must_use]
    pub fn message_max_bytes(&self) -> usize {
        (2 * self.limits.chunk_max_bytes as usize + protocol::HEADER_LEN).max(16 * 1024)
    }
}

impl Limits {
    /// As `welcome` tells them.
    #[must_use]
    pub fn to_message(&self) -> protocol::Limits {
        protocol::Limits {
            session_ms: millis(self.session),
            idle_ms: millis(self.idle),
            chunk_min_bytes: self.chunk_min_bytes,
            chunk_max_bytes: self.chunk_max_bytes,
            burst_ms: u32::try_from(self.burst.as_millis()).unwrap_or(u32::MAX),
            budget_nano_usd: self.budget.get(),
        }
    }
}

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: String) -> Secret {
        Secret(secret)
    }

    /// The secret itself, for the one place that signs or verifies.
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
