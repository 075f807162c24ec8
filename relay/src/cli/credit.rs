//! `voxrelay credit`: gives an account back what it was charged by mistake, at a relay that runs.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::civil::Date;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};

use super::{answered, failed};
use crate::NanoUsd;
use crate::operations::outbound;

/// How long the relay may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

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

/// The address of a relay, as a browser opens it; of what is none, what to write instead.
fn relay_url(given: &str) -> Result<Url, String> {
    let url: Url = given.parse().map_err(|_| "write an address such as http://127.0.0.1:8080".to_owned())?;
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        _ => return Err("begin with http:// or https://, such as http://127.0.0.1:8080".to_owned()),
    }
    match outbound::is_safe_url(&url) {
        true => Ok(url),
        false => Err("an administrator's token is sent over https:// only, or within the machine".to_owned()),
    }
}

/// Gives the credit, and says what is spent then.
pub(super) async fn run(args: CreditArgs) -> ExitCode {
    let key = args.key.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let body = json!({
        "key": key, "account": args.account, "user_sub": args.user, "day": args.day.to_string(),
        "amount_nano_usd": args.usd.get(), "reason": args.reason,
    });
    let (status, answer) = match ask(&args, &body).await {
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
        _ => {
            let detail = answer["detail"].as_str().unwrap_or("it is no relay");
            let code = answer["code"].as_str().unwrap_or("no_relay");
            let why = format!("{} answered {}: {code}: {}", args.url, status.as_u16(), detail.escape_debug());
            failed(1, &why)
        }
    }
}

async fn ask(args: &CreditArgs, body: &Value) -> Result<(StatusCode, Value), String> {
    let url = args.url.join("/v1/admin/credits").map_err(|error| error.to_string())?;
    let client = outbound::http_client().timeout(TIMEOUT).build().map_err(|error| error.to_string())?;
    let request = client.post(url).bearer_auth(&args.token).header("content-type", "application/json");
    let sent = request.body(body.to_string()).send().await;
    let answer = sent.map_err(|error| super::config::sources(&error.without_url()))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| super::config::sources(&error.without_url()))?;
    // What is no JSON is not of a relay.
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
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
