//! Says what is being done while it is done, and runs the programs that do it.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Announces a step, does it and says how long it took. Everything goes to stderr: stdout is for results.
pub(crate) fn step<T>(title: impl Display, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("→ {title} …");
    let begin = Instant::now();
    let result = work();
    match &result {
        Ok(_) => eprintln!("✓ {title} ({})", seconds(begin.elapsed())),
        Err(_) => eprintln!("✗ {title} ({})", seconds(begin.elapsed())),
    }
    result
}

/// Says that there is nothing to do.
pub(crate) fn up_to_date(title: impl Display) {
    eprintln!("✓ {title} (up to date)");
}

/// A duration as a person reads it.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..=99 => format!("{:.1} s", time.as_secs_f64()),
        long => format!("{} min {:02} s", long / 60, long % 60),
    }
}

/// Runs a program that talks to the terminal itself. What it prints goes to stderr.
pub(crate) fn run(command: &mut Command, advice: &str) -> Result<()> {
    let line = spelled(command);
    let status = command
        .stdout(std::io::stderr())
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("`{line}` could not be started: {advice}"))?;
    if !status.success() {
        bail!("`{line}` failed: {advice}");
    }
    Ok(())
}

/// Runs a program and returns what it printed. That, and what it complains about, is shown only if it fails.
pub(crate) fn output(command: &mut Command, advice: &str) -> Result<String> {
    let line = spelled(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{line}` could not be started: {advice}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{line}` failed: {advice}\n{}", String::from_utf8_lossy(&said).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program, shows what it prints line by line and hands each line over, also how it ended if it failed. Returns whether it succeeded.
pub(crate) fn watch(command: &mut Command, advice: &str, mut on_line: impl FnMut(&str)) -> Result<bool> {
    let line = spelled(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{line}` could not be started: {advice}"))?;
    let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
    for bytes in BufReader::new(stdout).split(b'\n') {
        let bytes = bytes?;
        let text = String::from_utf8_lossy(&bytes);
        eprintln!("{text}");
        on_line(&text);
    }
    let status = child.wait()?;
    if !status.success() {
        let end = format!("`{line}` ended with {status}");
        eprintln!("{end}");
        on_line(&end);
    }
    Ok(status.success())
}

/// The command as one would type it.
pub(crate) fn spelled(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_stem().unwrap_or(program.as_os_str());
    let words: Vec<_> = std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}
