//! Erasing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::{Mark, Role};
use relay::agent::tool::{Called, Runs, ToolNote};
use relay::money::budget::{Range, Scope};
use relay::records::store::{
    DeedFilter, Denial, DenialKind, Expiring, NewCap, NewSession, Payer, Quality, Quota, Reserve,
    SessionFilter, Settle, SqlStore, Store, StoreError, TakeOver, Transcript, UsageBy, UsageFilter, unix_ms,
};
use sqlx::{AnyConnection, Connection, Row};

use super::{
    Bench, LEASE, WIDE, caps, on_both_databases, open, quota, reserve, row, session, settle, turn, usd,
};
use crate::postgres::Server;

on_both_databases! {
    an_erased_session_leaves_its_cost_and_the_name_of_its_recording_and_nothing_else
    an_erased_user_leaves_others_alone_and_no_budget_full_again
    what_administrators_have_set_for_a_user_outlives_that_they_erase_themselves
    a_live_session_that_is_erased_takes_no_more_writes_and_gives_its_money_back
    a_long_history_is_erased_whole
    what_was_spent_before_a_session_was_deleted_is_on_the_bill_of_its_account_once
}

const SECRET: &str = "my-sister-is-called-Philomena";

async fn counts(bench: &Bench) -> Vec<(&'static str, i64)> {
    let mut connection = bench.connect().await;
    let mut counts = Vec::new();
    for (table, sql) in [
        ("sessions", "SELECT COUNT(*) AS n FROM sessions"),
        ("turns", "SELECT COUNT(*) AS n FROM turns"),
        ("ledger", "SELECT COUNT(*) AS n FROM ledger"),
        ("alerts", "SELECT COUNT(*) AS n FROM alerts"),
        ("tool_calls", "SELECT COUNT(*) AS n FROM tool_calls"),
    ] {
        let row = sqlx::query(sql).fetch_one(&mut connection).await.expect("read");
        counts.push((table, row.try_get("n").expect("a number")));
    }
    counts
}

/// A session with everything a session may have.
async fn full(store: &dyn Store, id: &str, user: &str) {
    let recording = Some(format!("{id}.wav"));
    open(store, &NewSession { user_sub: user.into(), recording, ..session(id) }, &quota()).await;
    store.save_turns(id, 0, &[turn(0, Role::User, SECRET)], Mark::default(), 0).await.expect("written");
    let called = Called {
        call_id: "c".into(),
        model_id: "m".into(),
        name: "note".into(),
        arguments: user.into(),
        runs: Runs::Page,
    };
    store.note_tool(id, 0, &ToolNote::Called { called, turn: 1 }).await.expect("written");
    let narrow = caps(100, WIDE, WIDE);
    store.settle(&settle(id, vec![row("1", 7, 70), row("2", 3, 30)], narrow)).await.expect("written");
}

fn today(by: UsageBy) -> UsageFilter {
    let day = 86_400_000;
    let midnight = unix_ms() / day * day;
    UsageFilter { user_sub: None, account: None, from_ms: midnight - day, to_ms: midnight + day, by }
}

async fn an_erased_session_leaves_its_cost_and_the_name_of_its_recording_and_nothing_else(bench: Bench) {
    let store = &*bench.store;
    full(store, "a", "ada").await;
    store.end_session("a", 0, "normal", Quality::default(), unix_ms()).await.expect("ended");
    assert!(store.delete_session("a", None).await.expect("erased"));
    assert!(!store.delete_session("a", None).await.expect("nothing to do"));
    assert!(store.session("a").await.expect("read").is_none());
    assert_eq!(
        counts(&bench).await,
        [("sessions", 0), ("turns", 0), ("ledger", 0), ("alerts", 0), ("tool_calls", 0)]
    );
    let said = store.transcript(Transcript::Session("a"), None, 100).await.expect("read");
    assert_eq!(said.rows, []);
    let usage = store.usage(&today(UsageBy::Account), None, 100).await.expect("read").rows;
    assert_eq!(usage.iter().map(|row| (row.quantity, row.cost_nano_usd)).collect::<Vec<_>>(), [(10, 100)]);
    let mut connection = bench.connect().await;
    let names = sqlx::query("SELECT recording FROM erased_recordings").fetch_all(&mut connection).await;
    let names: Vec<String> =
        names.expect("read").iter().map(|row| row.try_get("recording").expect("text")).collect();
    assert_eq!(names, ["a.wav"]);

    full(store, "b", "bob").await;
    store.delete_session("b", None).await.expect("erased");
    let usage = store.usage(&today(UsageBy::Account), None, 100).await.expect("read").rows;
    assert_eq!(usage.iter().map(|row| (row.quantity, row.cost_nano_usd)).collect::<Vec<_>>(), [(20, 200)]);
}

