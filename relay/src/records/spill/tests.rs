use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::Role;

use super::*;
use crate::call::Latency;
use crate::money::NanoUsd;
use crate::money::budget::{Caps, TokenCaps};
use crate::money::ledger::{LateCredit, LedgerRow};
use crate::records::store::{AlertFilter, AlertRow, NewSession, Notice, Opened, Payer, SqlStore, sample};

fn settle() -> Settle {
    let row = LedgerRow {
        key: "echo/listening@0".into(),
        provider: "echo".into(),
        item: "echo/listening".into(),
        unit: "sample".into(),
        quantity: 1_600,
        price: NanoUsd::new(4_800_000),
        per: 960_000,
        price_version: "test".into(),
        cost: NanoUsd::new(8_000),
        estimated: true,
        turn: Some(7),
        request_id: Some("req_1".into()),
    };
    Settle {
        session_id: "a".into(),
        payer: Some(Payer { user_sub: "ada".into(), account: "acme".into() }),
        epoch: 3,
        number: 11,
        rows: vec![row],
        credits: vec![LateCredit {
            key: "echo/listening@3.0.late".into(),
            samples: 800,
            amount: NanoUsd::new(4_000),
        }],
        metered_position: 1_600,
        committed: Mark { seq: 1, position: 800 },
        replayable_samples: 800,
        exposed: NanoUsd::new(9),
        release: true,
        caps: Caps {
            session: NanoUsd::new(1),
            user_day: NanoUsd::new(2),
            account_month: NanoUsd::MAX,
            token: TokenCaps::NONE,
        },
        at_ms: 1_700_000_000_000,
    }
}

#[test]
fn whatever_is_owed_reads_back_as_it_was() {
    let latency = Latency {
        stt_ms: Some(1),
        tts_ms: Some(3),
        heard_ms: Some(2),
        total_ms: Some(4),
        ..Latency::default()
    };
    let turn = |role| Turn {
        turn: 1,
        role,
        text: "\u{0}'🎙".into(),
        start: 2,
        end: 3,
        heard: Some(4),
        latency,
        revision: 5,
    };
    for owed in [
        Owed::Turns {
            turns: vec![turn(Role::User), turn(Role::Agent)],
            committed: Mark { seq: 5, position: 6 },
            replayable: 7,
        },
        Owed::Settle(Box::new(settle())),
        Owed::End {
            reason: "normal".into(),
            quality: Quality { rtt_avg_us: 1, rtt_max_us: 2, lost_samples: u64::MAX },
            at_ms: -1,
        },
    ] {
        let text = serde_json::to_string(&Entry::from(&owed)).expect("JSON");
        let entry: Entry = serde_json::from_str(&text).expect("JSON");
        assert_eq!(Owed::try_from(entry), Ok(owed));
    }
}

async fn numbers(spill: &Spill) -> Vec<i64> {
    let read = |rows| Job::Read { of: None, after: 0, limit: 10_000, rows };
    spill.ask(read).await.expect("read").iter().map(|kept| kept.number).collect()
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_crash_until_it_is_forgotten() {
    let dir = tempfile::tempdir().expect("a folder");
    let spill = Spill::open(dir.path()).await.expect("opened");
    let owed = Owed::Settle(Box::new(settle()));
    let kept = spill.keep("a", 3, &[owed.clone(), owed]).await.expect("kept");
    let [Some(first), Some(second)] = kept[..] else { panic!("there is room: {kept:?}") };
    assert!(first < second);
    spill.forget(vec![first]);
    assert_eq!(numbers(&spill).await, [second]);
    std::mem::forget(spill);
    let again = Spill::open(dir.path()).await.expect("opened");
    assert_eq!(numbers(&again).await, [second]);
}

#[tokio::test]
async fn what_the_file_cannot_take_is_held_until_it_can_or_the_database_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let spill = Spill::open(dir.path()).await.expect("opened");
    let store = SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("opened");
    let owed = Owed::Settle(Box::new(settle()));
    assert!(spill.hold("a", 3, &owed) && spill.hold("b", 3, &owed));
    assert_eq!(numbers(&spill).await, [0; 0]);
    // Of those that live nothing is written: they do it themselves.
    assert_eq!(spill.replay(&store, |_| true).await.expect("nothing to do"), 0);
    assert_eq!(spill.held().len(), 2);
    spill.move_held(|id| id == "a").await;
    assert_eq!((numbers(&spill).await.len(), spill.held().len()), (1, 1), "the file took it");
    // The file takes nothing any more: what is left goes to the database, which does not know the session, and says so.
    let full = Spill { jobs: mpsc::channel(1).0, ..spill.clone() };
    assert!(full.replay(&store, |_| false).await.is_err(), "what is in the file is not read");
    assert_eq!(full.held().len(), 0);
    assert!(spill.hold("c", 3, &owed));
    spill.close().await;
    let again = Spill::open(dir.path()).await.expect("opened");
    assert_eq!(numbers(&again).await.len(), 2, "written before the relay stopped");
    store.close().await;
}

