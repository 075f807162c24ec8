//! The shape of the file and of the environment, and the checks on it.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Environment, File, FileFormat};
use protocol::Codec;
use reqwest::Url;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Unexpected, Visitor};

use super::{AuthConfig, Config, ConfigError, EchoConfig, Limits, LogConfig, LogFormat, Origins, Secret};
use crate::money::NanoUsd;

/// RFC 7518, 3.2: a key as long as the hash, at least.
const SECRET_MIN_BYTES: usize = 32;

/// Variables that start like ours and are not configuration: options of the command line, and what Kubernetes sets in every
/// container for a service named `voxrelay`.
fn is_foreign(name: &str) -> bool {
    matches!(name, "VOXRELAY_CONFIG" | "VOXRELAY_TOKEN" | "VOXRELAY_PORT")
        || name.starts_with("VOXRELAY_SERVICE_")
        || name.starts_with("VOXRELAY_PORT_")
}

pub(super) fn load(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let environment: HashMap<String, String> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with("VOXRELAY_") && !is_foreign(name))
        .collect();
    let mut builder = config::Config::builder();
    if let Some(path) = path {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    let environment =
        Environment::with_prefix("VOXRELAY").prefix_separator("_").separator("__").source(Some(environment));
    let root: Root = builder.add_source(environment).build()?.try_deserialize()?;
    root.check()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct Root {
    listen: String,
    data_dir: PathBuf,
    origins: List,
    require_origin: bool,
    heartbeat_seconds: i64,
    resume_window_seconds: i64,
    shutdown_grace_seconds: i64,
    auth: Auth,
    limits: LimitsSection,
    echo: Echo,
    recording: Recording,
    log: Log,
}

impl Default for Root {
    fn default() -> Root {
        Root {
            listen: "127.0.0.1:8080".into(),
            data_dir: "voxrelay-data".into(),
            origins: List(vec!["same-origin".into()]),
            require_origin: false,
            heartbeat_seconds: 15,
            resume_window_seconds: 120,
            shutdown_grace_seconds: 4,
            auth: Auth::default(),
            limits: LimitsSection::default(),
            echo: Echo::default(),
            recording: Recording::default(),
            log: Log::default(),
        }
    }
}

impl Root {
    fn check(self) -> Result<Config, ConfigError> {
        let listen = self.listen.parse().map_err(|_| ConfigError::Value {
            key: "listen",
            given: quote(&self.listen),
            accepted: "give an address and a port, such as 127.0.0.1:8080 or [::]:8080".into(),
        })?;
        Ok(Config {
            listen,
            data_dir: self.data_dir,
            dev: false,
            auth: self.auth.check()?,
            origins: Origins::parse(&self.origins.0, self.require_origin)?,
            limits: self.limits.check()?,
            heartbeat: seconds("heartbeat_seconds", self.heartbeat_seconds, 1..=120)?,
            resume_window: seconds("resume_window_seconds", self.resume_window_seconds, 0..=3_600)?,
            shutdown_grace: seconds("shutdown_grace_seconds", self.shutdown_grace_seconds, 0..=600)?,
            echo: self.echo.check()?,
            recording_dir: self.recording.dir,
            log: self.log.check()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct Auth {
    hs256_secret: Option<String>,
    jwks_url: Option<String>,
    issuer: List,
    audience: List,
    leeway_seconds: i64,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            hs256_secret: None,
            jwks_url: None,
            issuer: List(Vec::new()),
            audience: List(Vec::new()),
            leeway_seconds: 5,
        }
    }
}

impl Auth {
    fn check(self) -> Result<AuthConfig, ConfigError> {
        let hs256_secret = match self.hs256_secret {
            Some(secret) if secret.len() < SECRET_MIN_BYTES => {
                return Err(ConfigError::Value {
                    key: "auth.hs256_secret",
                    given: format!("[{} bytes]", secret.len()),
                    accepted: format!(
                        "give at least {SECRET_MIN_BYTES} bytes, such as `openssl rand -base64 48` makes"
                    ),
                });
            }
            other => other.map(Secret::new),
        };
        let jwks_url = self.jwks_url.map(|url| check_jwks_url(&url)).transpose()?;
        // Whoever signs for others as well has to be told apart from them. A secret is shared with one minter only.
        let name = |key, list: List| match (list.0.is_empty(), jwks_url.is_some()) {
            (false, _) => Ok(list.0),
            (true, false) => Ok(vec!["voxrelay".to_owned()]),
            (true, true) => Err(ConfigError::Missing {
                key,
                why: "tokens signed by the keys of auth.jwks_url have to say so",
            }),
        };
        Ok(AuthConfig {
            issuers: name("auth.issuer", self.issuer)?,
            audiences: name("auth.audience", self.audience)?,
            hs256_secret,
            leeway: seconds("auth.leeway_seconds", self.leeway_seconds, 0..=300)?,
            jwks_url,
        })
    }
}

/// Whoever can change the answer can sign tokens, so it has to come over TLS, unless it never leaves the machine.
fn check_jwks_url(given: &str) -> Result<Url, ConfigError> {
    Url::parse(given).ok().filter(crate::auth::is_safe_key_url).ok_or_else(|| ConfigError::Value {
        key: "auth.jwks_url",
        given: quote(given),
        accepted: "give an https:// URL (http:// only for localhost)".into(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct LimitsSection {
    session_minutes: i64,
    idle_minutes: i64,
    chunk_min_bytes: i64,
    chunk_max_bytes: i64,
    burst_seconds: i64,
    budget_usd: Dollars,
    max_connections: i64,
    sessions_per_user: i64,
}

impl Default for LimitsSection {
    fn default() -> LimitsSection {
        LimitsSection {
            session_minutes: 30,
            idle_minutes: 10,
            chunk_min_bytes: 100,
            chunk_max_bytes: 100_000,
            burst_seconds: 65,
            budget_usd: Dollars("5".into()),
            max_connections: 10_000,
            sessions_per_user: 3,
        }
    }
}

impl LimitsSection {
    fn check(self) -> Result<Limits, ConfigError> {
        let chunk_min_bytes = number("limits.chunk_min_bytes", self.chunk_min_bytes, 2..=1_000_000)?;
        let chunk_max_bytes = number("limits.chunk_max_bytes", self.chunk_max_bytes, 2..=1_000_000)?;
        if chunk_max_bytes < chunk_min_bytes {
            return Err(ConfigError::Value {
                key: "limits.chunk_max_bytes",
                given: chunk_max_bytes.to_string(),
                accepted: format!("give at least limits.chunk_min_bytes ({chunk_min_bytes})"),
            });
        }
        let budget = NanoUsd::parse(&self.budget_usd.0).map_err(|error| ConfigError::Value {
            key: "limits.budget_usd",
            given: quote(&self.budget_usd.0),
            accepted: error.to_string(),
        })?;
        Ok(Limits {
            session: 60 * seconds("limits.session_minutes", self.session_minutes, 1..=1_440)?,
            idle: 60 * seconds("limits.idle_minutes", self.idle_minutes, 1..=1_440)?,
            chunk_min_bytes,
            chunk_max_bytes,
            burst: seconds("limits.burst_seconds", self.burst_seconds, 1..=600)?,
            budget,
            max_connections: number("limits.max_connections", self.max_connections, 1..=1_000_000)? as usize,
            sessions_per_user: number("limits.sessions_per_user", self.sessions_per_user, 1..=10_000)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct Echo {
    rate: i64,
}

impl Default for Echo {
    fn default() -> Echo {
        Echo { rate: 24_000 }
    }
}

impl Echo {
    fn check(&self) -> Result<EchoConfig, ConfigError> {
        let codec = match self.rate {
            16_000 => Codec::PcmS16le16000,
            24_000 => Codec::PcmS16le24000,
            other => {
                return Err(ConfigError::Value {
                    key: "echo.rate",
                    given: other.to_string(),
                    accepted: "give 16000 or 24000".into(),
                });
            }
        };
        Ok(EchoConfig { codec })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct Recording {
    dir: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct Log {
    format: String,
    level: String,
}

impl Default for Log {
    fn default() -> Log {
        Log { format: "text".into(), level: "info".into() }
    }
}

impl Log {
    fn check(self) -> Result<LogConfig, ConfigError> {
        let format = match self.format.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                return Err(ConfigError::Value {
                    key: "log.format",
                    given: quote(other),
                    accepted: "give \"text\" or \"json\"".into(),
                });
            }
        };
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.level) {
            return Err(ConfigError::Value {
                key: "log.level",
                given: quote(&self.level),
                accepted: format!(
                    "give error, warn, info, debug or trace, or such as info,relay=debug ({error})"
                ),
            });
        }
        Ok(LogConfig { format, level: self.level })
    }
}

/// A list, or one text with commas, which is what a variable can hold.
struct List(Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts, none of them empty")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<List, E> {
                let texts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
                match texts.iter().any(String::is_empty) {
                    true => Err(E::invalid_value(Unexpected::Str(text), &self)),
                    false => Ok(List(texts)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    if text.trim().is_empty() {
                        return Err(de::Error::invalid_value(Unexpected::Str(&text), &self));
                    }
                    texts.push(text);
                }
                Ok(List(texts))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

/// An amount as it is written. A TOML float is read by its shortest decimal form, which is what the operator wrote.
struct Dollars(String);

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Dollars, D::Error> {
        struct Form;

        impl Visitor<'_> for Form {
            type Value = Dollars;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in US dollars such as 5 or \"0.50\"")
            }

            fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Dollars, E> {
                Ok(Dollars(whole.to_string()))
            }

            fn visit_f64<E: de::Error>(self, decimal: f64) -> Result<Dollars, E> {
                Ok(Dollars(decimal.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Dollars, E> {
                Ok(Dollars(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

fn seconds(key: &'static str, given: i64, accepted: RangeInclusive<u32>) -> Result<Duration, ConfigError> {
    number(key, given, accepted).map(|seconds| Duration::from_secs(seconds.into()))
}

fn number(key: &'static str, given: i64, accepted: RangeInclusive<u32>) -> Result<u32, ConfigError> {
    u32::try_from(given).ok().filter(|number| accepted.contains(number)).ok_or_else(|| ConfigError::Value {
        key,
        given: given.to_string(),
        accepted: format!("give {} to {}", accepted.start(), accepted.end()),
    })
}

fn quote(given: impl Display) -> String {
    format!("{:?}", given.to_string())
}
