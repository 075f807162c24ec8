//! From what was given to what applies: the keys that have no file of their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use protocol::Codec;
use reqwest::Url;

use super::values::{Values, quote};
use super::{
    Alerts, AuthConfig, Config, ConfigError, Drain, EchoConfig, Limits, LogConfig, LogFormat, Network,
    Origins, Place, RecordingPlace, Retention, Secret, Sentry, Traces, Webhook,
};
use super::{agents, keys, reconcile, tools, webhooks};
use crate::operations::outbound::is_safe_url;
use crate::operations::webhook;
use crate::records::store;

/// Longest name of a plan, as long as a claim may be.
const PLAN_MAX_CHARS: usize = 255;
/// How much is logged, from nothing on.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Config {
    pub(super) fn check(values: &Values) -> Result<Config, ConfigError> {
        let listen = values.word("listen")?;
        let listen = listen.parse().map_err(|_| {
            let accepted = "give an address and a port, such as 127.0.0.1:8080 or [::]:8080";
            values.wrong("listen", quote(&listen), accepted)
        })?;
        let seconds = |key| values.whole(key).map(|seconds| Duration::from_secs(seconds.into()));
        let limits = Limits::check(values)?;
        let providers = agents::providers(values)?;
        let tools = tools::tools(values)?;
        let plan = |name: &str| {
            if name.trim().is_empty() || name.chars().count() > PLAN_MAX_CHARS {
                let accepted = format!("give a name of 1 to {PLAN_MAX_CHARS} characters");
                let (key, place) = ("plans".to_owned(), Place::default());
                return Err(ConfigError::Value { key, place, given: quote(name), accepted });
            }
            Ok((name.to_owned(), Limits::check(&values.of(keys::PLANS, name))?))
        };
        let database_url = database_url(values)?;
        Ok(Config {
            given: values.places(),
            listen,
            data_dir: values.word("data_dir")?.into(),
            drain: Drain::check(values, database_url.is_none())?,
            database_url,
            dev: false,
            auth: AuthConfig::check(values)?,
            origins: Origins::check(values)?,
            limits,
            plans: values.names(keys::PLANS).map(plan).collect::<Result<_, _>>()?,
            network: Network::check(values)?,
            heartbeat: seconds("heartbeat_seconds")?,
            resume_window: seconds("resume_window_seconds")?,
            shutdown_grace: seconds("shutdown_grace_seconds")?,
            store_grace: seconds("store.grace_seconds")?,
            retention: Retention {
                transcript_days: Some(values.whole("retention.transcript_days")?).filter(|days| *days > 0),
                recording_days: Some(values.whole("retention.recording_days")?).filter(|days| *days > 0),
            },
            webhook: webhook_config(values)?,
            webhooks: webhooks::webhooks(values)?,
            alerts: Alerts::check(values)?,
            recording: recording(values)?,
            recording_is_shared: values.flag("recording.shared")?,
            recording_min_free: u64::from(values.whole("recording.min_free_mb")?) << 20,
            tells_of_listening: values.flag("listening.tell_page")?,
            metrics_listen: metrics_listen(values)?,
            traces: Traces::check(values)?,
            sentry: Sentry::check(values)?,
            prices_file: values.text("prices.file")?.map(PathBuf::from),
            api_requests_per_minute: values.whole("api.requests_per_minute")?,
            preflights_per_minute: values.whole("api.preflights_per_minute")?,
            agents: agents::agents(values, &providers, &tools)?,
            tools,
            default_agent: agents::default(values)?,
            providers,
            reconcile: reconcile::mappings(values)?,
            echo: echo(values)?,
            log: log(values)?,
        })
    }
}

fn database_url(values: &Values) -> Result<Option<Secret>, ConfigError> {
    const KEY: &str = "database_url";
    let Some(url) = values.text(KEY)? else { return Ok(None) };
    let good = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let accepted = "give postgres://user:password@host/database, or nothing for SQLite in data_dir";
    let wrong = |accepted: String| Err(values.wrong(KEY, format!("[{} bytes]", url.len()), accepted));
    match store::fault_in_url(&url) {
        _ if !good => wrong(accepted.to_owned()),
        Some(fault) => wrong(format!("{accepted} ({fault})")),
        None => Ok(Some(Secret::new(url))),
    }
}