async fn an_erased_user_leaves_others_alone_and_no_budget_full_again(bench: Bench) {
    let store = &*bench.store;
    for (id, user) in [("a", "ada"), ("b", "bob"), ("c", "ada")] {
        full(store, id, user).await;
    }
    let denial = |subject: &str, created_by: &str| Denial {
        kind: DenialKind::Sub,
        subject: subject.into(),
        reason: "abuse".into(),
        by_key: false,
        created_by: created_by.into(),
        created_at_ms: 0,
        expires_at_ms: None,
    };
    for (subject, by) in [("ada", "bob"), ("eve", "ada")] {
        store.deny(&denial(subject, by)).await.expect("written");
    }
    assert_eq!(store.delete_user("nobody", Some("root"), "act").await.expect("nothing to do"), 0);
    assert_eq!(store.delete_user("ada", Some("root"), "act").await.expect("erased"), 2);
    assert_eq!(store.delete_user("ada", Some("root"), "act").await.expect("nothing to do"), 0);
    let left = store.list_sessions(&SessionFilter::default(), None, 100).await.expect("read").rows;
    assert_eq!(left.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(store.turns("b").await.expect("read").len(), 1);
    assert_eq!(store.ledger("b").await.expect("read").len(), 2);

    let denials = store.denials(None, 100).await.expect("read").rows;
    assert_eq!(denials, [denial("ada", "bob"), denial("eve", "")], "who may not call stays so");
    open(store, &NewSession { user_sub: "ada".into(), ..session("d") }, &quota()).await;
    let wide = caps(WIDE, WIDE, WIDE);
    let standing = store.settle(&settle("d", Vec::new(), wide)).await.expect("read").standing;
    assert_eq!((standing.user.spent, standing.account.spent), (usd(200), usd(300)));
}

async fn what_administrators_have_set_for_a_user_outlives_that_they_erase_themselves(bench: Bench) {
    let store = &*bench.store;
    for (id, user) in [("a", "ada"), ("b", "bob"), ("c", "ada")] {
        full(store, id, user).await;
    }
    let denial = |subject: &str, created_by: &str| Denial {
        kind: DenialKind::Sub,
        subject: subject.into(),
        reason: "abuse".into(),
        by_key: false,
        created_by: created_by.into(),
        created_at_ms: 0,
        expires_at_ms: None,
    };
    // She was an administrator once.
    for (subject, by) in [("ada", "bob"), ("eve", "ada")] {
        store.deny(&denial(subject, by)).await.expect("written");
    }
    let cap = NewCap {
        scope: Scope::User,
        subject: "ada".into(),
        cap: usd(500),
        reason: "a trial".into(),
        by: "root".into(),
    };
    store.set_cap(&cap).await.expect("written");
    assert_eq!(store.delete_user("ada", None, "act").await.expect("erased"), 2);
    let left = store.list_sessions(&SessionFilter::default(), None, 100).await.expect("read").rows;
    assert_eq!(left.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["b"]);
    let budgets = store.budgets_of("ada", "acme", unix_ms()).await.expect("read");
    assert_eq!((budgets.user.spent, budgets.overrides.user_day), (usd(200), Some(usd(500))));
    let denials = store.denials(None, 100).await.expect("read").rows;
    assert_eq!(denials, [denial("ada", "bob"), denial("eve", "ada")]);
    let deeds = store.list_audit(&DeedFilter::default(), None, 100).await.expect("read").rows;
    let told: Vec<String> = deeds
        .iter()
        .map(|deed| format!("{} {} {}", deed.by, deed.what, deed.user_sub.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(told, ["root set_budget -", "ada deny eve", "bob deny -"], "what she did stays hers");
    // An administrator takes the rest out.
    store.delete_user("ada", Some("root"), "act").await.expect("erased");
    let budgets = store.budgets_of("ada", "acme", unix_ms()).await.expect("read");
    assert_eq!(budgets.overrides.user_day, None);
}

async fn a_live_session_that_is_erased_takes_no_more_writes_and_gives_its_money_back(bench: Bench) {
    let store = &*bench.store;
    let wide = caps(WIDE, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    store.reserve(&reserve("a", 500, 500, wide)).await.expect("set aside");
    store.delete_session("a", None).await.expect("erased");
    let gone = |result: Result<(), StoreError>| matches!(result, Err(StoreError::NoSession { .. }));
    assert!(gone(store.save_turns("a", 0, &[turn(0, Role::User, SECRET)], Mark::default(), 0).await));
    assert!(gone(store.settle(&settle("a", vec![row("1", 1, 1)], wide)).await.map(drop)));
    assert!(gone(store.reserve(&reserve("a", 600, 600, wide)).await.map(drop)));
    assert!(gone(store.end_session("a", 0, "normal", Quality::default(), unix_ms()).await));
    assert_eq!(counts(&bench).await[1], ("turns", 0));
    open(store, &session("b"), &quota()).await;
    let standing = store.settle(&settle("b", Vec::new(), wide)).await.expect("read").standing;
    assert_eq!((standing.user.reserved, standing.account.reserved), (usd(0), usd(0)));
}

async fn a_long_history_is_erased_whole(bench: Bench) {
    let store = &*bench.store;
    let limits = relay::records::store::Quota { sessions_per_user: 1_000, ..quota() };
    for number in 0..203 {
        open(store, &session(&format!("s{number}")), &limits).await;
    }
    assert_eq!(store.delete_user("ada", Some("root"), "act").await.expect("erased"), 203);
    assert_eq!(counts(&bench).await[0], ("sessions", 0));
}

async fn what_was_spent_before_a_session_was_deleted_is_on_the_bill_of_its_account_once(bench: Bench) {
    let store = &*bench.store;
    let wide = caps(WIDE, WIDE, WIDE);
    let payer = || Some(Payer { user_sub: "ada".into(), account: "acme".into() });
    let owed = |id: &str, row| Settle { payer: payer(), ..settle(id, vec![row], wide) };
    let (first, late) = (row("echo/listening@0", 1_600, 8), row("echo/listening@1600", 800, 4));
    for id in ["by a user", "by sql", "taken over", "charged"] {
        open(store, &session(id), &quota()).await;
        store.settle(&owed(id, first.clone())).await.expect("written");
    }
    let by =
        TakeOver { epoch: 0, resume_hash: [8; 32], previous: [7; 32], relay: "relay-2".into(), lease: LEASE };
    store.take_over("taken over", &by).await.expect("written").expect("live");
    let again = Settle { epoch: 1, ..owed("taken over", row("echo/listening@1600", 400, 2)) };
    store.settle(&again).await.expect("played again there");
    let exposed = Reserve { exposed: usd(30), ..reserve("charged", 100, 100, wide) };
    store.reserve(&exposed).await.expect("answered");
    for id in ["by a user", "taken over", "charged"] {
        assert!(store.delete_session(id, None).await.expect("erased"));
    }
    let mut operator = bench.connect().await;
    sqlx::raw_sql("DELETE FROM sessions").execute(&mut operator).await.expect("deleted");

    let gone = |result| matches!(result, Err(StoreError::Erased { .. }));
    for _ in 0..2 {
        assert!(gone(store.settle(&owed("by a user", first.clone())).await));
        for id in ["by a user", "by sql"] {
            assert!(gone(store.settle(&owed(id, late.clone())).await), "{id}");
        }
        // Played again and metered there; or charged as lost.
        for (id, key) in [("taken over", "echo/listening@1900"), ("charged", "echo/listening@1600")] {
            let refused = store.settle(&owed(id, row(key, 800, 4))).await;
            assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{id}: {refused:?}");
        }
    }
    let later = row("echo/listening@2400", 100, 1);
    assert!(gone(store.settle(&owed("by a user", later)).await));
    let said = store.save_turns("by a user", 0, &[turn(0, Role::User, SECRET)], Mark::default(), 0).await;
    assert!(matches!(said, Err(StoreError::NoSession { .. })), "what was said is not kept");

    // Of the one that was deleted by SQL, what stood in its ledger went with it.
    let used = store.usage(&today(UsageBy::Account), None, 100).await.expect("read").rows;
    let used: Vec<_> = used.iter().map(|row| (row.item.as_str(), row.quantity, row.cost_nano_usd)).collect();
    let heard = 3 * 1_600 + 2 * 800 + 400 + 100;
    assert_eq!(used, [("echo/listening", heard, 3 * 8 + 2 * 4 + 2 + 1), ("unknown/lost", 30, 30)]);
    let spent = 4 * 8 + 2 * 4 + 2 + 1 + 30;
    let budgets: Vec<(i64, i64)> = sqlx::query_as("SELECT spent_nano_usd, reserved_nano_usd FROM budgets")
        .fetch_all(&mut operator)
        .await
        .expect("read");
    assert_eq!(budgets, [(spent, 0); 2]);

    let all = Expiring::Erased { before_ms: unix_ms() + 60_000 };
    assert_eq!(store.expire(all, 100).await.expect("deleted"), 4);
    let left: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM erased_rows").fetch_one(&mut operator).await.expect("read");
    assert_eq!(left, 0);
}

/// Waits until so many connections wait for a lock.
async fn wait_for_waiting(watcher: &mut AnyConnection, waiting: i64) {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *watcher).await.expect("read") < waiting {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_erased_session_still_owes_and_the_erasing_of_another_one_do_not_wait_for_each_other() {
    let bench = Bench::postgres().await;
    let store = &*bench.store;
    let wide = caps(WIDE, WIDE, WIDE);
    for id in ["gone", "live"] {
        let quota = Quota { reserve: Range { at_least: usd(10), at_most: usd(10) }, ..quota() };
        open(store, &session(id), &quota).await;
        store.settle(&settle(id, vec![row("echo/listening@0", 1_600, 8)], wide)).await.expect("written");
    }
    assert!(store.delete_session("gone", None).await.expect("erased"));
    // Both need the account's budget, and both write the same row of what erased sessions have used.
    let (mut holder, mut watcher) = (bench.connect().await, bench.connect().await);
    let hold = "BEGIN; SELECT spent_nano_usd FROM budgets WHERE scope = 'account' FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut holder).await.expect("locked");
    let eraser = bench.store.clone();
    let erasing = tokio::spawn(async move { eraser.delete_session("live", None).await });
    wait_for_waiting(&mut watcher, 1).await;
    let payer = Some(Payer { user_sub: "ada".into(), account: "acme".into() });
    let owed = Settle { payer, ..settle("gone", vec![row("echo/listening@1600", 800, 4)], wide) };
    let settler = bench.store.clone();
    let settling = tokio::spawn(async move { settler.settle(&owed).await });
    wait_for_waiting(&mut watcher, 2).await;
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.expect("let go");
    assert!(erasing.await.expect("no panic").expect("no deadlock"));
    let settled = settling.await.expect("no panic");
    assert!(matches!(settled, Err(StoreError::Erased { .. })), "{settled:?}");
    let used = store.usage(&today(UsageBy::Account), None, 100).await.expect("read").rows;
    let used: Vec<_> = used.iter().map(|row| (row.quantity, row.cost_nano_usd)).collect();
    assert_eq!(used, [(2 * 1_600 + 800, 2 * 8 + 4)]);
}

/// How often the text is in the database's files.
fn found(folder: &Path, text: &str) -> usize {
    let files = std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").path());
    let count = |path: PathBuf| {
        if path.is_dir() {
            return found(&path, text);
        }
        let bytes = std::fs::read(path).expect("readable");
        bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
    };
    files.map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_stays_in_the_tables_of_postgresql_once_the_operator_has_them_rewritten() {
    let server = Server::start();
    let database = server.database().await;
    let store = SqlStore::postgres(&database).await.expect("opened");
    let mut operator = AnyConnection::connect(database.expose()).await.expect("it runs");
    let mut run = async |order: &'static str| sqlx::raw_sql(order).execute(&mut operator).await.map(drop);
    full(&store, "a", "Philomena").await;
    // Longer than a page: it lies in a table of its own.
    let long: String = (0..2_000).map(|n| format!("{SECRET} {n} ")).collect();
    store.save_turns("a", 0, &[turn(1, Role::User, &long)], Mark::default(), 0).await.expect("written");
    full(&store, "b", "bob").await;
    // She was an administrator, too.
    let denial = Denial {
        kind: DenialKind::Sub,
        subject: "eve".into(),
        reason: "abuse".into(),
        by_key: false,
        created_by: "Philomena".into(),
        created_at_ms: 0,
        expires_at_ms: None,
    };
    store.deny(&denial).await.expect("written");
    run("CHECKPOINT").await.expect("written");
    assert!(found(&server.tables(), "Philomena") > 0);
    store.delete_session("a", None).await.expect("erased");
    store.delete_session("b", None).await.expect("erased");
    store.delete_user("Philomena", Some("root"), "act").await.expect("erased");
    // As docs/records.md has it.
    let documented = std::fs::read_to_string("../docs/records.md").expect("the documentation");
    assert!(documented.contains(REWRITE), "{REWRITE}");
    run(REWRITE).await.expect("the owner may");
    run("CHECKPOINT").await.expect("written");
    assert_eq!((found(&server.tables(), SECRET), found(&server.tables(), "Philomena")), (0, 0));
}

/// What an operator runs.
const REWRITE: &str = "VACUUM FULL voxrelay.sessions, voxrelay.turns, voxrelay.tool_calls, voxrelay.commands, voxrelay.idempotency_keys, voxrelay.api_keys, voxrelay.ledger, voxrelay.alerts, voxrelay.credits, voxrelay.audit, voxrelay.denials, voxrelay.deliveries, voxrelay.budgets, voxrelay.budget_caps, voxrelay.rollup_users";

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_what_was_said_stays_in_the_database_file_or_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqlStore::sqlite(&folder.path().join("voxrelay.db")).await.expect("opened");
    let store: &dyn Store = &store;
    let long = "word ".repeat(2_000);
    for id in ["a", "b", "c"] {
        let (user, secret) = if id == "b" { ("bob", "nothing to hide") } else { ("Philomena", SECRET) };
        full(store, id, user).await;
        // Turns are written over while they grow, so that pages are split and moved.
        for round in 0..40 {
            for number in 0..20_u32 {
                let words = format!("{secret} {round} {}", &long[..(number as usize * round * 13) % 9_000]);
                let turns = [turn(number, Role::User, &words)];
                store.save_turns(id, 0, &turns, Mark::default(), 0).await.expect("written");
            }
        }
    }
    assert!(found(folder.path(), SECRET) > 20);
    store.delete_session("a", None).await.expect("erased");
    assert!(found(folder.path(), SECRET) > 0, "the other session still has it");
    store.delete_user("Philomena", Some("root"), "act").await.expect("erased");
    assert_eq!((found(folder.path(), SECRET), found(folder.path(), "Philomena")), (0, 0));
    assert!(found(folder.path(), "nothing to hide") > 0);
    store.close().await;
    assert_eq!(found(folder.path(), SECRET), 0);
}
