//! What is kept for a while only.

use std::path::Path;

use protocol::{Mark, Role};
use relay::config::{RecordingPlace, Retention};
use relay::records::recording::{Recordings, key};
use relay::records::retention::{Purged, sweep};
use relay::records::store::{Attempted, Expiring, NewSession, Quality, Store, StoreError, unix_ms};
use std::time::Duration;

use super::{Bench, Place, WIDE, caps, on_both_databases, open, quota, row, session, settle, turn};

on_both_databases! {
    transcripts_go_when_they_are_too_old_and_not_before
    rows_go_in_batches
    recordings_go_when_they_are_too_old_and_their_files_first
    recordings_of_deleted_sessions_go_and_what_cannot_be_reached_waits
    a_session_that_goes_on_elsewhere_has_one_more_recording
    budgets_and_alerts_go_after_four_hundred_days
    nothing_goes_when_nothing_is_configured
    no_byte_of_an_expired_transcript_is_left
}

const DAY_MS: i64 = 24 * 3_600 * 1_000;
const KEEP_ALL: Retention = Retention { transcript_days: None, recording_days: None };

async fn turns(store: &dyn Store, id: &str, count: u32, text: &str) {
    open(store, &session(id), &quota()).await;
    let turns: Vec<_> = (0..count).map(|n| turn(n, Role::User, &format!("{text} {n}"))).collect();
    store.save_turns(id, 0, &turns, Mark::default(), 0).await.expect("written");
}

async fn end(store: &dyn Store, id: &str) {
    store.end_session(id, 0, "normal", Quality::default(), unix_ms()).await.expect("written");
}

async fn transcripts_go_when_they_are_too_old_and_not_before(bench: Bench) {
    let store = &*bench.store;
    turns(store, "a", 3, "hello").await;
    let keep = Retention { transcript_days: Some(7), ..KEEP_ALL };
    let purged = sweep(store, None, &keep, unix_ms() + 6 * DAY_MS).await.expect("swept");
    assert_eq!(purged, Purged::default());
    let purged = sweep(store, None, &keep, unix_ms() + 8 * DAY_MS).await.expect("swept");
    assert_eq!(purged, Purged { turns: 3, ..Purged::default() });
    assert_eq!(store.turns("a").await.expect("read"), []);
    assert!(store.session("a").await.expect("read").is_some(), "the session's record stays");
}

async fn rows_go_in_batches(bench: Bench) {
    let store = &*bench.store;
    turns(store, "a", 120, "hello").await;
    let what = Expiring::Turns { before_ms: unix_ms() + DAY_MS };
    for deleted in [50, 50, 20, 0] {
        assert_eq!(store.expire(what, 50).await.expect("deleted"), deleted);
    }
}

/// Recordings in a folder, and sessions with a file each.
async fn recorded(store: &dyn Store, dir: &Path, ids: &[&str]) -> Recordings {
    let place = RecordingPlace::Folder(dir.join("rec"));
    let recordings = Recordings::new(&place, &dir.join("data"), 0, []).expect("folders");
    for id in ids {
        let recording = key(id, 0, unix_ms());
        open(store, &NewSession { recording: Some(recording.clone()), ..session(id) }, &quota()).await;
        let path = dir.join("rec").join(recording);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "sound").expect("written");
    }
    recordings
}

fn file(dir: &Path, id: &str) -> bool {
    dir.join("rec").join(key(id, 0, unix_ms())).exists()
}

async fn recordings_go_when_they_are_too_old_and_their_files_first(bench: Bench) {
    let (store, dir) = (&*bench.store, tempfile::tempdir().expect("a folder"));
    let recordings = recorded(store, dir.path(), &["over", "live"]).await;
    end(store, "over").await;
    let keep = Retention { recording_days: Some(30), ..KEEP_ALL };
    let now = unix_ms();
    assert_eq!(sweep(store, Some(&recordings), &keep, now).await.expect("swept"), Purged::default());
    let late = now + 31 * DAY_MS;
    let without = sweep(store, None, &keep, late).await.expect("swept");
    assert_eq!(without, Purged { left: 1, ..Purged::default() }, "nobody knows where it is");
    let recording = store.session("over").await.expect("read").and_then(|row| row.recording);
    assert!(recording.is_some() && file(dir.path(), "over"));
    let purged = sweep(store, Some(&recordings), &keep, late).await.expect("swept");
    assert_eq!(purged, Purged { recordings: 1, ..Purged::default() });
    assert!(!file(dir.path(), "over") && file(dir.path(), "live"));
    assert_eq!(store.session("over").await.expect("read").and_then(|row| row.recording), None);
    assert!(store.session("live").await.expect("read").and_then(|row| row.recording).is_some());
}