fn webhook_config(values: &Values) -> Result<Option<Webhook>, ConfigError> {
    let url = values.text("webhook.url")?;
    let secrets = values.secrets("webhook.secret")?;
    match (url, secrets.is_empty()) {
        (None, true) => Ok(None),
        (Some(given), false) => {
            let url = Url::parse(&given).ok().filter(is_safe_url).ok_or_else(|| {
                let accepted = "give an https:// URL (http:// only for localhost)";
                values.wrong("webhook.url", quote(&given), accepted)
            })?;
            if let Some(secret) = secrets.iter().find(|secret| !webhook::is_key(secret)) {
                let given = format!("[{} bytes]", secret.expose().len());
                let accepted = "after whsec_ give a key in base64, as `openssl rand -base64 32` makes it";
                return Err(values.wrong("webhook.secret", given, accepted));
            }
            Ok(Some(Webhook { url, secrets }))
        }
        (Some(_), true) => Err(ConfigError::Missing {
            key: "webhook.secret",
            why: "what is sent to webhook.url is signed with it",
        }),
        (None, false) => Err(ConfigError::Missing {
            key: "webhook.url",
            why: "there is nothing to sign with webhook.secret",
        }),
    }
}

fn recording(values: &Values) -> Result<Option<RecordingPlace>, ConfigError> {
    let (dir, url) = ("recording.dir", "recording.url");
    if values.has(dir) && values.has(url) {
        let place = values.place(dir);
        return Err(ConfigError::Conflict { key: dir, place, other: url, why: "recordings go to one place" });
    }
    if let Some(dir) = values.text(dir)? {
        return Ok(Some(RecordingPlace::Folder(dir.into())));
    }
    let Some(given) = values.text(url)? else { return Ok(None) };
    let bare = |url: &Url| {
        url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    let parsed = Url::parse(&given).ok().filter(bare);
    let place = parsed.and_then(|url| match url.scheme() {
        "s3" if url.host_str().is_some_and(|bucket| !bucket.is_empty()) => Some(RecordingPlace::Bucket(url)),
        "file" => url.to_file_path().ok().map(RecordingPlace::Folder),
        _ => None,
    });
    place
        .map(Some)
        .ok_or_else(|| values.wrong(url, quote(&given), "give s3://bucket/prefix or file:///folder"))
}

fn metrics_listen(values: &Values) -> Result<Option<SocketAddr>, ConfigError> {
    const KEY: &str = "metrics.listen";
    let Some(given) = values.text(KEY)? else { return Ok(None) };
    let accepted = "give an address and a port, such as 127.0.0.1:9464";
    given.parse().map(Some).map_err(|_| values.wrong(KEY, quote(&given), accepted))
}

fn echo(values: &Values) -> Result<EchoConfig, ConfigError> {
    let codec = match values.one_of("echo.rate")? {
        "16000" => Codec::PcmS16le16000,
        _ => Codec::PcmS16le24000,
    };
    Ok(EchoConfig { codec })
}

fn log(values: &Values) -> Result<LogConfig, ConfigError> {
    let format = match values.one_of("log.format")? {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let level = values.word("log.level")?;
    let wrong = |why: String| {
        let accepted = format!("give {}, or such as info,relay=debug ({why})", LEVELS.join(", "));
        values.wrong("log.level", quote(&level), accepted)
    };
    // The library takes any other word for the name of a part of the program, and then logs nothing else.
    for directive in level.split(',') {
        let word = directive.rsplit('=').next().unwrap_or_default().trim();
        if !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
            let hint = if word.eq_ignore_ascii_case("warning") { "; it is warn" } else { "" };
            return Err(wrong(format!("{} is no level{hint}", quote(word))));
        }
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
        return Err(wrong(error.to_string()));
    }
    Ok(LogConfig { format, level })
}
