//! What a relay kept on its own disk while the database was away is written when it is back.

use std::path::Path;
use std::time::Duration;

use relay::records::spill::Spill;
use relay::records::store::Reserve;
use sqlx::{AnyConnection, Connection};

use super::{Bench, WIDE, caps, of_a_lost_relay, on_both_databases, open, quota, reserve, session, usd};

on_both_databases! {
    the_words_of_a_relay_that_comes_back_are_written_when_its_sessions_were_given_up_or_ended_elsewhere
}

/// More than one step of a replay reads.
const ENTRIES: u32 = 600;

/// Puts turns into the file, as a relay leaves them that was killed.
async fn leave(folder: &Path, sessions: &[(&str, u32)]) {
    drop(Spill::open(folder).await.expect("made"));
    let mut file = AnyConnection::connect(&format!("sqlite://{}", folder.join("spill.db").display()))
        .await
        .expect("it is there");
    sqlx::raw_sql("PRAGMA busy_timeout = 5000; BEGIN").execute(&mut file).await.expect("begun");
    for (session, count) in sessions {
        for number in 0..*count {
            let turn = serde_json::json!({ "turn": number, "role": "user", "text": number.to_string(), "start": 0, "end": 1,
                "heard": null, "stt_ms": null, "llm_ms": null, "tts_ms": null, "total_ms": null });
            // Each entry is of the same turn, too: the last one counts.
            let again = serde_json::json!({ "turn": ENTRIES, "role": "user", "text": number.to_string(), "start": 0, "end": 1,
                "heard": null, "stt_ms": null, "llm_ms": null, "tts_ms": null, "total_ms": null });
            let entry =
                serde_json::json!({ "type": "turns", "turns": [turn, again], "seq": 0, "position": 0 });
            sqlx::query("INSERT INTO owed (session_id, epoch, entry) VALUES ($1, 0, $2)")
                .bind((*session).to_owned())
                .bind(entry.to_string())
                .execute(&mut file)
                .await
                .expect("left");
        }
    }
    sqlx::raw_sql("COMMIT").execute(&mut file).await.expect("left");
    file.close().await.expect("closed");
}

/// Rows of SQLite are not locked.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_a_session_that_somebody_has_locked_holds_up_no_other_and_keeps_its_order() {
    let bench = Bench::postgres().await;
    let store = &*bench.store;
    let folder = tempfile::tempdir().expect("a folder");
    for id in ["locked", "free"] {
        open(store, &session(id), &quota()).await;
    }
    leave(folder.path(), &[("locked", ENTRIES), ("free", 3)]).await;
    let spill = Spill::open(folder.path()).await.expect("opened");
    let mut operator = bench.connect().await;
    let lock = "BEGIN; SELECT * FROM sessions WHERE id = 'locked' FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut operator).await.expect("locked");
    let error = spill.replay(store, |_| false).await.expect_err("not all of it is written");
    assert!(error.is_away(), "{error}");
    assert_eq!(store.turns("free").await.expect("read").len(), 3 + 1);
    assert_eq!(store.turns("locked").await.expect("read"), [], "nothing of it before what comes first");

    sqlx::raw_sql("ROLLBACK").execute(&mut operator).await.expect("free");
    assert_eq!(spill.replay(store, |_| false).await.expect("written"), u64::from(ENTRIES));
    let turns = store.turns("locked").await.expect("read");
    assert_eq!(turns.len(), ENTRIES as usize + 1);
    assert_eq!(turns.last().expect("there").turn.text, (ENTRIES - 1).to_string(), "in their order");
    assert_eq!(spill.replay(store, |_| false).await.expect("nothing to do"), 0);
}

async fn the_words_of_a_relay_that_comes_back_are_written_when_its_sessions_were_given_up_or_ended_elsewhere(
    bench: Bench,
) {
    let store = &*bench.store;
    for id in ["buried", "elsewhere", "waits"] {
        open(store, &session(id), &of_a_lost_relay()).await;
        let ask = Reserve { exposed: usd(30), ..reserve(id, 100, 100, caps(WIDE, WIDE, WIDE)) };
        store.reserve(&ask).await.expect("answered");
        match id {
            "elsewhere" => assert!(store.end_elsewhere(id, "ended_by_operator").await.expect("ended")),
            _ => {
                let window = if id == "buried" { Duration::ZERO } else { Duration::from_secs(600) };
                assert_eq!(store.sweep(window).await.expect("swept").released, 1);
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    leave(folder.path(), &[("waits", 2), ("buried", 2), ("elsewhere", 2)]).await;
    let spill = Spill::open(folder.path()).await.expect("opened");
    assert_eq!(spill.replay(store, |_| false).await.expect("written"), 6);
    for id in ["buried", "elsewhere", "waits"] {
        let turns = store.turns(id).await.expect("read");
        let texts: Vec<&str> = turns.iter().map(|row| row.turn.text.as_str()).collect();
        assert_eq!(texts.len(), 3, "{id}: {texts:?}");
    }
}
