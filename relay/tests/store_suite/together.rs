//! Many calls that write at the same moment, as one transaction or as many: each hears what became of its own.

use protocol::{Mark, Role};
use relay::money::budget::Reserved;
use relay::records::store::{NewSession, Payer, Quality, Quota, Reserve, Settle, StoreError, TakeOver};

use super::{
    Bench, LEASE, WIDE, caps, on_both_databases, open, quota, reserve, row, session, settle, turn, usd,
};

on_both_databases! {
    of_many_calls_that_write_at_once_each_keeps_its_own_outcome
}

/// Of each kind.
const CALLS: usize = 12;
const ROUNDS: u32 = 5;
const KINDS: [&str; 5] = ["paying", "taken over", "erased", "ended", "poor"];

async fn of_many_calls_that_write_at_once_each_keeps_its_own_outcome(bench: Bench) {
    let store = &bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    let limits = Quota { sessions_per_user: 1_000, ..quota() };
    for kind in KINDS {
        for n in 0..CALLS {
            let id = format!("{kind} {n}");
            open(&**store, &NewSession { user_sub: kind.into(), ..session(&id) }, &limits).await;
            match kind {
                "taken over" => {
                    let by = TakeOver {
                        epoch: 0,
                        resume_hash: [8; 32],
                        previous: [7; 32],
                        relay: "relay-2".into(),
                        lease: LEASE,
                    };
                    store.take_over(&id, &by).await.expect("written").expect("live");
                }
                "erased" => assert!(store.delete_session(&id, None).await.expect("erased")),
                "ended" => {
                    store.end_session(&id, 0, "normal", Quality::default(), 1).await.expect("written");
                }
                _ => {}
            }
        }
    }
    for round in 0..ROUNDS {
        let calls = KINDS.into_iter().flat_map(|kind| (0..CALLS).map(move |n| (kind, n)));
        let calls: Vec<_> = calls
            .map(|(kind, n)| {
                let (store, id) = (store.clone(), format!("{kind} {n}"));
                tokio::spawn(async move {
                    let payer = Some(Payer { user_sub: kind.into(), account: "acme".into() });
                    let settle =
                        Settle { payer, ..settle(&id, vec![row(&format!("{round}"), 1_600, 3)], all) };
                    let turns = [turn(round, Role::User, &id)];
                    let narrow = caps(2, WIDE, WIDE);
                    let ask = Reserve {
                        spent: usd(0),
                        ..reserve(&id, 900, 900, if kind == "poor" { narrow } else { all })
                    };
                    let (settled, said, reserved) = tokio::join!(
                        store.settle(&settle),
                        store.save_turns(&id, 0, &turns, Mark::default(), 0),
                        store.reserve(&ask)
                    );
                    let own = match kind {
                        "paying" => {
                            matches!((&settled, &said, &reserved), (Ok(_), Ok(()), Ok(Reserved::Granted(_))))
                        }
                        "poor" => {
                            matches!((&settled, &said, &reserved), (Ok(_), Ok(()), Ok(Reserved::Short(_))))
                        }
                        "taken over" => matches!(
                            (&settled, &said, &reserved),
                            (
                                Err(StoreError::Fenced { .. }),
                                Err(StoreError::Fenced { .. }),
                                Err(StoreError::Fenced { .. })
                            )
                        ),
                        "erased" => matches!(
                            (&settled, &said, &reserved),
                            (
                                Err(StoreError::Erased { .. }),
                                Err(StoreError::NoSession { .. }),
                                Err(StoreError::NoSession { .. })
                            )
                        ),
                        _ => matches!(
                            (&settled, &said, &reserved),
                            (Ok(_), Err(StoreError::NoSession { .. }), Err(StoreError::NoSession { .. }))
                        ),
                    };
                    assert!(own, "{id}: {settled:?} {said:?} {reserved:?}");
                })
            })
            .collect();
        for call in calls {
            call.await.expect("no panic");
        }
    }
    let each = u64::from(ROUNDS) * 3;
    for (kind, cost, said) in
        [("paying", each, ROUNDS), ("poor", each, ROUNDS), ("taken over", 0, 0), ("ended", each, 0)]
    {
        for n in 0..CALLS {
            let id = format!("{kind} {n}");
            let stored = store.session(&id).await.expect("read").expect("there");
            let ledger = store.ledger(&id).await.expect("read");
            assert_eq!((stored.cost, ledger.len() as u64 * 3), (usd(cost), cost), "{id}");
            let turns = store.turns(&id).await.expect("read");
            assert_eq!(turns.len(), said as usize, "{id}");
            assert!(turns.iter().all(|row| row.turn.text == id), "{id}");
        }
    }
    let mut connection = bench.connect().await;
    let spent: i64 = sqlx::query_scalar("SELECT spent_nano_usd FROM budgets WHERE scope = 'account'")
        .fetch_one(&mut connection)
        .await
        .expect("read");
    assert_eq!(spent, (4 * CALLS as u64 * each) as i64, "with what the erased ones owed");
}
