//! The store, on real files.

use std::path::Path;

use protocol::{Mark, Role};
use relay::NanoUsd;
use relay::meter::{Meter, UsageRow};
use relay::price::PriceTable;
use relay::store::{NewSession, SessionState, Store, StoreError, Turn, unix_ms};

fn session(id: &str) -> NewSession {
    NewSession {
        id: id.to_owned(),
        user_sub: "ada".into(),
        client: "test/1".into(),
        agent: "echo".into(),
        started_at_ms: 1_000,
        epoch: 1,
        committed: Mark::default(),
        resume_hash: [7; 32],
    }
}

fn turn(turn: u32, role: Role, text: &str) -> Turn {
    Turn { turn, role, text: text.into(), start: 0, end: 16_000, heard: None }
}

/// Rows as a meter makes them: 100 ms each.
fn usage(rows: usize) -> Vec<UsageRow> {
    let price = PriceTable::shipped().price("echo/listening").expect("priced").clone();
    let mut meter = Meter::new(price, 16_000);
    let row = |_| {
        meter.add_samples(1_600);
        meter.take_row().expect("counted")
    };
    (0..rows).map(row).collect()
}

async fn open(dir: &Path) -> Store {
    Store::open(&dir.join("data/voxrelay.db")).await.expect("opened")
}

#[tokio::test]
async fn a_session_is_read_back_as_it_was_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    assert_eq!(store.session("a").await.expect("read"), None);
    store.begin_session(&session("a")).await.expect("written");
    store.rotate_resume("a", &[8; 32], Some(&[7; 32]), 1, 1).await.expect("written");
    store
        .save_turns("a", &[turn(0, Role::User, "hello")], Mark { seq: 10, position: 16_000 })
        .await
        .expect("written");
    store.record_usage("a", &usage(10), 16_000).await.expect("written");

    let row = store.session("a").await.expect("read").expect("there");
    assert_eq!((row.state, row.ended_at_ms, row.end_reason.as_deref()), (SessionState::Live, None, None));
    assert_eq!((row.user_sub.as_str(), row.client.as_str(), row.agent.as_str()), ("ada", "test/1", "echo"));
    assert_eq!((row.resume_hash, row.resume_hash_previous), ([8; 32], Some([7; 32])));
    assert_eq!((row.epoch, row.reconnects, row.started_at_ms), (1, 1, 1_000));
    assert_eq!(row.committed, Mark { seq: 10, position: 16_000 });
    assert_eq!((row.audio_samples, row.cost, row.metered_position), (16_000, NanoUsd::new(80_000), 16_000));

    store.end_session("a", "normal", 2_000).await.expect("written");
    let row = store.session("a").await.expect("read").expect("there");
    assert_eq!(
        (row.state, row.ended_at_ms, row.end_reason.as_deref()),
        (SessionState::Ended, Some(2_000), Some("normal"))
    );
    assert_eq!(row.resume_hash_previous, None);
    store.close().await;
}

#[tokio::test]
async fn a_turn_is_written_over_and_what_is_committed_never_goes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    store.begin_session(&session("a")).await.expect("written");
    let far = Mark { seq: 20, position: 32_000 };
    store
        .save_turns("a", &[turn(0, Role::User, "hel"), turn(1, Role::Agent, "You said")], far)
        .await
        .expect("written");
    let heard = Turn { heard: Some(500), ..turn(1, Role::Agent, "You said: hello") };
    store
        .save_turns("a", &[turn(0, Role::User, "hello"), heard], Mark { seq: 5, position: 8_000 })
        .await
        .expect("written");
    store
        .save_turns("a", &[turn(1, Role::Agent, "You said: hello")], Mark::default())
        .await
        .expect("written");

    let turns = store.turns("a").await.expect("read");
    let texts: Vec<_> =
        turns.iter().map(|row| (row.turn.text.as_str(), row.turn.role, row.turn.heard)).collect();
    assert_eq!(texts, [("hello", Role::User, None), ("You said: hello", Role::Agent, Some(500))]);
    assert!(turns.iter().all(|row| (row.created_at_ms - unix_ms()).abs() < 60_000));
    assert_eq!(store.session("a").await.expect("read").expect("there").committed, far);
}

