//! Many calls while the database is away, and what is in the ledger afterwards.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use protocol::CloseCode;
use relay::NanoUsd;
use relay::config::Secret;
use relay::records::store::{SqlStore, Store};
use tokio::time::{sleep, timeout};

use crate::caller::{Caller, Told};
use crate::ports::free_address;
use crate::postgres::Server;
use crate::{Relay, sharing};

/// When the ledger has to be what was spoken, after the database is back.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What happens.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Calls at a time.
    pub calls: usize,
    /// How long they go on without the database, in seconds.
    pub grace: u32,
    /// How long it is away.
    pub away: Duration,
    /// How it goes away.
    pub how: How,
    /// The relay is killed just before it is back, and started again.
    pub killed: bool,
    /// How callers speak meanwhile.
    pub manner: Manner,
}

/// How a database goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its processes stand still: connections stay open and nobody answers.
    Frozen,
    /// It ends at once: connections are refused.
    Crashed,
}

/// How callers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// All pause while it is away, and go on in the moment when it is back.
    Together,
    /// Each pauses and goes on as chance has it. The same number gives the same times.
    Chance(u64),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Samples that were spoken, in all calls.
    pub spoken: u64,
    /// Of those, samples that the callers dropped and announced.
    pub missing: u64,
    /// Samples in the ledger.
    pub metered: u64,
    /// The same for each call.
    pub by_call: Vec<u64>,
    /// How long after the database was back that was so, or was given up.
    pub after: Duration,
    /// What every call was like.
    pub calls: Vec<Told>,
}

impl Outcome {
    /// Whether everything that was spoken is in the ledger once, but for what its caller dropped and announced, and every call ended as
    /// its caller wanted. Who hangs up announces what the relay has not confirmed by then, too.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        (self.metered..=self.metered + self.missing).contains(&self.spoken)
            && self.calls.iter().all(|call| call.ended == Some(CloseCode::Normal))
    }

    /// Calls whose connection was closed with this code, before their end.
    #[must_use]
    pub fn closed_with(&self, code: CloseCode) -> usize {
        self.calls.iter().filter(|call| call.closes.contains(&code.code())).count()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.calls.iter().filter(|call| call.ended == Some(CloseCode::Normal)).count();
        write!(
            f,
            "{} calls, {ended} ended well, {} closed with 1013, {:.1} s spoken, {:.1} s metered, {:.1} s dropped by callers, after {:.1} s",
            self.calls.len(),
            self.closed_with(CloseCode::TryLater),
            self.spoken as f64 / 16_000.0,
            self.metered as f64 / 16_000.0,
            self.missing as f64 / 16_000.0,
            self.after.as_secs_f64(),
        )?;
        let odd = self.calls.iter().zip(&self.by_call).filter(|(call, metered)| call.spoken != **metered);
        odd.take(5).try_for_each(|(call, metered)| write!(f, "; {metered} samples metered of {call:?}"))
    }
}

/// Goes through an outage.
///
/// # Panics
/// When the database, the relay or a call does not even begin.
pub async fn go_through(outage: &Outage) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::durable();
    let database = server.database().await;
    let grace = format!("[store]\ngrace_seconds = {}\n", outage.grace);
    let config = sharing(&database, folder.path(), &grace);
    let address = free_address().to_string();
    let mut relay = Relay::start_with(folder.path(), &address, &config).await;
    let url = relay.url();
    let mut callers: Vec<Caller> =
        (0..outage.calls).map(|n| Caller::call(&url, &format!("caller {n}"))).collect();
    join_all(callers.iter_mut().map(Caller::connected)).await;
    join_all(callers.iter().map(Caller::speak)).await;
    sleep(Duration::from_secs(7)).await;

    match outage.how {
        How::Frozen => server.freeze(),
        How::Crashed => server.crash(),
    }
    let meanwhile = outage.away;
    match outage.manner {
        Manner::Together => {
            sleep(meanwhile / 4).await;
            join_all(callers.iter().map(Caller::pause)).await;
            sleep(meanwhile * 3 / 4).await;
        }
        Manner::Chance(seed) => {
            let talk = callers.iter().enumerate().map(|(n, caller)| talk(caller, seed + n as u64, meanwhile));
            join_all(talk).await;
        }
    }
    if outage.killed {
        relay.child.kill().await.expect("it ran");
    }
    match outage.how {
        How::Frozen => server.thaw(),
        How::Crashed => server.restart(),
    }
    let back = Instant::now();
    if outage.killed {
        relay = Relay::start_with(folder.path(), &address, &config).await;
    }
    join_all(callers.iter().map(Caller::speak)).await;
    sleep(Duration::from_secs(4)).await;
    // Who hangs up while there is no connection does not wait for long until what was said is dropped.
    let connected = join_all(callers.iter_mut().map(Caller::connected));
    let _ = timeout(SETTLED_WITHIN, connected).await;
    sleep(Duration::from_secs(2)).await;
    join_all(callers.iter().map(Caller::hang_up)).await;
    let ends = callers.into_iter().map(|caller| timeout(Duration::from_secs(80), caller.end()));
    let calls: Vec<Told> = join_all(ends).await.into_iter().map(Result::unwrap_or_default).collect();

    let (spoken, missing) =
        calls.iter().fold((0, 0), |sum, call| (sum.0 + call.spoken, sum.1 + call.missing));
    let metered = loop {
        let (by_call, balanced) = metered(&database, &calls).await;
        let metered: u64 = by_call.iter().sum();
        let over = back.elapsed() > SETTLED_WITHIN;
        assert!(balanced || !over, "a session and its ledger do not say the same");
        if over || balanced && metered == spoken {
            break by_call;
        }
        sleep(LOOK_EVERY).await;
    };
    relay.terminate().await;
    Outcome { spoken, missing, metered: metered.iter().sum(), by_call: metered, after: back.elapsed(), calls }
}

/// Pauses and goes on for so long, by chance.
async fn talk(caller: &Caller, seed: u64, long: Duration) {
    let end = Instant::now() + long;
    let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    loop {
        for speaks in [false, true] {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let wait = Duration::from_millis(200 + chance % 5_000);
            let left = end.saturating_duration_since(Instant::now());
            if speaks {
                caller.speak().await;
            } else {
                caller.pause().await;
            }
            sleep(wait.min(left)).await;
            if left <= wait {
                return;
            }
        }
    }
}

/// Samples in the ledger of each of these calls, and whether their sessions say the same. While something is being written they may not.
async fn metered(database: &Secret, calls: &[Told]) -> (Vec<u64>, bool) {
    let store = SqlStore::postgres(database).await.expect("it is back");
    let (mut metered, mut balanced) = (vec![0; calls.len()], true);
    for (metered, call) in metered.iter_mut().zip(calls) {
        for id in &call.sessions {
            let session = store.session(id).await.expect("readable").expect("stored");
            let ledger = store.ledger(id).await.expect("readable");
            let cost = ledger.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost);
            let samples: u64 = ledger.iter().map(|row| row.quantity).sum();
            balanced &= (session.cost, session.audio_samples) == (cost, samples);
            *metered += samples;
        }
    }
    Store::close(&store).await;
    (metered, balanced)
}