async fn recordings_of_deleted_sessions_go_and_what_cannot_be_reached_waits(bench: Bench) {
    let (store, dir) = (&*bench.store, tempfile::tempdir().expect("a folder"));
    let recordings = recorded(store, dir.path(), &["a", "b"]).await;
    let mut connection = bench.connect().await;
    for id in ["a", "b", "never written"] {
        let insert = sqlx::query("INSERT INTO erased_recordings (recording) VALUES ($1)");
        insert.bind(key(id, 0, unix_ms())).execute(&mut connection).await.expect("written");
    }
    // In place of b's file there is something that is no file.
    let path = dir.path().join("rec").join(key("b", 0, unix_ms()));
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir_all(path.join("full")).expect("made");
    let purged = sweep(store, Some(&recordings), &KEEP_ALL, unix_ms()).await.expect("swept");
    assert_eq!(purged, Purged { erased: 2, left: 1, ..Purged::default() });
    assert!(!file(dir.path(), "a"));
    assert_eq!(store.erased_recordings("", 10).await.expect("read"), [key("b", 0, unix_ms())]);
    std::fs::remove_dir_all(&path).expect("removed");
    let purged = sweep(store, Some(&recordings), &KEEP_ALL, unix_ms()).await.expect("swept");
    assert_eq!(purged, Purged { erased: 1, ..Purged::default() });
}

async fn a_session_that_goes_on_elsewhere_has_one_more_recording(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    store.add_recording("a", 0, "2026/11/22/a.wav").await.expect("written");
    store.add_recording("a", 0, "2026/11/22/a.1.wav").await.expect("written");
    let recording = store.session("a").await.expect("read").and_then(|row| row.recording);
    assert_eq!(recording.as_deref(), Some("2026/11/22/a.wav 2026/11/22/a.1.wav"));
    let fenced = store.add_recording("a", 7, "2026/11/22/a.7.wav").await;
    assert!(matches!(fenced, Err(StoreError::NoSession { .. })), "{fenced:?}");
    end(store, "a").await;
    store.forget_recording("a", "another").await.expect("nothing to do");
    assert!(store.session("a").await.expect("read").is_some_and(|row| row.recording == recording));
}

async fn budgets_and_alerts_go_after_four_hundred_days(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let caps = caps(100, WIDE, WIDE);
    store.settle(&settle("a", vec![row("1", 1, 100)], caps)).await.expect("written");
    let alerts = store.claim_alerts(Duration::from_secs(60), 2).await.expect("claimed");
    for alert in &alerts {
        store.finish_alert(alert.claimed(), Attempted::Delivered, "204").await.expect("written");
    }
    let early = sweep(store, None, &KEEP_ALL, unix_ms() + 399 * DAY_MS).await.expect("swept");
    assert_eq!(early.books, 0);
    // A month that ended so long ago began a month before.
    let late = sweep(store, None, &KEEP_ALL, unix_ms() + 432 * DAY_MS).await.expect("swept");
    assert_eq!(late.books, 2 + 2, "two budgets, and the alerts that do not wait");
    let mut connection = bench.connect().await;
    let left: (i64, i64) =
        sqlx::query_as("SELECT (SELECT COUNT(*) FROM budgets), (SELECT COUNT(*) FROM alerts)")
            .fetch_one(&mut connection)
            .await
            .expect("read");
    assert_eq!(left, (0, 1));
}

async fn nothing_goes_when_nothing_is_configured(bench: Bench) {
    let store = &*bench.store;
    turns(store, "a", 3, "hello").await;
    end(store, "a").await;
    let purged = sweep(store, None, &KEEP_ALL, unix_ms() + 300 * DAY_MS).await.expect("swept");
    assert_eq!(purged, Purged::default());
    assert_eq!(store.turns("a").await.expect("read").len(), 3);
}

async fn no_byte_of_an_expired_transcript_is_left(bench: Bench) {
    // What PostgreSQL's files hold is for VACUUM and the operator to say.
    let Place::Sqlite(dir) = &bench.place else { return };
    let store = &*bench.store;
    let secret = "a word that is said nowhere else";
    turns(store, "a", 300, secret).await;
    turns(store, "b", 1, "something that stays").await;
    let found = |what: &str| {
        let files = std::fs::read_dir(dir.path().join("data")).expect("a folder");
        let files: Vec<String> = files
            .map(|entry| entry.expect("a file").path())
            .filter(|path| {
                let bytes = std::fs::read(path).expect("read");
                bytes.windows(what.len()).any(|window| window == what.as_bytes())
            })
            .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .collect();
        files
    };
    assert!(!found(secret).is_empty(), "it was there");
    let now = unix_ms() + 2 * DAY_MS;
    let keep = Retention { transcript_days: Some(1), ..KEEP_ALL };
    assert_eq!(sweep(store, None, &keep, now).await.expect("swept").turns, 301);
    assert_eq!(found(secret), Vec::<String>::new());
    turns(store, "c", 1, "something else").await;
    assert!(!found("something else").is_empty(), "the search finds what is there");
}
