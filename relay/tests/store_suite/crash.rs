//! A process that spends is killed at each step, and at any moment: the ledger has what was spent, once, and nothing stays set aside.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use relay::records::store::Leases;

use super::{Bench, on_both_databases, usd};

on_both_databases! {
    a_process_killed_at_any_step_leaves_no_money_lost_or_doubled
}

const STEPS: [&str; 5] = ["before reserve", "after reserve", "after expose", "after spend", "after settle"];
/// Kills at a moment of their own.
const MOMENTS: u64 = 12;

/// What the books say of one round.
#[derive(Default)]
struct Round {
    intent: Option<u64>,
    spent: bool,
    settled: bool,
}

async fn a_process_killed_at_any_step_leaves_no_money_lost_or_doubled(bench: Bench) {
    let folder = tempfile::tempdir().expect("a folder");
    let books = |session: &str| folder.path().join(session);
    let mut sessions = Vec::new();
    for step in STEPS {
        let session = format!("dies-{}", step.replace(' ', "-"));
        let mut child = spend(&bench, &books(&session), &session, Some(step));
        let ended = child.wait().expect("it ran");
        assert!(!ended.success() && ended.code().is_none(), "killed, not failed: {ended:?}");
        sessions.push(session);
    }
    for moment in 0..MOMENTS {
        let session = format!("killed-{moment}");
        let mut child = spend(&bench, &books(&session), &session, None);
        while !std::fs::read_to_string(books(&session)).is_ok_and(|books| books.contains("settled")) {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_micros(moment * 1_717));
        child.kill().expect("it ran");
        child.wait().expect("it ran");
        sessions.push(session);
    }

    let store = &*bench.store;
    store.end_leases(Leases::OfAllBut("")).await.expect("written");
    let swept = store.sweep(Duration::from_secs(600)).await.expect("swept");
    assert!(swept.released > 0 && swept.ended == 0, "{swept:?}");

    let (mut total, mut written_off) = (0, 0);
    for session in &sessions {
        let rounds = rounds(&std::fs::read_to_string(books(session)).expect("the books"));
        assert!(!rounds.is_empty() || session.contains("reserve"), "{session} did something");
        let ledger = store.ledger(session).await.expect("read");
        let row = |key: &str| ledger.iter().find(|row| row.key == key).map(|row| row.cost.get());
        let lost = row("lost@0");
        for (number, Round { intent, spent, settled }) in &rounds {
            let cost = intent.expect("before anything else");
            match row(&format!("round {number}")) {
                Some(stored) => assert_eq!(stored, cost),
                // Written off. Whether it was really spent cannot be told apart.
                None if *spent => assert_eq!(lost, Some(cost), "{session}, round {number}"),
                None => assert!(lost.is_none_or(|lost| lost == cost), "{session}, round {number}"),
            }
            assert!(!settled || row(&format!("round {number}")).is_some(), "{session}, round {number}");
        }
        let unspent: u64 =
            rounds.values().filter(|round| !round.spent).filter_map(|round| round.intent).sum();
        let spent: u64 = rounds.values().filter(|round| round.spent).filter_map(|round| round.intent).sum();
        let sum: u64 = ledger.iter().map(|row| row.cost.get()).sum();
        assert!((spent..=spent + unspent).contains(&sum), "{session}: {sum} for {spent}");
        let stored = store.session(session).await.expect("read").expect("there");
        assert_eq!((stored.cost, stored.authorised), (usd(sum), usd(sum)), "{session}");
        total += sum;
        written_off += u64::from(lost.is_some());
    }
    assert!(written_off >= 2, "those that died between exposing and settling");
    let mut connection = bench.connect().await;
    let budgets: Vec<(i64, i64)> = sqlx::query_as("SELECT spent_nano_usd, reserved_nano_usd FROM budgets")
        .fetch_all(&mut connection)
        .await
        .expect("read");
    assert_eq!(budgets, [(total as i64, 0); 2], "the user's and the account's");
}

fn rounds(books: &str) -> HashMap<u64, Round> {
    let mut rounds = HashMap::<u64, Round>::new();
    // What follows the last end of a line was being written when it was killed.
    let (whole, _) = books.rsplit_once('\n').unwrap_or_default();
    for line in whole.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse().expect("a number");
        let round = rounds.entry(number(1)).or_default();
        match words[0] {
            "intent" => round.intent = Some(number(2)),
            "spent" => round.spent = true,
            _ => round.settled = true,
        }
    }
    rounds
}

fn spend(bench: &Bench, books: &Path, session: &str, die_at: Option<&str>) -> Child {
    Command::new(spender())
        .arg(bench.address())
        .arg(books)
        .arg(session)
        .args(die_at)
        .stdin(Stdio::null())
        .spawn()
        .expect("the example was built")
}

fn spender() -> PathBuf {
    let test = std::env::current_exe().expect("we run");
    let example = test.ancestors().nth(2).expect("target/debug").join("examples/spender");
    assert!(example.exists(), "run `cargo build -p relay --examples` first");
    example
}
