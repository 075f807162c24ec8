use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{answered, failed, faults, questions};
use crate::admission::auth::Verifier;
use crate::config::{self, Config};
use crate::operations::{log, outbound};
use crate::records::recording::Recordings;
use crate::records::spill::SPILL_FILE;
use crate::records::store::{DATABASE_FILE, SqlStore, Store, check_sqlite_file};

/// How long each of the others may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Options of `voxrelay config`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["check", "reference"]))]
pub(super) struct ConfigArgs {
    /// Check everything as `serve` does, say all that is wrong, or else what applies, each with where it comes from. Secrets are not
    /// shown.
    #[arg(long)]
    check: bool,
    /// Try what the configuration names as well: the database and its schema or file, the issuer's keys, the webhooks' addresses, the
    /// bucket, the addresses to listen on. Changes nothing, and disturbs no relay that runs.
    #[arg(long, requires = "check")]
    connect: bool,
    /// Print the reference of all keys, in Markdown.
    #[arg(long)]
    reference: bool,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

/// Options of `voxrelay check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Try what the configuration names as well: the database and its schema or file, the issuer's keys, the webhooks' addresses, the
    /// bucket, the addresses to listen on. Changes nothing, and disturbs no relay that runs.
    #[arg(long)]
    connect: bool,
    /// Ask each configured provider the smallest question there is. That costs a little, which is said beforehand.
    #[arg(long)]
    providers: bool,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(args: ConfigArgs) -> ExitCode {
    let ConfigArgs { check: is_check, connect, config, .. } = args;
    match is_check {
        true => check(CheckArgs { connect, providers: false, config }).await,
        false => answered(&config::reference().trim_end()),
    }
}

/// Says all that is wrong, or else what applies, and what should be looked at.
pub(super) async fn check(args: CheckArgs) -> ExitCode {
    let path = args.config.as_deref();
    log::look_ahead(path);
    let config = match faults::examine(path, false, None) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    let prices = match faults::price_table(&config) {
        Ok(prices) => prices,
        Err(error) => return failed(2, &error),
    };
    let mut wrong = if args.connect { connect(&config).await } else { Vec::new() };
    let mut notes = faults::old_prices(&config, &prices);
    if args.providers {
        match questions::ask_all(&config, &prices).await {
            Ok(said) => notes.extend(said),
            Err(faults) => wrong.extend(faults),
        }
    }
    if !wrong.is_empty() {
        return failed(1, &wrong.join("\n"));
    }
    let mut lines = match Config::explain(path, std::env::vars()) {
        Ok(said) => vec![said.trim_end().to_owned(), String::new()],
        Err(error) => return failed(2, &error),
    };
    lines.extend(notes.iter().map(|note| format!("# {note}")));
    lines.push(match args.connect {
        true => "# All is well, also with what it names.".to_owned(),
        false => "# All is well. Whether what it names can be reached is tried with --connect.".to_owned(),
    });
    answered(&lines.join("\n"))
}

/// What cannot be reached, or says no. Each is asked, whatever the others say.
async fn connect(config: &Config) -> Vec<String> {
    let (database, files, keys, webhook, webhooks, bucket) = tokio::join!(
        database(config),
        files(config),
        keys(config),
        webhook(config),
        webhooks(config),
        bucket(config)
    );
    let answers = [
        ("database_url", database),
        ("data_dir", files),
        ("auth", keys),
        ("webhook.url", webhook),
        ("webhooks", webhooks),
        ("recording", bucket),
        ("listen", address(Some(config.listen))),
        ("metrics.listen", address(config.metrics_listen)),
    ];
    let faults = answers.into_iter().filter_map(|(key, answer)| Some((key, answer.err()?)));
    faults.map(|(key, fault)| format!("{key}: {fault}{}", config.place(key))).collect()
}

async fn in_time(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let late = || Err(format!("no answer in {} s", CONNECT_TIMEOUT.as_secs()));
    timeout(CONNECT_TIMEOUT, work).await.unwrap_or_else(|_| late())
}

/// The database and its schema.
async fn database(config: &Config) -> Result<(), String> {
    let Some(url) = &config.database_url else { return Ok(()) };
    in_time(async {
        let store = SqlStore::postgres(url).await.map_err(|error| error.to_string())?;
        let whole = store.check_whole().await.map_err(|error| error.to_string());
        store.close().await;
        whole
    })
    .await
}

/// The files of the data folder, which a relay that runs may have.
async fn files(config: &Config) -> Result<(), String> {
    let own = config.database_url.is_none().then_some(DATABASE_FILE);
    in_time(async {
        let mut faults = Vec::new();
        for file in own.into_iter().chain([SPILL_FILE]) {
            faults.extend(
                check_sqlite_file(&config.data_dir.join(file)).await.err().map(|error| error.to_string()),
            );
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    })
    .await
}

/// Whether this machine has the address, and the port is one that may be listened on. A relay that runs may have it.
fn address(address: Option<SocketAddr>) -> Result<(), String> {
    match address.map(TcpListener::bind) {
        Some(Err(error)) if error.kind() != ErrorKind::AddrInUse => {
            Err(format!("cannot listen there: {error}"))
        }
        _ => Ok(()),
    }
}

/// The issuer's keys.
async fn keys(config: &Config) -> Result<(), String> {
    let verifier = Verifier::from_config(&config.auth).map_err(|error| error.to_string())?;
    in_time(async { verifier.try_keys().await.map_err(|error| format!("the issuer's keys: {error}")) }).await
}

/// The address of alerts.
async fn webhook(config: &Config) -> Result<(), String> {
    let Some(webhook) = &config.webhook else { return Ok(()) };
    in_time(reach(&webhook.url)).await
}

/// The addresses that are told what happens.
async fn webhooks(config: &Config) -> Result<(), String> {
    let asked = config.webhooks.iter().map(|(name, hook)| async move {
        in_time(reach(&hook.webhook.url)).await.map_err(|fault| format!("{name}: {fault}"))
    });
    let faults: Vec<String> = join_all(asked).await.into_iter().filter_map(Result::err).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// The address of a webhook: whatever it answers to a question without a message, it is there.
async fn reach(url: &reqwest::Url) -> Result<(), String> {
    let client =
        outbound::http_client().timeout(CONNECT_TIMEOUT).build().map_err(|error| error.to_string())?;
    let asked = client.head(url.clone()).send().await;
    asked.map(drop).map_err(|error| sources(&error))
}

/// The folder or bucket of the recordings.
async fn bucket(config: &Config) -> Result<(), String> {
    let Some(place) = &config.recording else { return Ok(()) };
    in_time(async { Recordings::probe(place, std::env::vars()).await.map_err(|error| error.to_string()) })
        .await
}

/// An error with what caused it.
pub(super) fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