#[tokio::test]
async fn what_comes_later_is_kept_behind_what_the_file_could_not_take_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let spill = Spill::open(dir.path()).await.expect("opened");
    let end = |at_ms| Owed::End { reason: "normal".into(), quality: Quality::default(), at_ms };
    spill.keep("a", 3, &[end(1)]).await.expect("kept");
    assert!(spill.hold("a", 3, &end(2)), "as if the file had been full");
    // The file takes nothing: what comes later is not to find a place before what is held.
    let full = Spill { jobs: mpsc::channel(1).0, ..spill.clone() };
    assert_eq!(full.keep("a", 3, &[end(3)]).await.expect("an answer"), [None]);
    assert!(full.hold("a", 3, &end(3)));
    assert!(matches!(spill.keep("a", 3, &[end(4)]).await.expect("kept")[..], [Some(_)]));
    assert_eq!(spill.held().len(), 0);
    let read = |rows| Job::Read { of: Some("a".into()), after: 0, limit: 10, rows };
    let kept = spill.ask(read).await.expect("read");
    let order: Vec<String> = kept.into_iter().map(|kept| kept.entry).collect();
    assert_eq!(order, [1, 2, 3, 4].map(|at_ms| to_text(&end(at_ms))));
    spill.close().await;
}

#[tokio::test]
async fn an_entry_that_is_damaged_holds_up_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let spill = Spill::open(dir.path()).await.expect("opened");
    let owed = Owed::Settle(Box::new(settle()));
    spill.keep("a", 3, &[owed.clone(), owed]).await.expect("kept");
    spill.close().await;
    let file = SqliteConnectOptions::new().filename(dir.path().join(SPILL_FILE));
    let mut connection = file.connect().await.expect("opened");
    let damage = "UPDATE owed SET entry = CAST(X'41C3' AS TEXT) WHERE id = 1";
    sqlx::raw_sql(damage).execute(&mut connection).await.expect("written");
    drop(connection);
    let again = Spill::open(dir.path()).await.expect("opened");
    assert_eq!(numbers(&again).await, [1, 2]);
    let store = SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("opened");
    again.replay(&store, |_| false).await.expect("the database is there");
    assert_eq!(numbers(&again).await, [0; 0], "one is written, and one is dropped");
    again.close().await;
    store.close().await;
}

#[tokio::test]
async fn what_is_written_for_an_erased_session_is_counted_and_told_as_for_any_other() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _local = metrics::set_default_local_recorder(&recorder);
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = owed_by(dir.path(), &["a".to_owned()]).await;
    assert!(store.delete_session("a", None).await.expect("erased"));
    let mut owed = settle();
    let excess = LedgerRow {
        key: "echo/model@0/excess_output_token".into(),
        item: "echo/model".into(),
        unit: "excess_output_token".into(),
        quantity: 5,
        price: NanoUsd::new(2),
        per: 1,
        cost: NanoUsd::ZERO,
        ..owed.rows[0].clone()
    };
    owed.rows.push(excess);
    let spill = Spill::open(dir.path()).await.expect("opened");
    spill.keep("a", 3, &[Owed::Settle(Box::new(owed))]).await.expect("kept");
    assert_eq!(spill.replay(&store, |_| false).await.expect("written"), 1);
    let text = counted.render();
    for line in [
        "voxrelay_cost_nano_usd_total{provider=\"echo\",unit=\"sample\",estimated=\"true\"} 8000",
        "voxrelay_excess_nano_usd_total 10",
    ] {
        assert!(text.lines().any(|said| said == line), "no {line} in {text}");
    }
    let listed = store.list_alerts(&AlertFilter::default(), None, 10).await.expect("read").rows;
    let mut excesses = listed.iter().filter_map(|AlertRow { alert, .. }| match alert {
        Notice::Excess(alert) => Some(alert),
        _ => None,
    });
    let (Some(alert), None) = (excesses.next(), excesses.next()) else { panic!("one: {listed:?}") };
    assert_eq!((&*alert.item, &*alert.account, &*alert.session_id), ("echo/model", "acme", ""));
    spill.close().await;
    store.close().await;
}

#[tokio::test]
async fn two_thousand_that_keep_something_at_once_all_find_a_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let spill = Spill::open(dir.path()).await.expect("opened");
    let owed = [Owed::Settle(Box::new(settle()))];
    let all = (0..2_000).map(|n| {
        let (spill, owed) = (spill.clone(), owed.clone());
        async move { spill.keep(&format!("session {n}"), 0, &owed).await.expect("kept") }
    });
    let kept = futures_util::future::join_all(all).await;
    assert!(kept.iter().all(|kept| matches!(kept[..], [Some(_)])));
    assert_eq!(numbers(&spill).await.len(), 2_000);
    spill.close().await;
    assert!(spill.keep("a", 0, &owed).await.is_err(), "it is closed, and says so");
}

