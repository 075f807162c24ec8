//! Log lines go to standard error; standard output is for what a command answers.
//!
//! With `log.format = "json"` every line that `voxrelay serve` writes is a JSON object: also why it does not start, and a panic.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// The variable of `log.format`.
const FORMAT_VARIABLE: &str = "VOXRELAY_LOG__FORMAT";

/// Whether what is said is said in JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Starts logging. A second call, as tests make it, changes nothing.
pub(crate) fn start(config: &LogConfig) {
    IS_JSON.store(config.format == LogFormat::Json, Ordering::Relaxed);
    let filter = EnvFilter::new(&config.level);
    let colours = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    // Fails only if logging has started already.
    let _ = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => {
            std::panic::set_hook(Box::new(|panic| {
                let _ = write(&mut io::stderr(), "ERROR", &panic.to_string());
            }));
            lines.json().flatten_event(true).try_init()
        }
    };
}

/// Finds out how to say what is wrong with a configuration that may not even be TOML: by its lines.
pub(crate) fn look_ahead(file: Option<&Path>) {
    let configured = std::env::var(FORMAT_VARIABLE).ok().or_else(|| {
        let text = std::fs::read_to_string(file?).ok()?;
        format_in(&text)
    });
    IS_JSON.store(configured.as_deref() == Some("json"), Ordering::Relaxed);
}

fn format_in(text: &str) -> Option<String> {
    let mut section = "";
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            section = name.trim();
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim();
            if (section, key) == ("log", "format") || (section, key) == ("", "log.format") {
                let value = value.split('#').next().unwrap_or_default();
                found = Some(value.trim().trim_matches(['"', '\'']).to_owned());
            }
        }
    }
    found
}

/// Writes a line of a program that does not log (yet, or any more): as it is, or as JSON where that is configured.
pub(crate) fn say(out: &mut dyn Write, level: &str, message: &str) -> io::Result<()> {
    if IS_JSON.load(Ordering::Relaxed) { write(out, level, message) } else { writeln!(out, "{message}") }
}

fn write(out: &mut dyn Write, level: &str, message: &str) -> io::Result<()> {
    let timestamp = jiff::Timestamp::now().to_string();
    let line = json!({ "timestamp": timestamp, "level": level, "message": message, "target": "relay" });
    writeln!(out, "{line}")
}

/// What an error says, and what its causes say that it does not say itself.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let says = error.to_string();
        if !said.contains(&says) {
            said.push_str(": ");
            said.push_str(&says);
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_found_in_a_file_that_is_not_good() {
        for (text, format) in [
            ("[log]\nformat = \"json\" # for machines\n", Some("json")),
            ("log.format='json'\n[limits]\nformat = \"text\"\n", Some("json")),
            ("listen = \n[ log ]\n  format=\"text\"", Some("text")),
            ("format = \"json\"\n[limits]\nlog.format = \"json\"", None),
            ("", None),
        ] {
            assert_eq!(format_in(text).as_deref(), format, "{text}");
        }
    }

    #[test]
    fn an_error_is_said_with_each_of_its_causes_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Link(&'static str, #[source] Option<Box<Link>>);
        let end = Link("connection refused", None);
        let middle = Link("connect: connection refused", Some(Box::new(end)));
        let error = Link("error sending request", Some(Box::new(middle)));
        assert_eq!(with_causes(&error), "error sending request: connect: connection refused");
    }
}
