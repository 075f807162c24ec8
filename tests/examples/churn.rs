//! Opens and closes sessions on a real relay and watches its memory: `cargo xtask bench churn`.
//!
//! `churn <sessions> [--json]`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use protocol::ClientMessage;
use serde_json::json;
use tests::process::resident_kib;
use tests::{Raw, Relay, chunk, hello, token_but};
use tokio_tungstenite::tungstenite::Message;

/// At the same time.
const CALLERS: u32 = 32;
/// Readings, the first of which is what later ones are compared with: caches are full by then.
const READINGS: u32 = 10;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sessions: u32 = arguments.first().and_then(|number| number.parse().ok()).unwrap_or(100_000);
    let as_json = arguments.iter().any(|argument| argument == "--json");
    // A disk would be what is measured.
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.exists() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.expect("a folder");
    let extra = "[limits]\nsessions_per_user = 1000\nsessions_per_minute = 10000\nsessions_per_account = 100000\n\
        [network]\nsessions_per_minute_per_address = 100000\nconnections_per_minute_per_address = 1000000\npre_login_connections_per_address = 1000\n[log]\nlevel = \"error\"\n";
    let relay = Arc::new(Relay::start(folder.path(), "127.0.0.1:0", extra).await);
    let pid = relay.child.id().expect("it runs");
    let begin = Instant::now();
    let mut readings = Vec::new();
    for reading in 1..=READINGS {
        let left = Arc::new(AtomicU32::new(sessions / READINGS));
        let callers = (0..CALLERS).map(|caller| {
            let (relay, left) = (relay.clone(), left.clone());
            tokio::spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    call(&relay, caller).await;
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("every session is served");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let kib = resident_kib(pid);
        let done = sessions / READINGS * reading;
        eprintln!("{done} sessions, {kib} KiB resident, {:.0} s", begin.elapsed().as_secs_f64());
        readings.push((done, kib));
    }
    let (first, last) = (readings[0].1, readings[readings.len() - 1].1);
    let growth = last as f64 / first as f64 - 1.0;
    let rate = f64::from(sessions) / begin.elapsed().as_secs_f64();
    if as_json {
        println!("{}", json!({ "readings": readings, "growth": growth, "sessions_per_second": rate }));
    } else {
        println!(
            "{sessions} sessions opened and closed, {rate:.0} a second: {first} KiB after the first tenth, {last} KiB at the end ({:+.1} %)",
            growth * 100.0
        );
    }
    Arc::into_inner(relay).expect("nobody else has it").terminate().await;
}

async fn call(relay: &Relay, caller: u32) {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    let token = token_but(&json!({ "sub": format!("caller {caller}") }));
    raw.say(&ClientMessage::from(hello(&token, None)).to_json()).await;
    raw.send(Message::binary(chunk(0))).await;
    raw.say(&ClientMessage::from(protocol::Bye { end: 1 }).to_json()).await;
    let (errors, code) = raw.end().await;
    assert_eq!((errors.as_slice(), code), ([].as_slice(), 1000));
}
