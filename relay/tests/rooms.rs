//! The rooms that decide know nothing of those that act: no store, no socket, no clock, no randomness. What they would need is an argument.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of machines, and what prices and bills.
const MACHINES: &[&str] = &["agent", "call", "money", "records/recording/mixer.rs", "provider"];
/// What carries them, in the same folders.
const DRIVERS: &[&str] = &[
    "provider/ahead.rs",
    "provider/connections.rs",
    "provider/http.rs",
    "provider/places.rs",
    "provider/ready.rs",
    "provider/request.rs",
    "provider/socket.rs",
    "provider/upstream.rs",
];
/// What none of them may name.
const FOREIGN: &[&str] = &[
    "crate::records",
    "crate::session",
    "crate::server",
    "crate::App",
    "axum",
    "sqlx",
    "tokio",
    "std::net",
    "std::fs",
    "std::env",
    "std::thread",
    "sleep(",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "unix_ms",
    "getrandom",
    "Uuid::now",
    "Uuid::new",
    "rand::",
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

/// The machines of a session, which know each other and their room.
const SESSION_MACHINES: &[&str] = &[
    "session/policy",
    "session/journal.rs",
    "session/journal",
    "session/machine",
    "session/token.rs",
    "session/jitter.rs",
    "session/lease.rs",
];

/// Where the sources of these rooms name one of these.
fn faults(rooms: &[&str], foreign: &[&str]) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for room in rooms {
        let before = found.len();
        files(&source.join(room), &mut found);
        assert!(found.len() > before, "{room} is there");
    }
    let mut faults = Vec::new();
    // How often a property is tried is the environment's to say.
    let is_test = |file: &PathBuf| {
        file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests")
    };
    found.retain(|file| !is_test(file) && !DRIVERS.iter().any(|driver| file.ends_with(driver)));
    for file in found {
        let text = fs::read_to_string(&file).expect("readable");
        // What stands in comments names the rooms that use it, which is what they are for.
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for foreign in foreign.iter().filter(|foreign| line.contains(*foreign)) {
                let name = file.strip_prefix(&source).expect("it is there").display();
                faults.push(format!("{name}:{}: {foreign}", number + 1));
            }
        }
    }
    faults
}

#[test]
fn what_decides_names_nothing_that_acts() {
    let faults = faults(MACHINES, FOREIGN);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_machines_of_a_session_name_nothing_that_acts() {
    let foreign: Vec<_> = FOREIGN.iter().copied().filter(|foreign| *foreign != "crate::session").collect();
    let faults = faults(SESSION_MACHINES, &foreign);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// A session is carried by whatever makes a wire for it, and is started, looked after and ended from above.
#[test]
fn a_session_names_nothing_above_it() {
    let faults = faults(
        &["session"],
        &["crate::server", "crate::operations::upkeep", "crate::cli", "axum", "tungstenite", "hyper"],
    );
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What is configured is below whatever it configures, and what checks tokens is told with which.
#[test]
fn the_configuration_names_nobody_who_reads_it_to_check_tokens_or_to_carry_calls() {
    let faults = faults(&["config"], &["crate::admission", "crate::session", "crate::server", "crate::App"]);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What a call goes through: whoever comes over HTTP is brought to a session, and what goes on beside the calls is started from above.
#[test]
fn the_server_starts_nothing_but_sessions() {
    let faults = faults(&["server"], &["crate::operations::upkeep", "crate::cli", "crate::run"]);
    assert!(faults.is_empty(), "{faults:#?}");
}