/// What sessions with these ids owe, each of them stored. The rows of those whose ids begin with `damaged` are damaged.
async fn owed_by(dir: &Path, ids: &[String]) -> (SqlStore, Vec<Owed>) {
    let database = dir.join("voxrelay.db");
    let store = SqlStore::sqlite(&database).await.expect("opened");
    let quota = sample::quota("relay-1");
    let caps = quota.caps;
    for id in ids {
        let session = NewSession { epoch: 3, ..sample::session(id) };
        let opened = store.open_session(&session, &quota).await.expect("written");
        assert!(matches!(opened, Opened::Yes { .. }), "{opened:?}");
    }
    let mut operator = SqliteConnectOptions::new().filename(&database).connect().await.expect("it is there");
    let damage = "UPDATE sessions SET settlements = -7 WHERE id LIKE 'damaged%'";
    sqlx::raw_sql(damage).execute(&mut operator).await.expect("written");
    let owed = ids.iter().map(|id| {
        let (session_id, credits) = (id.clone(), Vec::new());
        Owed::Settle(Box::new(Settle { session_id, credits, caps, ..settle() }))
    });
    (store, owed.collect())
}

/// How many of these sessions have something in the ledger.
async fn paid(store: &SqlStore, ids: &[String]) -> usize {
    let mut paid = 0;
    for id in ids {
        paid += usize::from(!store.ledger(id).await.expect("read").is_empty());
    }
    paid
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_whose_rows_are_damaged_wait_alone_and_the_others_are_paid() {
    let dir = tempfile::tempdir().expect("a folder");
    let damaged: Vec<String> = (0..40).map(|n| format!("damaged-{n}")).collect();
    let whole: Vec<String> = (0..5).map(|n| format!("whole-{n}")).collect();
    let all = [&damaged[..], &whole[..]].concat();
    let (store, owed) = owed_by(dir.path(), &all).await;
    let spill = Spill::open(dir.path()).await.expect("opened");
    for (id, owed) in all.iter().zip(&owed) {
        assert!(matches!(spill.keep(id, 3, std::slice::from_ref(owed)).await.expect("kept")[..], [Some(_)]));
    }
    let error = spill.replay(&store, |_| false).await.expect_err("some of it waits");
    assert!(error.is_damage() && error.to_string().contains("session damaged-"), "{error}");
    assert_eq!((paid(&store, &whole).await, numbers(&spill).await.len()), (5, 40));
    // Before somebody goes on with a session, what it owes is to be written.
    let error = spill.replay_of(&store, &damaged[0]).await.expect_err("it waits");
    assert!(error.is_damage(), "{error}");

    // That the database is away is more than that a row is damaged.
    store.close().await;
    let error = spill.replay(&store, |_| false).await.expect_err("nobody is there");
    assert!(error.is_away(), "{error}");
    assert_eq!(numbers(&spill).await.len(), 40);
    spill.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_of_a_session_whose_row_is_damaged_holds_up_nothing_that_is_held_of_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let damaged: Vec<String> = (0..20).map(|n| format!("damaged-{n}")).collect();
    let whole: Vec<String> = (0..20).map(|n| format!("whole-{n}")).collect();
    let all = [&damaged[..], &whole[..]].concat();
    let (store, owed) = owed_by(dir.path(), &all).await;
    let spill = Spill::open(dir.path()).await.expect("opened");
    // The file takes nothing.
    let full = Spill { jobs: mpsc::channel(1).0, ..spill.clone() };
    assert!(all.iter().zip(&owed).all(|(id, owed)| full.hold(id, 3, owed)));
    assert!(full.replay(&store, |_| false).await.is_err(), "the file cannot be read");
    assert_eq!((paid(&store, &whole).await, full.held().len()), (20, 20));
    store.close().await;
    spill.close().await;
}

#[test]
fn a_round_that_finds_the_database_away_says_that_and_not_that_a_row_is_damaged() {
    let damage = |id: &str| StoreError::Corrupt { row: format!("session {id}"), column: "epoch" };
    let mut round = Round::default();
    round.wait("a".into(), damage("a"));
    round.wait("b".into(), damage("b"));
    assert!(round.error.as_ref().is_some_and(|error| error.to_string().starts_with("session a")));
    round.wait("c".into(), StoreError::Unfinished);
    round.wait("d".into(), damage("d"));
    assert_eq!(round.waiting.len(), 4);
    assert!(round.end().is_err_and(|error| error.is_away()));
}
