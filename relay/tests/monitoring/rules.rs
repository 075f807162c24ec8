//! The file of alerts, read line by line: as much of YAML as it uses. Whatever else stands in it is an error.

use std::collections::BTreeMap;

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
