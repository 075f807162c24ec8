//! Log lines go to standard error; standard output is for what a command answers.
//!
//! With `log.format = "json"` every line that `voxrelay serve` writes is a JSON object: also why it does not start, and a panic.
//!
//! From [`start`] on nobody waits for a line, and none that cannot be written ends anything: see [`lines`].

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tracing::field::Field;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::lines::Lines;

use crate::config::{LogConfig, LogFormat};
use crate::operations::tracker;

/// The variable of `log.format`.
const FORMAT_VARIABLE: &str = "VOXRELAY_LOG__FORMAT";

/// The crates whose lines are the relay's own.
const OWN: [&str; 4] = ["relay", "voxrelay", "protocol", "audio"];

/// How long the end of the process waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Whether what is said is said in JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);
/// The ways out of a process that logs.
static OUTPUT: OnceLock<Output> = OnceLock::new();

#[derive(Debug)]
struct Output {
    log: Arc<Lines>,
    answers: Arc<Lines>,
}

/// Where a line goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    /// Standard error.
    Log,
    /// Standard output.
    Answers,
}

/// A line of the log: what is written at once is one.
struct Line(Arc<Lines>);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging. A second call, as tests make it, changes nothing.
pub(crate) fn start(config: &LogConfig) {
    IS_JSON.store(config.format == LogFormat::Json, Ordering::Relaxed);
    let filter = EnvFilter::new(&config.level);
    let colours = io::stderr().is_terminal();
    let output = OUTPUT
        .get_or_init(|| Output { log: Lines::start(io::stderr()), answers: Lines::start(io::stdout()) });
    let log = Arc::clone(&output.log);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Line(Arc::clone(&log)))
        .log_internal_errors(false)
        .with_ansi(colours);
    // Fails only if logging has started already.
    let _ = match config.format {
        LogFormat::Text => {
            let lines = lines.fmt_fields(debug_fn(field).delimited(" "));
            lines.finish().with(filter_fn(is_fit)).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).finish().with(filter_fn(is_fit)).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::capture();
        tracker::panicked(panic, &trace);
        let trace = match trace.status() {
            BacktraceStatus::Captured => format!("\n{trace}"),
            _ => String::new(),
        };
        // Nobody to tell if it cannot be written.
        let _ = say(To::Log, "ERROR", &format!("{panic}{trace}"));
    }));
}

/// Whether lines of this level from there are fit for a log, whatever `log.level` says. What a library says at `trace` is what it reads and writes:
/// the words of a call, tokens, and keys of providers.
fn is_fit(line: &Metadata<'_>) -> bool {
    let by = line.target().split("::").next().unwrap_or_default();
    *line.level() <= Level::DEBUG || OWN.contains(&by)
}

/// Writes a field of a line. Much of what is logged is the words of strangers: nothing in it begins a line, or moves the cursor of whoever
/// reads it. (In JSON the library sees to that.)
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    // Of lines that come by the crate `log`: where they are from is said before the fields.
    if field.name().starts_with("log.") {
        return Ok(());
    }
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Printable(writer), "{value:?}")
}

/// Writes with escapes what is no visible character, or changes the direction of those that are.
struct Printable<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Printable<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_hidden = |c: char| {
            let is_format = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
            c.is_control() || is_format
        };
        for part in text.split_inclusive(is_hidden) {
            match part.chars().next_back().filter(|c| is_hidden(*c)) {
                None => self.0.write_str(part)?,
                Some(hidden) => {
                    self.0.write_str(&part[..part.len() - hidden.len_utf8()])?;
                    write!(self.0, "{}", hidden.escape_default())?;
                }
            }
        }
        Ok(())
    }
}

/// Waits a moment for the last lines: the process is to end.
pub(crate) fn finish() {
    if let Some(Output { log, answers }) = OUTPUT.get() {
        log.flush(LAST_LINES);
        answers.flush(LAST_LINES);
    }
}

/// How many lines could not be written.
pub(crate) fn dropped() -> u64 {
    OUTPUT.get().map_or(0, |output| output.log.dropped() + output.answers.dropped())
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

/// Writes a line of a program, as it is or as JSON where that is configured. Fails only where nothing is logged yet.
pub(crate) fn say(to: To, level: &str, message: &str) -> io::Result<()> {
    let mut line =
        if IS_JSON.load(Ordering::Relaxed) { json_line(level, message) } else { message.to_owned() };
    line.push('\n');
    match (OUTPUT.get(), to) {
        (Some(output), To::Log) => output.log.push(line.as_bytes()),
        (Some(output), To::Answers) => output.answers.push(line.as_bytes()),
        (None, To::Log) => io::stderr().write_all(line.as_bytes())?,
        (None, To::Answers) => {
            let mut out = io::stdout();
            out.write_all(line.as_bytes())?;
            out.flush()?;
        }
    }
    Ok(())
}

fn json_line(level: &str, message: &str) -> String {
    let timestamp = jiff::Timestamp::now().to_string();
    json!({ "timestamp": timestamp, "level": level, "message": message, "target": "relay" }).to_string()
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

    /// What was written, line by line.
    #[derive(Clone, Default)]
    struct Written(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("one thread").clone()).expect("text")
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

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
    fn what_a_library_reads_and_writes_is_in_no_log() {
        let lines = Written::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_writer(move || written.clone())
            .finish()
            .with(filter_fn(is_fit));
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "tungstenite::protocol", "Received message: a token");
            tracing::trace!(target: "relayed", "Received message: a token");
            tracing::debug!(target: "tungstenite::protocol", "it closes");
            tracing::trace!(target: "relay::session", "it is ours");
            tracing::trace!(target: "voxrelay", "and so is this");
        });
        let log = lines.text();
        assert_eq!(log.lines().count(), 3, "{log}");
        assert!(!log.contains("a token"), "{log}");
    }

    #[test]
    fn nothing_that_a_stranger_says_begins_a_line_or_moves_a_cursor() {
        let lines = Written::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(debug_fn(field).delimited(" "))
            .with_writer(move || written.clone())
            .with_ansi(false)
            .finish();
        let said = "js\n2026-11-26 ERROR relay::store: the ledger was lost\r\u{1b}[2J\u{202e}\u{2028}ü";
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(client = %said, sub = said, debug = ?said, "session {said} began");
        });
        let log = lines.text();
        assert_eq!(log.matches('\n').count(), 1, "{log:?}");
        assert!(log.ends_with('\n') && !log.trim_end().contains(|c: char| c.is_control()), "{log:?}");
        assert!(!log.contains(['\u{202e}', '\u{2028}']) && log.contains('ü'), "{log:?}");
        assert!(log.contains("client=js\\n2026-11-26 ERROR"), "{log:?}");
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