#[tokio::test]
async fn usage_that_is_written_twice_counts_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    store.begin_session(&session("a")).await.expect("written");
    let rows = usage(7);
    for part in [&rows[..3], &rows[..3], &rows[1..7], &rows[..], &[]] {
        store.record_usage("a", part, 11_200).await.expect("written");
    }
    assert_eq!(store.usage("a").await.expect("read"), rows);
    let row = store.session("a").await.expect("read").expect("there");
    assert_eq!((row.audio_samples, row.cost), (11_200, NanoUsd::new(56_000)));
}

#[tokio::test]
async fn what_was_used_is_owed_after_the_end_and_nothing_else_is_written_then() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    store.begin_session(&session("a")).await.expect("written");
    store.end_session("a", "normal", 2_000).await.expect("written");
    store.record_usage("a", &usage(1), 1_600).await.expect("written");
    for refused in [
        store.end_session("a", "idle", 3_000).await,
        store.rotate_resume("a", &[1; 32], None, 2, 1).await,
        store.save_turns("a", &[turn(0, Role::User, "late")], Mark::default()).await,
        store.record_usage("nobody", &usage(1), 1_600).await,
        store.save_turns("nobody", &[turn(0, Role::User, "hello")], Mark::default()).await,
    ] {
        assert!(matches!(refused, Err(StoreError::NoSession { .. })), "{refused:?}");
    }
    assert_eq!(store.turns("a").await.expect("read"), []);
    assert_eq!(store.session("a").await.expect("read").expect("there").end_reason.as_deref(), Some("normal"));
}

#[tokio::test]
async fn a_session_id_is_taken_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    store.begin_session(&session("a")).await.expect("written");
    assert!(matches!(store.begin_session(&session("a")).await, Err(StoreError::Database(_))));
}

#[tokio::test]
async fn what_was_written_is_there_after_a_crash() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    store.begin_session(&session("a")).await.expect("written");
    store.record_usage("a", &usage(3), 4_800).await.expect("written");
    // As a crash leaves it: nothing is closed, and the write-ahead log is not folded in.
    std::mem::forget(store.clone());
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(copy.path().join("data")).expect("made");
    for file in std::fs::read_dir(dir.path().join("data")).expect("read") {
        let file = file.expect("a file");
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), copy.path().join("data").join(file.file_name())).expect("copied");
        }
    }
    let reopened = open(copy.path()).await;
    assert_eq!(reopened.usage("a").await.expect("read"), usage(3));
    assert_eq!(reopened.session("a").await.expect("read").expect("there").cost, NanoUsd::new(24_000));
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    store.begin_session(&session("a")).await.expect("written");
    let rows = usage(200);
    for micros in 0..60 {
        let write = store.record_usage("a", &rows, 320_000);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(micros * 20), write).await;
    }
    store.record_usage("a", &rows[..1], 1_600).await.expect("the writer still works");
    store.close().await;
    let store = open(dir.path()).await;
    let stored = store.usage("a").await.expect("read");
    assert!(stored == rows || stored == rows[..1], "{} rows", stored.len());
    let cost = stored.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost);
    assert_eq!(store.session("a").await.expect("read").expect("there").cost, cost);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_write_at_once_and_every_sum_is_right() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let sessions: Vec<_> = (0..32)
        .map(|n: u32| {
            let store = store.clone();
            tokio::spawn(async move {
                let id = format!("session-{n}");
                store.begin_session(&session(&id)).await.expect("written");
                for (at, row) in (1_u32..).zip(usage(20)) {
                    let mark = Mark { seq: at, position: at * 1_600 };
                    store.record_usage(&id, &[row.clone(), row], mark.position).await.expect("written");
                    store.save_turns(&id, &[turn(at, Role::User, "words")], mark).await.expect("written");
                    store.session(&id).await.expect("read").expect("there");
                }
                store.end_session(&id, "normal", 5_000).await.expect("written");
                store.session(&id).await.expect("read").expect("there")
            })
        })
        .collect();
    for session in sessions {
        let row = session.await.expect("no panic");
        assert_eq!(
            (row.audio_samples, row.cost, row.state),
            (32_000, NanoUsd::new(160_000), SessionState::Ended)
        );
        assert_eq!(row.committed, Mark { seq: 20, position: 32_000 });
        assert_eq!(store.turns(&row.id).await.expect("read").len(), 20);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_its_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("voxrelay.db");
    std::fs::write(&path, "this is not a database, it is a letter to somebody else").expect("written");
    let error = Store::open(&path).await.expect_err("no database");
    assert!(error.to_string().contains("voxrelay.db"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_data_folder_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).await;
    let mode = std::fs::metadata(dir.path().join("data")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
