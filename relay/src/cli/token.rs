use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::{answered, failed};
use crate::admission::auth::{self, Bearer};
use crate::config::Config;

/// Options of `voxrelay token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Who the token is for: its `sub` claim.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    sub: String,
    /// Who pays: sessions and budgets of an account are counted together.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    account: Option<String>,
    /// The plan whose limits apply.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    plan: Option<String>,
    /// A role of theirs; once for each: the one of `auth.admin_role` may use `/v1/admin`, and that of `auth.reader_role` read what others said.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    role: Vec<String>,
    /// An agent that they may speak with; once for each, or * for all of them. Without it, that is the default one alone.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    agent: Vec<String>,
    /// How long it is good: a number and s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    ttl: Duration,
    /// Sign with the secret of this configuration. Without one configured, with the secret of the data folder, which is made if
    /// it is not there.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &TokenArgs) -> ExitCode {
    let mut config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    if !config.auth.has_key() {
        match auth::development_secret(&config.data_dir) {
            Ok(secret) => config.auth.hs256_secret = Some(secret),
            Err(error) => return failed(1, &format!("the development secret: {error}")),
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let bearer = Bearer {
        sub: &args.sub,
        account: args.account.as_deref(),
        plan: args.plan.as_deref(),
        roles: &args.role,
        agents: &args.agent,
    };
    match auth::mint_for(&config.auth, bearer, now, args.ttl) {
        Ok(token) => answered(&token),
        Err(error) => failed(2, &error),
    }
}

/// A time as a number and its unit.
pub(super) fn duration(given: &str) -> Result<Duration, String> {
    let wrong = || "give a number and s, m, h or d, such as 90s or 1h, at most 365d".to_owned();
    let (number, seconds) = match given.char_indices().last() {
        Some((at, 's')) => (&given[..at], 1),
        Some((at, 'm')) => (&given[..at], 60),
        Some((at, 'h')) => (&given[..at], 3_600),
        Some((at, 'd')) => (&given[..at], 86_400),
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(seconds) {
        Some(total @ 1..=31_536_000) => Ok(Duration::from_secs(total)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3_600)));
        for wrong in ["", "h", "1", "-1h", "0s", "366d", "99999999999999999999d", "1µ"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
