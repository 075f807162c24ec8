//! Rows that are damaged: a text that was cut in the middle of a character, a figure that no relay writes. SQLite takes both from whoever switches
//! its checks off, as a broken disk does; PostgreSQL takes no such text.

use std::time::Duration;

use protocol::{Mark, Role};
use relay::agent::tool::{Called, Runs, ToolNote};
use relay::records::store::{
    AlertFilter, ApiKeyFilter, BudgetFilter, CreditFilter, DeedFilter, DeliveryFilter, Denial, DenialKind,
    EndRequest, HookEvent, LedgerFilter, NewApiKey, NewSession, Quality, Quota, RolledUp, SessionFilter,
    SessionState, Store, Subscription, SumBy, SumFilter, SumPer, TakeOver, Transcript, UsageBy, UsageFilter,
    Whom, unix_ms,
};
use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Bench, LEASE, RELAY, of_a_lost_relay, open, quota, row, session, settle, turn};

/// Each table that is read row by row, and which of its rows is damaged.
const TABLES: [(&str, &str); 10] = [
    ("sessions", "id = 'a'"),
    ("turns", "session_id = 'a' AND turn = 1"),
    ("tool_calls", "session_id = 'a'"),
    ("ledger", "session_id = 'a'"),
    ("alerts", "id = 'alert'"),
    ("audit", "id = (SELECT MIN(id) FROM audit)"),
    ("deliveries", "id = (SELECT MIN(id) FROM deliveries)"),
    ("credits", "key = 'credit'"),
    ("api_keys", "id = 'key'"),
    ("denials", "subject = 'eve'"),
];
/// Columns without which a row is told as damaged by the list of its table.
const TOLD: [(&str, &str); 9] = [
    ("sessions", "client"),
    ("turns", "text"),
    ("ledger", "unit"),
    ("alerts", "period"),
    ("audit", "subject"),
    ("deliveries", "event"),
    ("credits", "reason"),
    ("api_keys", "name"),
    ("denials", "reason"),
];
/// What a session has cost.
const COST: u64 = 70;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

async fn sql(connection: &mut AnyConnection, sql: String) {
    let shown = sql.clone();
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{shown}: {error}"));
}

/// A row in each table.
async fn fill(store: &dyn Store) {
    let all = Subscription { name: "all".into(), events: HookEvent::ALL.to_vec() };
    store.keep_webhooks(&[all]).await.expect("written");
    for id in ["a", "b"] {
        open(store, &session(id), &quota()).await;
        let turns = [turn(0, Role::User, "one"), turn(1, Role::Agent, "two")];
        store.save_turns(id, 0, &turns, Mark::default(), 0).await.expect("written");
        store.settle(&settle(id, vec![row("1", 10, COST)], quota().caps)).await.expect("written");
        let called = Called {
            call_id: "c_1".into(),
            model_id: "m".into(),
            name: "tables".into(),
            arguments: "{}".into(),
            runs: Runs::Page,
        };
        store.note_tool(id, 0, &ToolNote::Called { called, turn: 1 }).await.expect("written");
    }
    let denial = Denial {
        kind: DenialKind::Sub,
        subject: "eve".into(),
        reason: "so".into(),
        created_by: "root".into(),
        by_key: false,
        created_at_ms: unix_ms(),
        expires_at_ms: None,
    };
    store.deny(&denial).await.expect("written");
    let key = NewApiKey {
        id: "key".into(),
        name: "key".into(),
        hash: "hash".into(),
        is_admin: true,
        is_reader: false,
        expires_at_ms: None,
        by: "root".into(),
    };
    store.make_api_key(&key).await.expect("written");
}

