//! Where faults are told, beside the log.

use reqwest::Url;
use sentry::types::Dsn;

use super::values::Values;
use super::{ConfigError, Secret};
use crate::operations::outbound::is_safe_url;

/// A project at Sentry, or at what speaks as it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentry {
    /// Its address, with its key.
    pub dsn: Secret,
    /// What this relay is run for.
    pub environment: String,
}

impl Sentry {
    pub(super) fn check(values: &Values) -> Result<Option<Sentry>, ConfigError> {
        const DSN: &str = "sentry.dsn";
        let environment = values.word("sentry.environment")?;
        let Some(dsn) = values.hidden(DSN)? else { return Ok(None) };
        let is_safe = Url::parse(dsn.expose()).is_ok_and(|url| is_safe_url(&url));
        if !is_safe || dsn.expose().parse::<Dsn>().is_err() {
            let accepted = "give https://KEY@HOST/PROJECT, as Sentry shows it (http:// only for localhost)";
            return Err(values.wrong(DSN, "[secret]", accepted));
        }
        Ok(Some(Sentry { dsn, environment }))
    }
}
