//! What keeps a relay from starting, found before it starts: for `serve`, and for `config --check`.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::admission::auth::{Verifier, VerifierError};
use crate::config::{Config, ConfigError, RecordingPlace, unreadable};
use crate::money::price::PriceTable;
use crate::provider::{Provider, Service};
use crate::records::recording::Recordings;
use crate::records::store::unix_ms;
use crate::server::Tls;

/// The configuration of a relay that is to run; with `dev` it may be without a key, since it makes one. The relay listens at `listen` if that is
/// said, whatever the configuration says.
///
/// Everything that is wrong is said at once, a line each, with the file and the line or the variable's name.
pub(super) fn examine(path: Option<&Path>, dev: bool, listen: Option<SocketAddr>) -> Result<Config, String> {
    let (mut config, wrong) = Config::examine(path, std::env::vars()).map_err(|error| error.to_string())?;
    config.listen = listen.unwrap_or(config.listen);
    let mut faults: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    let about_auth = |error: &ConfigError| error.to_string().contains("auth.");
    if !dev
        && !wrong.iter().any(about_auth)
        && let Err(error) = Verifier::from_config(&config.auth)
    {
        faults.push(match error {
            VerifierError::NoKey => error.to_string(),
            error => format!("configuration: {error}"),
        });
    }
    faults.extend(of_files(&config));
    if faults.is_empty() { Ok(config) } else { Err(faults.join("\n")) }
}

/// The shipped prices, with the operator's own over them.
pub(super) fn price_table(config: &Config) -> Result<PriceTable, String> {
    let shipped = PriceTable::shipped();
    let Some(path) = config.prices_file.as_deref() else { return Ok(shipped) };
    let wrong = |error: &dyn std::fmt::Display| {
        format!(
            "configuration: prices.file = {:?}: {error}{}",
            path.display().to_string(),
            config.place("prices.file")
        )
    };
    let own = fs::read_to_string(path).map_err(|error| wrong(&unreadable(path, &error)))?;
    shipped.with_overrides(&own).map_err(|error| wrong(&error))
}

/// The providers that have no price: every call to them would be refused.
fn unpriced(config: &Config, prices: &PriceTable) -> Vec<String> {
    let missing = |provider: &Provider| {
        let error = provider.price(prices, unix_ms()).err()?;
        let item = provider.item(prices);
        Some(format!(
            "configuration: providers.{}.price = {item:?}: {error}; with its price for `…`, write into the file that prices.file names \
             `item = [{}]`, or name another item",
            provider.name,
            lines_for(provider, &item)
        ))
    };
    config.providers.values().filter_map(missing).collect()
}

/// The prices that the configured providers use and that somebody should read again, each once.
pub(super) fn old_prices(config: &Config, prices: &PriceTable) -> Vec<String> {
    let items: BTreeSet<String> = config.providers.values().map(|provider| provider.item(prices)).collect();
    items.iter().filter_map(|item| prices.old(item, unix_ms())).map(|old| old.to_string()).collect()
}

/// The line, or the lines, that a price table needs for a provider that is billed by this item.
fn lines_for(provider: &Provider, item: &str) -> String {
    let (units, per): (&[&str], _) = match provider.kind.service {
        Service::LanguageModel => (&["input_token", "output_token"], "1_000_000"),
        Service::TextToSpeech => (&["character"], "1_000_000"),
        Service::SpeechToText => (&["second"], "60"),
    };
    let line = |unit: &&str| format!("{{ name = {item:?}, unit = \"{unit}\", usd = \"…\", per = {per} }}");
    units.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// What is wrong with the files and folders that it names.
fn of_files(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    match price_table(config) {
        Ok(prices) => faults.extend(unpriced(config, &prices)),
        Err(error) => faults.push(error),
    }
    let mut folders = vec![("data_dir", config.data_dir.as_path())];
    let recordings = match &config.recording {
        Some(RecordingPlace::Folder(dir)) if config.is_given("recording.dir") => Some(("recording.dir", dir)),
        Some(RecordingPlace::Folder(dir)) => Some(("recording.url", dir)),
        Some(RecordingPlace::Bucket(_)) | None => None,
    };
    if let Some((key, dir)) = recordings {
        folders.push((key, dir));
        if config.database_url.is_some() && !config.recording_is_shared {
            faults.push(format!(
                "configuration: {key} = {:?}: each relay of database_url would look there for what another one has recorded, and \
                 what is erased would stay where it is; give recording.url = \"s3://bucket/prefix\", or recording.shared = true if \
                 all of them have this folder, or this relay is alone{}",
                dir.display().to_string(),
                config.place(key)
            ));
        }
    }
    for (key, dir) in folders {
        if let Err(error) = probe(dir) {
            let dir = dir.display().to_string();
            faults.push(format!(
                "configuration: {key} = {dir:?}: it cannot be written ({error}){}",
                config.place(key)
            ));
        }
    }
    if let Some(place) = &config.recording
        && let Err(error) = Recordings::check(place, std::env::vars())
    {
        faults.push(format!("configuration: {error}{}", config.place("recording.url")));
    }
    if let Some(files) = &config.network.tls
        && let Err(error) = Tls::read(files)
    {
        faults.push(format!("configuration: {error}{}", config.place(error.key)));
    }
    if !config.network.may_listen(config.listen.ip()) {
        faults.push(format!(
            "configuration: listen = \"{}\": tokens and words would cross the network where everybody on the way reads them; give \
             network.tls_certificate and network.tls_key, listen on 127.0.0.1, or give network.plain_http = true if a proxy in front \
             speaks TLS and nobody else reaches the relay{}",
            config.listen,
            config.place("listen")
        ));
    }
    if let Some(metrics) = config.metrics_listen
        && metrics == config.listen
        && metrics.port() != 0
    {
        let place = config.place("metrics.listen");
        faults.push(format!(
            "configuration: metrics.listen = \"{metrics}\": listen has that address already{place}"
        ));
    }
    faults
}

/// Whether files can be written to a folder that is there, or that can be made. Leaves everything as it was.
fn probe(dir: &Path) -> io::Result<()> {
    let mut there: PathBuf = std::path::absolute(dir)?;
    let found = loop {
        match fs::metadata(&there) {
            Ok(found) => break found,
            Err(error) if error.kind() == io::ErrorKind::NotFound && there.pop() => {}
            Err(error) => return Err(error),
        }
    };
    if !found.is_dir() {
        return Err(io::Error::other(format!("{} is no folder", there.display())));
    }
    let file = there.join(format!(".voxrelay-{}", uuid::Uuid::now_v7()));
    OpenOptions::new().write(true).create_new(true).open(&file)?;
    fs::remove_file(&file)
}
