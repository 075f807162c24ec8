//! The file of alerts, read line by line: as much of YAML as it uses. Whatever else stands in it is an error.

use std::collections::BTreeMap;
use std::time::Duration;

use super::promql;

/// An alert.
#[derive(Debug, Default)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) expression: String,
    /// What else is said of it, by its key.
    pub(crate) said: BTreeMap<String, String>,
}

/// What is said of an alert beside its expression.
const KEYS: [&str; 5] = ["for", "severity", "summary", "description", "runbook"];
/// Lines that only open what is below them.
const OPENINGS: [&str; 4] = ["groups:", "rules:", "labels:", "annotations:"];
/// How far the lines of an expression are indented.
const INDENT: &str = "          ";

impl Alert {
    /// For how long its expression has to hold until it comes.
    pub(crate) fn patience(&self) -> Duration {
        let time = self.said.get("for").expect("it has to hold for a while");
        promql::time(time).expect("it is understood")
    }
}

/// For how long without a break an expression holds at most, by whether it does at each second at which it is asked.
pub(crate) fn longest(held: impl IntoIterator<Item = (u64, bool)>) -> Duration {
    let (mut since, mut longest) = (None, Duration::ZERO);
    for (second, holds) in held {
        since = holds.then(|| since.unwrap_or(second));
        longest = longest.max(since.map_or(Duration::ZERO, |since| Duration::from_secs(second - since)));
    }
    longest
}

/// The alerts of the file.
pub(crate) fn parse(text: &str) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    let mut is_expression = false;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if is_expression && line.starts_with(INDENT) {
            let alert = alerts.last_mut().expect("an alert");
            alert.expression.push_str(line);
            alert.expression.push('\n');
            continue;
        }
        is_expression = line == "        expr: |";
        let line = line.trim();
        if is_expression || OPENINGS.contains(&line) || line.starts_with("- name: ") {
            continue;
        }
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push(Alert { name: name.to_owned(), ..Alert::default() });
            continue;
        }
        let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} is not understood"));
        assert!(KEYS.contains(&key), "{line:?} is not understood");
        let said = &mut alerts.last_mut().expect("an alert").said;
        let before = said.insert(key.to_owned(), value.trim_matches('"').to_owned());
        assert!(before.is_none(), "{line:?} stands there twice");
    }
    alerts
}