/// Lets SQL do what a broken disk does, and keeps a copy of each table.
async fn unguarded(bench: &Bench) -> AnyConnection {
    let mut connection = bench.connect().await;
    let to = &mut connection;
    sql(to, "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON".into()).await;
    for trigger in [
        "ledger_is_append_only",
        "tool_calls_of_ended",
        "credits_are_append_only",
        "credits_are_kept",
        "audit_is_append_only",
        "audit_is_kept",
        "deliveries_of_started",
        "deliveries_of_ended",
        "alerts_of_erased",
    ] {
        sql(to, format!("DROP TRIGGER {trigger}")).await;
    }
    sql(
        to,
        "INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd,
            created_at, attempts) VALUES ('alert', 'user', 'ada', '2026-03-01', 50, 'a', 'ada', 'acme', 2, 1, 1, 0);
        INSERT INTO credits (key, account, user_sub, day, amount_nano_usd, reason, created_by, created_at)
            VALUES ('credit', 'acme', 'ada', '2026-03-01', 1, 'so', 'root', 1)"
            .into(),
    )
    .await;
    for (table, _) in TABLES {
        sql(to, format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}")).await;
    }
    connection
}

/// All usage of these days.
fn sums(by: SumBy) -> SumFilter {
    let (from_ms, to_ms) = (unix_ms() - 2 * DAY_MS, unix_ms() + 2 * DAY_MS);
    SumFilter { user_sub: None, account: None, from_ms, to_ms, per: SumPer::Day, by }
}

