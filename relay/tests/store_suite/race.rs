//! Many at once: no cap is overshot, nobody is refused while there is money, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use relay::money::budget::{Range, Reserved};
use relay::records::store::{NewSession, Opened, Quota, Reserve, Settle, Store};
use tokio::time::sleep;

use super::{Bench, WIDE, caps, on_both_databases, quota, reserve, row, session, settle, usd};

on_both_databases! {
    a_thousand_sessions_race_for_one_budget_over_two_relays
    callers_who_hang_up_leave_nothing_half_done
}

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(20);
const SESSIONS: u64 = 1_000;
/// What each of them wants to spend, step by step.
const WANTS: u64 = 10;
const STEP: u64 = 7;
/// The account's budget: less than half of what they want, and no multiple of a step.
const BUDGET: u64 = 31_001;

async fn a_thousand_sessions_race_for_one_budget_over_two_relays(bench: Bench) {
    let stores = [bench.store.clone(), bench.another().await];
    let caps = caps(WIDE, WIDE, BUDGET);
    let tasks: Vec<_> =
        (0..SESSIONS).map(|n| tokio::spawn(spend(stores[n as usize % 2].clone(), n, caps))).collect();
    let (mut spent, mut refused) = (0, 0);
    for task in tasks {
        let (cost, short) = task.await.expect("no panic");
        spent += cost;
        refused += u64::from(short);
    }
    assert!(spent <= BUDGET, "{spent} of {BUDGET}");
    assert!(BUDGET - spent < STEP, "somebody was refused while there was money: {spent} of {BUDGET}");
    assert!(refused > 0);
    let mut connection = bench.connect().await;
    let sums: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT CAST((SELECT SUM(cost_nano_usd) FROM ledger) AS BIGINT),
            CAST((SELECT SUM(cost_nano_usd) FROM sessions) AS BIGINT),
            (SELECT spent_nano_usd FROM budgets WHERE scope = 'account'),
            (SELECT reserved_nano_usd FROM budgets WHERE scope = 'account')",
    )
    .fetch_one(&mut connection)
    .await
    .expect("read");
    let spent = spent as i64;
    assert_eq!(sums, (spent, spent, spent, 0));
}

/// One session: reserves ahead, spends in steps, settles some of them twice, and gives back the rest. Says what it cost and whether it
/// was refused for good.
async fn spend(store: Arc<dyn Store>, n: u64, caps: relay::money::budget::Caps) -> (u64, bool) {
    let store = Patient(store);
    let id = format!("s{n}");
    let first = Range { at_least: usd(STEP), at_most: usd(3 * STEP) };
    let new = NewSession { user_sub: format!("user {n}"), ..session(&id) };
    let quota = Quota { caps, reserve: first, sessions_per_account: u32::MAX, ..quota() };
    let mut authorised = loop {
        match store.open(&new, &quota).await {
            Opened::Yes { grant, .. } => break grant.authorised.get(),
            Opened::NoMoney(short) if short.contended => sleep(AGAIN).await,
            Opened::NoMoney(_) => return (0, true),
            other => panic!("{other:?}"),
        }
    };
    let mut cost = 0;
    let mut refused = false;
    for step in 0..WANTS {
        while cost + STEP > authorised && !refused {
            let ask = Reserve { spent: usd(cost), ..reserve(&id, cost + STEP, cost + 3 * STEP, caps) };
            match store.reserve(&ask).await {
                Reserved::Granted(grant) => authorised = grant.authorised.get(),
                Reserved::Short(short) if short.contended => {
                    authorised = short.authorised.get();
                    sleep(AGAIN).await;
                }
                Reserved::Short(_) => refused = true,
            }
        }
        if refused {
            break;
        }
        cost += STEP;
        let rows = vec![row(&format!("{step}"), 1, STEP)];
        for _ in 0..=(n + step) % 2 {
            store.settle(&settle(&id, rows.clone(), caps)).await;
        }
    }
    let rest = Settle { release: true, ..settle(&id, vec![], caps) };
    store.settle(&rest).await;
    (cost, refused)
}

/// Asks again while the database is too busy to answer, as a relay does.
struct Patient(Arc<dyn Store>);

impl Patient {
    async fn open(&self, session: &NewSession, quota: &Quota) -> Opened {
        loop {
            match self.0.open_session(session, quota).await {
                Err(error) if error.is_away() => sleep(AGAIN).await,
                answer => return answer.expect("answered"),
            }
        }
    }

    async fn reserve(&self, ask: &Reserve<'_>) -> Reserved {
        loop {
            match self.0.reserve(ask).await {
                Err(error) if error.is_away() => sleep(AGAIN).await,
                answer => return answer.expect("answered"),
            }
        }
    }

    async fn settle(&self, settle: &Settle) {
        loop {
            match self.0.settle(settle).await {
                Err(error) if error.is_away() => sleep(AGAIN).await,
                answer => return drop(answer.expect("written")),
            }
        }
    }
}

async fn callers_who_hang_up_leave_nothing_half_done(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    super::open(store, &session("a"), &quota()).await;
    let rows: Vec<_> = (0..50).map(|n| row(&format!("{n}"), 1_600, 8)).collect();
    for micros in 0..60 {
        let all_rows = settle("a", rows.clone(), all);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(micros * 50), store.settle(&all_rows))
            .await;
        let ask = reserve("a", 1_000, 1_000 + micros, all);
        let _ =
            tokio::time::timeout(std::time::Duration::from_micros(micros * 20), store.reserve(&ask)).await;
    }
    Patient(bench.store.clone()).settle(&settle("a", rows, all)).await;
    let stored = store.session("a").await.expect("read").expect("there");
    assert_eq!((stored.cost, stored.audio_samples), (usd(400), 80_000));
    let done = store.settle(&Settle { release: true, ..settle("a", vec![], all) }).await.expect("written");
    assert_eq!((done.standing.user.spent, done.standing.user.reserved), (usd(400), usd(0)));
}
