//! `voxrelay credit`: gives an account back what it was charged by mistake, at a relay that runs.

use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::civil::Date;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use super::asking::{ask, refused, relay_url};
use super::{answered, failed};
use crate::NanoUsd;

/// Options of `voxrelay credit`.
#[derive(Debug, Args)]
pub(super) struct CreditArgs {
    /// The relay, such as http://127.0.0.1:8080
    #[arg(value_parser = relay_url)]
    url: Url,
    /// The access token of an administrator, such as `voxrelay token --role voxrelay_admin` prints.
    #[arg(long, env = "VOXRELAY_TOKEN", hide_env_values = true)]
    token: String,
    /// The account that was charged.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    account: String,
    /// The user whose charges they were: with it the user's day is lowered as well, otherwise the account's month alone.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    user: Option<String>,
    /// The day (UTC) of the charges, such as 2026-12-31.
    #[arg(long, value_name = "DAY")]
    day: Date,
    /// How much is given back, in US dollars, such as 1.25: no more than was charged for that day and not given back yet.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    usd: NanoUsd,
    /// Why, for administrators.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// What the credit is known by, so that it is given once however often it is sent. Without it, one is made up.
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    key: Option<String>,
}

fn amount(given: &str) -> Result<NanoUsd, String> {
    match NanoUsd::parse(given) {
        Ok(NanoUsd::ZERO) => Err("nothing is no credit".to_owned()),
        Ok(amount) => Ok(amount),
        Err(error) => Err(error.to_string()),
    }
}

/// Gives the credit, and says what is spent then.
pub(super) async fn run(args: CreditArgs) -> ExitCode {
    let key = args.key.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let body = json!({
        "key": key, "account": args.account, "user_sub": args.user, "day": args.day.to_string(),
        "amount_nano_usd": args.usd.get(), "reason": args.reason,
    });
    let (status, answer) = match ask(&args.url, &args.token, Method::POST, "/v1/admin/credits", Some(&body))
        .await
    {
        Ok(answer) => answer,
        Err(error) => {
            let why = format!(
                "no answer of {}: {error}; whether the credit is given is not known: with --key {key} it is given once, however often you try",
                args.url
            );
            return failed(1, &why);
        }
    };
    match status {
        StatusCode::CREATED => answered(&summary(&args, &key, &answer, "is given back to")),
        StatusCode::OK => answered(&summary(&args, &key, &answer, "was given back before to")),
        _ => failed(1, &refused(&args.url, status, &answer)),
    }
}

fn summary(args: &CreditArgs, key: &str, answer: &Value, what: &str) -> String {
    let spent = |field: &str| answer[field].as_u64().map(NanoUsd::new);
    let mut lines = vec![format!("{} of {} {what} {} (key {key})", args.usd, args.day, args.account)];
    if let (Some(user), Some(spent)) = (&args.user, spent("user_spent_nano_usd")) {
        lines.push(format!("spent by {user} on that day: {spent}"));
    }
    if let Some(spent) = spent("account_spent_nano_usd") {
        lines.push(format!("spent by {} in that month: {spent}", args.account));
    }
    lines.join("\n")
}