/// Asks for every list, and for what an agent is told. Says how many rows the lists leave out.
async fn ask(store: &dyn Store, what: &str) -> u32 {
    let mut damaged = 0;
    macro_rules! list {
        ($page:expr) => {
            damaged += $page.await.unwrap_or_else(|error| panic!("{what}: {error}")).damaged;
        };
    }
    let (from_ms, to_ms) = (unix_ms() - 2 * DAY_MS, unix_ms() + 2 * DAY_MS);
    list!(store.list_sessions(&SessionFilter::default(), None, 100));
    list!(store.live_sessions(None, 100));
    list!(store.transcript(Transcript::Session("a"), None, 100));
    let filter = LedgerFilter { user_sub: None, account: None, session_id: None, from_ms, to_ms };
    list!(store.list_ledger(&filter, None, 100));
    for by in [UsageBy::User, UsageBy::Account] {
        list!(store.usage(&UsageFilter { user_sub: None, account: None, from_ms, to_ms, by }, None, 100));
    }
    for by in [SumBy::Account, SumBy::User, SumBy::Plan, SumBy::Agent, SumBy::Session] {
        match store.sum_usage(&sums(by), None, 100).await {
            Ok(page) => {
                let cost: i64 = page.rows.iter().map(|row| row.cost_nano_usd).sum();
                let is_at_another_time = what == "ledger.created_at";
                assert!(is_at_another_time || cost >= 2 * COST as i64, "{what} makes a bill cheaper: {cost}");
            }
            Err(error) => {
                let error = error.to_string();
                assert!(what.contains('.') && error.contains("VoxrelayRowsDamaged"), "{what}: {error}");
            }
        }
    }
    list!(store.list_alerts(&AlertFilter::default(), None, 100));
    list!(store.list_audit(&DeedFilter::default(), None, 100));
    list!(store.list_deliveries(&DeliveryFilter::default(), None, 100));
    list!(store.list_credits(&CreditFilter::default(), None, 100));
    list!(store.api_keys(&ApiKeyFilter::default(), None, 100));
    list!(store.denials(None, 100));
    let budgets = BudgetFilter { scope: None, subject: None, above_percent: None, at_ms: unix_ms() };
    list!(store.list_budgets(&budgets, None, 100));
    let said =
        store.newest_turns("a", "ada", "acme", 100).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let is_whole = said.len() == 2 || what.starts_with("turns.") || what.starts_with("sessions.");
    assert!(said.len() <= 2 && is_whole, "{what}: {} of 2 turns are told", said.len());
    let held = store.sessions_held(RELAY).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(held.contains(&"b".to_owned()), "{what}: {held:?}");
    store.ends_requested(RELAY).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    store.turns("a").await.unwrap_or_else(|error| panic!("{what}: {error}"));
    store.tool_calls("a").await.unwrap_or_else(|error| panic!("{what}: {error}"));
    damaged
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_column_is_damaged_lists_are_answered_and_a_call_goes_on_or_the_error_names_the_row() {
    let bench = Bench::sqlite().await;
    let store = &*bench.store;
    fill(store).await;
    let mut connection = unguarded(&bench).await;
    assert_eq!(ask(store, "nothing is damaged").await, 0);
    let mut tried = 0;
    for (table, whose) in TABLES {
        let columns = format!(
            "SELECT CAST(name AS TEXT) AS name, CAST(type AS TEXT) AS kind FROM pragma_table_info('{table}')"
        );
        let columns: Vec<(String, String)> =
            sqlx::query_as(AssertSqlSafe(columns)).fetch_all(&mut connection).await.expect("read");
        for (column, kind) in columns {
            let damage = match kind.as_str() {
                "TEXT" => "CAST(X'41C3' AS TEXT)",
                "INTEGER" => "-7",
                _ => "X'01'",
            };
            let what = format!("{table}.{column}");
            sql(&mut connection, format!("UPDATE {table} SET {column} = {damage} WHERE {whose}")).await;
            let left_out = ask(store, &what).await;
            let is_told = TOLD.contains(&(table, column.as_str()));
            assert!(!is_told || left_out > 0, "{what} is left out and nobody is told");
            let relay = "relay-2".to_owned();
            let by = TakeOver { epoch: 0, resume_hash: [8; 32], previous: [7; 32], relay, lease: LEASE };
            match store.take_over("a", &by).await {
                Ok(Some(taken)) => {
                    let cost: u64 = taken.by_item.iter().map(|sum| sum.cost.get()).sum();
                    let is_elsewhere = what == "ledger.session_id";
                    assert!(is_elsewhere || cost >= COST, "{what} makes the call cheaper: {cost}");
                }
                Ok(None) => assert_eq!(table, "sessions", "{what}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(["sessions", "ledger"].contains(&table), "{what} keeps a call away: {error}");
                    let names_it = error.contains("session a") && error.contains("VoxrelayRowsDamaged");
                    assert!(names_it, "{what}: {error}");
                }
            }
            let restore = TABLES.map(|(table, _)| {
                format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table};")
            });
            sql(&mut connection, format!("BEGIN IMMEDIATE; {} COMMIT", restore.concat())).await;
            tried += 1;
        }
    }
    assert!(tried > 80, "{tried} columns were tried");
    assert_eq!(ask(store, "all is mended").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_over_damaged_rows_and_each_of_these_is_told_once() {
    let bench = Bench::sqlite().await;
    let store = &*bench.store;
    for number in 0..6 {
        let new = NewSession { started_at_ms: 1_000 + number, ..session(&format!("s-{number}")) };
        open(store, &new, &quota()).await;
    }
    let mut connection = unguarded(&bench).await;
    let damage = "UPDATE sessions SET client = CAST(X'41C3' AS TEXT) WHERE id IN ('s-1', 's-2', 's-4')";
    sql(&mut connection, damage.into()).await;
    let (mut seen, mut damaged, mut after) = (Vec::new(), 0, None);
    loop {
        let page = store.list_sessions(&SessionFilter::default(), after.as_ref(), 1).await.expect("read");
        seen.extend(page.rows.into_iter().map(|row| row.id));
        damaged += page.damaged;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen, damaged), (vec!["s-5".to_owned(), "s-3".to_owned(), "s-0".to_owned()], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_row_that_would_make_a_call_cheaper_keeps_it_away_and_reports_fail_by_its_name() {
    let bench = Bench::sqlite().await;
    let store = &*bench.store;
    fill(store).await;
    let mut connection = unguarded(&bench).await;
    let damage = "UPDATE ledger SET cost_nano_usd = -7 WHERE session_id = 'a'";
    sql(&mut connection, damage.into()).await;
    let relay = "relay-2".to_owned();
    let by = TakeOver { epoch: 0, resume_hash: [8; 32], previous: [7; 32], relay, lease: LEASE };
    let error = store.take_over("a", &by).await.expect_err("it would be guessed").to_string();
    assert!(error.starts_with("ledger row 1 of session a: "), "{error}");
    let range = (unix_ms() - DAY_MS, unix_ms() + DAY_MS);
    let report = bench.sql().await.billed("echo", range, None, 100).await;
    let error = report.expect_err("a report is whole or none").to_string();
    assert!(error.starts_with("ledger row 1 of session a: "), "{error}");
    sql(&mut connection, format!("UPDATE ledger SET cost_nano_usd = {COST} WHERE session_id = 'a'")).await;
    assert!(store.take_over("a", &by).await.expect("mended").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_would_make_a_sum_smaller_is_named_by_tables_and_keeps_the_sum_out_of_pages() {
    let bench = Bench::sqlite().await;
    let store = &*bench.store;
    fill(store).await;
    let mut connection = unguarded(&bench).await;
    let (from_ms, to_ms) = (unix_ms() - 2 * DAY_MS, unix_ms() + 2 * DAY_MS);
    for column in ["quantity", "cost_nano_usd"] {
        // Beside the other session's row the sum looks like one.
        sql(&mut connection, format!("UPDATE ledger SET {column} = -7 WHERE session_id = 'a'")).await;
        for by in [SumBy::Account, SumBy::User, SumBy::Plan, SumBy::Agent, SumBy::Session] {
            let error = store.sum_usage(&sums(by), None, 100).await.expect_err("a table is whole or none");
            assert!(error.to_string().starts_with("ledger row 1 of session a: "), "{error}");
        }
        for by in [UsageBy::User, UsageBy::Account] {
            let filter = UsageFilter { user_sub: None, account: None, from_ms, to_ms, by };
            let page = store.usage(&filter, None, 100).await.expect("read");
            assert_eq!((page.rows.len(), page.damaged), (0, 1), "{column}");
        }
        let mend = "DELETE FROM ledger; INSERT INTO ledger SELECT * FROM saved_ledger";
        sql(&mut connection, mend.into()).await;
    }
    // A session that is not found costs what it costs.
    sql(&mut connection, "UPDATE sessions SET id = 'elsewhere' WHERE id = 'a'".into()).await;
    for by in [SumBy::Account, SumBy::User, SumBy::Plan, SumBy::Agent, SumBy::Session] {
        let rows = store.sum_usage(&sums(by), None, 100).await.expect("read").rows;
        assert_eq!(rows.iter().map(|row| row.cost_nano_usd).sum::<i64>(), 2 * COST as i64, "{by:?}");
    }
    let filter = LedgerFilter { user_sub: None, account: None, session_id: None, from_ms, to_ms };
    assert_eq!(store.list_ledger(&filter, None, 100).await.expect("read").rows.len(), 2);
    let other = "INSERT INTO erased_usage (account, day, item, unit, quantity, cost_nano_usd)
        SELECT 'acme', strftime('%Y-%m-%d', 'now'), item, unit, 1, -7 FROM ledger WHERE session_id = 'b'";
    sql(&mut connection, other.into()).await;
    let error = store.sum_usage(&sums(SumBy::Account), None, 100).await.expect_err("it is named");
    assert!(error.to_string().contains(" of erased_usage: "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_damaged_is_named_by_its_key() {
    let bench = Bench::sqlite().await;
    let store = &*bench.store;
    fill(store).await;
    let mut connection = unguarded(&bench).await;
    for (scope, column) in [("user", "spent_nano_usd"), ("account", "reserved_nano_usd")] {
        let damage = format!("UPDATE budgets SET {column} = -7 WHERE scope = '{scope}'");
        sql(&mut connection, damage).await;
        let error = store.budgets_of("ada", "acme", unix_ms()).await.expect_err("it would be guessed");
        let (error, begins) = (error.to_string(), format!("budget {scope} "));
        assert!(error.starts_with(&begins) && error.contains(column), "{error}");
        sql(&mut connection, format!("UPDATE budgets SET {column} = 0")).await;
    }
    store.budgets_of("ada", "acme", unix_ms()).await.expect("mended");
}

/// Makes the ids of sessions unreadable that begin so.
async fn cut_ids(connection: &mut AnyConnection, begin: &str) {
    let damage =
        format!("UPDATE sessions SET id = id || CAST(X'C3' AS TEXT) WHERE substr(id, 1, 1) = '{begin}'");
    sql(connection, damage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_sessions_are_ended_behind_more_damaged_ones_than_a_sweep_looks_at() {
    let bench = Bench::sqlite().await;
    let store = &*bench.store;
    let limits = Quota { sessions_per_user: 1_000, ..of_a_lost_relay() };
    for n in 0..60 {
        open(store, &session(&format!("damaged-{n:02}")), &limits).await;
        open(store, &session(&format!("cut-{n:02}")), &limits).await;
    }
    for n in 0..3 {
        open(store, &session(&format!("whole-{n}")), &limits).await;
    }
    let mut connection = unguarded(&bench).await;
    let damage = "UPDATE sessions SET settlements = -7 WHERE id LIKE 'damaged-%'";
    sql(&mut connection, damage.into()).await;
    cut_ids(&mut connection, "c").await;
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept").ended, 3);
    for n in 0..3 {
        let row = store.session(&format!("whole-{n}")).await.expect("read").expect("there");
        assert_eq!(row.state, SessionState::Ended);
    }
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept").ended, 0);
    sql(&mut connection, "UPDATE sessions SET settlements = 0 WHERE id LIKE 'damaged-%'".into()).await;
    let mut ended = 0;
    loop {
        match store.sweep(Duration::ZERO).await.expect("swept").ended {
            0 => break,
            more => ended += more,
        }
    }
    assert_eq!(ended, 60, "all that can be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_id_cannot_be_read_keeps_no_other_from_being_told_or_added_up() {
    let bench = Bench::sqlite().await;
    let store = &*bench.store;
    for n in 0..20 {
        open(store, &session(&format!("c-{n:02}")), &quota()).await;
    }
    for n in 0..3 {
        open(store, &session(&format!("w-{n}")), &quota()).await;
    }
    for whom in [Whom::Session("w-1"), Whom::Session("c-01")] {
        assert_eq!(store.request_end(whom, "normal", None).await.expect("written"), 1);
    }
    let mut connection = unguarded(&bench).await;
    cut_ids(&mut connection, "c").await;
    let mut held = store.sessions_held(RELAY).await.expect("read");
    held.sort();
    assert_eq!(held, ["w-0", "w-1", "w-2"]);
    let wanted = EndRequest { id: "w-1".into(), reason: "normal".into() };
    assert_eq!(store.ends_requested(RELAY).await.expect("read"), [wanted]);

    for n in 0..3 {
        store.end_session(&format!("w-{n}"), 0, "normal", Quality::default(), 1).await.expect("written");
    }
    let end = "UPDATE sessions SET state = 'ended', ended_at = 1, rolled_up = 0 WHERE state = 'live'";
    sql(&mut connection, end.into()).await;
    store.roll_up_anew().await.expect("begun");
    let mut added = 0;
    loop {
        // Fewer than there are whose ids cannot be read.
        match store.roll_up(7).await.expect("added") {
            RolledUp::Emptied(_) => {}
            RolledUp::Added(0) => break,
            RolledUp::Added(more) => added += more,
        }
    }
    assert_eq!(added, 3);
    assert!(store.is_rolled_up().await.expect("read"), "nothing more can be added up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_whose_name_cannot_be_read_keeps_no_other_from_being_deleted() {
    let bench = Bench::sqlite().await;
    let store = &*bench.store;
    for id in ["c-1", "d-1", "w-1"] {
        open(store, &NewSession { recording: Some(format!("{id}.wav")), ..session(id) }, &quota()).await;
        store.end_session(id, 0, "normal", Quality::default(), unix_ms()).await.expect("written");
    }
    let mut connection = unguarded(&bench).await;
    cut_ids(&mut connection, "c").await;
    let damage = "UPDATE sessions SET recording = CAST(X'41C3' AS TEXT) WHERE id = 'd-1';
        INSERT INTO erased_recordings (recording) VALUES (CAST(X'41C3' AS TEXT)), ('w-2.wav')";
    sql(&mut connection, damage.into()).await;
    let expired = store.expired_recordings(unix_ms() + DAY_MS, "", 100).await.expect("read");
    assert_eq!(expired, [("w-1".to_owned(), "w-1.wav".to_owned())]);
    assert_eq!(store.erased_recordings("", 100).await.expect("read"), ["w-2.wav"]);
}
