//! Kills one relay of two, again and again, under calls that go on: `cargo xtask bench kills`.
//!
//! `kills [kills] [calls] [--json]`. Each call is of about twenty seconds, and another one begins when it is over. Every relay that is killed is
//! started again, and the other one is killed next. Of each call everything has to be there: one session that ends as its caller wants it, every
//! sample paid for, and again only what was sent for a third time before it was committed, each word in the transcript once.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::{CloseCode, Role};
use relay::config::Secret;
use relay::records::store::{SqlStore, Store};
use serde_json::json;
use tests::balancer::Balancer;
use tests::caller::{Caller, Told};
use tests::postgres::shared;
use tests::{Relay, sharing};
use tokio::time::{sleep, timeout};

/// For so long each caller speaks: six phrases, and the word of a seventh.
const SPEAKS: Duration = Duration::from_millis(20_400);
/// A phrase of [`Caller`] in samples, and the pause at its end.
const PHRASE: u64 = 48_000;
const PAUSE: u64 = 19_200;
/// How long a caller may take to hang up, in which relays are killed as well.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// A relay is killed so long after the other one is there again, at the soonest and at the latest.
const KILLED_AFTER_MS: std::ops::Range<u64> = 200..2_000;

/// What came of calls.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    /// How often a connection was lost, and for how long.
    away: Vec<Duration>,
    /// Samples that were paid for more than once: of audio that was sent again a second time before it was committed.
    paid_again: u64,
    /// How many of them may be at most.
    may_be_paid_again: u64,
    /// What is wrong, a line for each call in which anything is.
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.calls += other.calls;
        self.away.extend(other.away);
        self.paid_again += other.paid_again;
        self.may_be_paid_again += other.may_be_paid_again;
        self.wrong.extend(other.wrong);
    }
}

/// One call after another, until that is enough.
async fn call_on(url: String, number: usize, store: Arc<SqlStore>, is_enough: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    while !is_enough.load(Ordering::Relaxed) {
        let name = format!("caller {number}.{}", tally.calls);
        let mut caller = Caller::call(&url, &name);
        caller.connected().await;
        caller.speak().await;
        sleep(SPEAKS).await;
        caller.hang_up().await;
        tally.calls += 1;
        let Ok(told) = timeout(ENDS_WITHIN, caller.end()).await else {
            tally.wrong.push(format!("{name} does not end"));
            continue;
        };
        tally.away.extend(&told.away);
        tally.may_be_paid_again += told.may_be_paid_again();
        match check(&store, &told).await {
            Ok(paid_again) => tally.paid_again += paid_again,
            Err(what) => tally.wrong.push(format!("{name}: {what}: {told:?}")),
        }
    }
    tally
}

/// How many samples of a call were paid for more than once, or what is wrong with it.
async fn check(store: &SqlStore, told: &Told) -> Result<u64, String> {
    if (told.sessions.len(), told.missing, told.ended) != (1, 0, Some(CloseCode::Normal)) {
        return Err("it is not one whole session".to_owned());
    }
    let id = &told.sessions[0];
    let session = store.session(id).await.map_err(|error| error.to_string())?.ok_or("it is not stored")?;
    let ledger = store.ledger(id).await.map_err(|error| error.to_string())?;
    let paid: u64 = ledger.iter().map(|row| row.quantity).sum();
    if paid != session.audio_samples || session.authorised != session.cost {
        return Err(format!("{paid} samples are in the ledger of {session:?}"));
    }
    let Some(paid_again) = paid.checked_sub(told.spoken) else {
        return Err(format!("{paid} samples are paid for, and {} were spoken", told.spoken));
    };
    let most = told.may_be_paid_again();
    if paid_again > most {
        return Err(format!("{paid_again} samples are paid for again, of {most} at most"));
    }
    let turns = store.turns(id).await.map_err(|error| error.to_string())?;
    let of_user: Vec<_> = turns.iter().filter(|row| row.turn.role == Role::User).collect();
    if of_user.windows(2).any(|pair| pair[1].turn.start < pair[0].turn.end) {
        return Err(format!("a word is there twice: {of_user:?}"));
    }
    let words = (told.spoken + PAUSE) / PHRASE;
    match of_user.len() as u64 == words {
        true => Ok(paid_again),
        false => Err(format!("{words} words were spoken, and these are there: {of_user:?}")),
    }
}

async fn start(database: &Secret, folder: &Path, listen: &str) -> Relay {
    let config = sharing(database, folder, "[log]\nlevel = \"error\"\n");
    Relay::start_with(folder, listen, &config).await
}

/// A small generator that is the same on every machine (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        range.start + (self.0 >> 33) % (range.end - range.start)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let (kills, calls) = (numbers.next().unwrap_or(1_000), numbers.next().unwrap_or(40));
    let as_json = arguments.iter().any(|argument| argument == "--json");
    let begin = Instant::now();
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let mut relays = [
        start(&database, folders[0].path(), "127.0.0.1:0").await,
        start(&database, folders[1].path(), "127.0.0.1:0").await,
    ];
    let addresses: [SocketAddr; 2] = relays.each_ref().map(|relay| relay.address);
    let balancer = Balancer::before(addresses.to_vec()).await;
    let store = Arc::new(SqlStore::postgres(&database).await.expect("opened"));
    let is_enough = Arc::new(AtomicBool::new(false));
    let callers = (0..calls).map(|number| {
        tokio::spawn(call_on(balancer.url(), number, Arc::clone(&store), Arc::clone(&is_enough)))
    });
    let callers: Vec<_> = callers.collect();

    let mut dice = Dice(1);
    for kill in 0..kills {
        sleep(Duration::from_millis(dice.within(KILLED_AFTER_MS))).await;
        let killed = kill % 2;
        relays[killed].child.kill().await.expect("it ran");
        relays[killed] = start(&database, folders[killed].path(), &addresses[killed].to_string()).await;
        let ready = relays[killed].becomes_ready(200).await;
        assert_eq!(ready, 200, "a relay that is started again is there");
        if (kill + 1) % 10 == 0 {
            eprintln!("{} kills, {:.0} s", kill + 1, begin.elapsed().as_secs_f64());
        }
    }
    is_enough.store(true, Ordering::Relaxed);
    let mut all = Tally::default();
    for caller in callers {
        all.add(caller.await.expect("no panic"));
    }
    for wrong in &all.wrong {
        eprintln!("{wrong}");
    }
    all.away.sort();
    let at = |percent: usize| all.away.get((all.away.len() * percent).div_ceil(100).saturating_sub(1));
    let seconds = |percent| at(percent).map_or(0.0, Duration::as_secs_f64);
    let (median, most, longest) = (seconds(50), seconds(99), seconds(100));
    let (done, lost, wrong) = (all.calls, all.away.len(), all.wrong.len());
    let [paid_again, at_most] =
        [all.paid_again, all.may_be_paid_again].map(|samples| samples as f64 / 16_000.0);
    if as_json {
        println!(
            "{}",
            json!({ "kills": kills, "calls": done, "lost_connections": lost, "away_s": { "p50": median, "p99": most, "max": longest },
                "paid_again_s": paid_again, "may_be_paid_again_s": at_most, "wrong": all.wrong })
        );
    } else {
        println!(
            "{kills} kills under {done} calls, {calls} at a time: {lost} connections were lost, for {median:.1} s (median), {most:.1} s (99 of 100), {longest:.1} s (the longest)"
        );
        println!(
            "{wrong} calls are not whole; {paid_again:.1} s of sound were paid for again, of {at_most:.1} s that may be"
        );
    }
    for relay in relays {
        relay.terminate().await;
    }
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
