//! Calls that converse: somebody speaks for 0.8 s of every six, and an agent of recogniser, model and voice answers for 2.4 s, which is 40 % of the
//! time. Callers and providers are those of `cargo xtask bench turn`, in this process, and each provider takes the same time every time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tests::process::pin;
use tokio::time::{Instant, sleep_until};

use super::call::LATE_MS;
use super::caller::{Call, Sound};
use super::kept::Kept;
use super::script::{self, Book, CHUNK, CYCLE, Turn};
use super::server::Server;
use super::{Conversed, Readings, Row, Scene, fakes, folder, opened_in};

/// Everybody has taken a turn by then, so that the pools are warm.
const SETTLE: Duration = Duration::from_millis(100 * (CYCLE as u64 + 20));

/// Measures so many of them.
pub(crate) async fn measure(calls: u64, span: Duration, apart: bool) -> Row {
    let folder = folder();
    let book = Book::new(script::Scene::Fixed, calls as u32);
    let (providers, serving) = fakes::serve(book.clone(), fakes::Writes::Sentences).await;
    // A process has the cores of its parent, and as many threads for them.
    if apart {
        pin(std::process::id(), 0).await;
    }
    let server = Server::start_conversing(folder.path(), &providers).await;
    if apart {
        pin(std::process::id(), 1).await;
    }
    let (begin, first) = (Instant::now(), calls.div_ceil(10));
    // The others are opened when the memory with the first ones was measured.
    let first_up = begin + opened_in(first);
    let from = first_up + SETTLE + opened_in(calls - first) + SETTLE;
    let until = from + span;
    let (sound, lost) = (Arc::new(Sound::new()), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..calls {
        let is_first = number < first;
        let begins = if is_first { first_up } else { from - SETTLE };
        let call = Call {
            url: server.url(),
            number: number as u32,
            // Whenever each was opened.
            first: begins + script::after(number as u32),
            // The last turns have time to be answered.
            until: until + CHUNK * (CYCLE / 2),
            sound: sound.clone(),
            book: book.clone(),
        };
        let pause = if is_first { Duration::ZERO } else { SETTLE };
        let (lost, open_at) = (lost.clone(), begin + opened_in(number) + pause);
        tasks.spawn(async move {
            sleep_until(open_at).await;
            if let Err(cause) = call.run().await
                && lost.fetch_add(1, Ordering::Relaxed) == 0
            {
                eprintln!("a call was lost: {cause}");
            }
        });
    }
    let beside = async {
        sleep_until(from).await;
        let before = Kept::read(folder.path()).await;
        book.take_lateness();
        sleep_until(until).await;
        let late = book.take_lateness();
        (late, before, Kept::read(folder.path()).await)
    };
    let taken = Readings::take(server.pid(), first_up + SETTLE, from, span);
    let (readings, (late, before, after)) = tokio::join!(taken, beside);
    while tasks.join_next().await.is_some() {}
    let turns = book.between(from, until);
    server.kill().await;
    serving.abort();
    let mut latencies: Vec<f64> = turns.iter().filter_map(Turn::share).map(|share| share.sum()).collect();
    latencies.sort_by(f64::total_cmp);
    let call_minutes = calls as f64 * span.as_secs_f64() / 60.0;
    let conversed = Conversed {
        answered: latencies.len(),
        spoken: turns.len(),
        rows: (after.rows - before.rows) as f64 / call_minutes,
        bytes: (after.bytes - before.bytes) as f64 / call_minutes,
    };
    let late_count = late.iter().filter(|late| **late > LATE_MS).count();
    Row {
        scene: Scene::Conversing,
        calls,
        latencies,
        conversed: Some(conversed),
        kib_per_call: readings.kib as f64 / (calls - first) as f64,
        readings,
        late_percent: late_count as f64 / late.len().max(1) as f64 * 100.0,
        apart,
        lost: lost.load(Ordering::Relaxed),
    }
}
