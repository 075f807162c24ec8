use std::fmt;
use std::path::Path;

/// Why the configuration is not good. The text names the key, what was given, what is accepted, and where it was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read or is not TOML.
    #[error("configuration: {0}")]
    Source(#[from] config::ConfigError),
    /// There is no such key.
    #[error("configuration: there is no key {key}: {accepted}{place}")]
    Unknown {
        /// The key, with dots.
        key: String,
        /// Where it was given.
        place: Place,
        /// What is accepted.
        accepted: String,
    },
    /// A value is outside of what is accepted.
    #[error("configuration: {key} = {given}: {accepted}{place}")]
    Value {
        /// The key, with dots.
        key: String,
        /// Where it was given.
        place: Place,
        /// What was given; a secret only as its length.
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
    /// Two keys that cannot both be given.
    #[error("configuration: {key} and {other} cannot both be given: {why}{place}")]
    Conflict {
        /// The one key, with dots.
        key: &'static str,
        /// Where it was given.
        place: Place,
        /// The other.
        other: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// Several of these at once.
    #[error("{}", lines(.0))]
    Many(Vec<ConfigError>),
}

impl ConfigError {
    /// Whether the other one is there only because of this one: what was taken out because it is wrong is not missing.
    pub(super) fn explains(&self, other: &ConfigError) -> bool {
        matches!((self, other), (ConfigError::Value { key, .. }, ConfigError::Missing { key: missing, .. }) if key == missing)
    }
}

/// Where a value was given: the file and the line, or the name of the variable; nowhere if it is a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(pub(super) Option<String>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Why a file cannot be read, in words: of a folder the system says so only after a number.
#[must_use]
pub fn unreadable(path: &Path, error: &dyn fmt::Display) -> String {
    if path.is_dir() { "it is a folder: name the file in it".to_owned() } else { error.to_string() }
}
