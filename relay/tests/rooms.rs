//! The rooms that decide know nothing of those that act: no store, no socket, no clock, no randomness. What they would need is an argument.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of machines, and what prices and bills.
const MACHINES: &[&str] = &[
    "agent",
    "call",
    "money",
    "recording/mixer.rs",
    "provider/exchange.rs",
    "provider/chat.rs",
    "provider/event.rs",
];
/// What none of them may name.
const FOREIGN: &[&str] = &[
    "crate::store",
    "crate::session",
    "crate::server",
    "crate::App",
    "crate::spill",
    "axum",
    "sqlx",
    "tokio",
    "std::net",
    "std::fs",
    "std::env",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "unix_ms",
    "getrandom",
    "Uuid::now",
    "tracing::",
    "telemetry",
];

fn files(place: &Path, found: &mut Vec<PathBuf>) {
    if place.is_dir() {
        let entries = fs::read_dir(place).expect("readable");
        for entry in entries {
            files(&entry.expect("readable").path(), found);
        }
    } else if place.extension().is_some_and(|extension| extension == "rs") {
        found.push(place.to_owned());
    }
}

#[test]
fn what_decides_names_nothing_that_acts() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for machine in MACHINES {
        let before = found.len();
        files(&source.join(machine), &mut found);
        assert!(found.len() > before, "{machine} is there");
    }
    let mut faults = Vec::new();
    for file in found {
        let text = fs::read_to_string(&file).expect("readable");
        // What stands in comments names the rooms that use it, which is what they are for.
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for foreign in FOREIGN.iter().filter(|foreign| line.contains(*foreign)) {
                let name = file.strip_prefix(&source).expect("it is there").display();
                faults.push(format!("{name}:{}: {foreign}", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
