/// Why the configuration is not good. The text names the key, what was given and what is accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read or is not TOML.
    #[error("configuration: {0}")]
    Source(#[from] config::ConfigError),
    /// There is no such key.
    #[error("configuration: there is no key {key}: {accepted}")]
    Unknown {
        /// The key, with dots.
        key: String,
        /// What is accepted.
        accepted: String,
    },
    /// A value is outside of what is accepted.
    #[error("configuration: {key} = {given}: {accepted}")]
    Value {
        /// The key, with dots.
        key: String,
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
    #[error("configuration: {key} and {other} cannot both be given: {why}")]
    Conflict {
        /// The one key, with dots.
        key: &'static str,
        /// The other.
        other: &'static str,
        /// Why not.
        why: &'static str,
    },
}
