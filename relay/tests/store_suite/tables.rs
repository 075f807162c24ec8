//! Usage and the ledger as tables.

use relay::money::ledger::LedgerRow;
use relay::records::store::{
    Credit, Credited, LedgerFilter, NewSession, SUMS_MAX, Settle, Store, SumBy, SumFilter, SumPer,
};

use super::{Bench, WIDE, caps, on_both_databases, open, quota, row, session, settle, usd};

on_both_databases! {
    usage_is_added_up_for_whatever_is_asked_and_always_comes_to_what_is_to_be_paid
    a_table_of_usage_is_read_in_pages_of_one_row
    a_table_of_usage_is_read_in_pages_of_five_thousand_rows
    the_ledger_is_listed_with_whom_each_row_was_for
}

/// 2026-03-01, midnight.
const MIDNIGHT: i64 = 1_772_323_200_000;
const DAY: i64 = 86_400_000;

/// Two sessions of ada's with a plan each, one of bob's in another month that is erased, and a credit of ada's.
async fn filled(store: &dyn Store) {
    let wide = caps(WIDE, WIDE, WIDE);
    for (id, user, plan, agent) in [
        ("a-1", "ada", Some("free"), "echo"),
        ("a-2", "ada", Some("pro"), "nora"),
        ("b-1", "bob", None, "echo"),
    ] {
        let new = NewSession {
            user_sub: user.into(),
            plan: plan.map(str::to_owned),
            agent: agent.into(),
            ..session(id)
        };
        open(store, &new, &quota()).await;
    }
    let guessed = |key: &str, quantity, cost| LedgerRow { estimated: true, ..row(key, quantity, cost) };
    for (id, at_ms, rows) in [
        ("a-1", MIDNIGHT, vec![row("1", 10, 100), guessed("2", 1, 10)]),
        ("a-2", MIDNIGHT + DAY, vec![row("1", 20, 200)]),
        ("b-1", MIDNIGHT + 40 * DAY, vec![row("1", 40, 400)]),
    ] {
        store.settle(&Settle { at_ms, ..settle(id, rows, wide) }).await.expect("written");
    }
    let credit = Credit {
        key: "ticket-1".into(),
        account: "acme".into(),
        user_sub: Some("ada".into()),
        day: "2026-03-01".into(),
        amount: usd(7),
        reason: "a slip".into(),
        created_by: "root".into(),
        created_at_ms: MIDNIGHT,
    };
    assert!(matches!(store.give_credit(&credit).await.expect("written"), Credited::Yes { .. }));
    assert!(store.delete_session("b-1", None).await.expect("erased"));
}

fn all(per: SumPer, by: SumBy) -> SumFilter {
    SumFilter { user_sub: None, account: None, from_ms: MIDNIGHT, to_ms: MIDNIGHT + 365 * DAY, per, by }
}

/// Each row of a table: the period, the names, the quantity, how much of it is estimated, the cost, and how much of that is estimated.
async fn told(store: &dyn Store, filter: &SumFilter) -> Vec<String> {
    let rows = store.sum_usage(filter, None, 100).await.expect("read").rows;
    let row = |row: relay::records::store::SumRow| {
        let of = row.of;
        let names = [of.period, of.account, of.user_sub, of.plan, of.agent, of.session_id].join("/");
        format!(
            "{names} {} {} {} {} {}",
            of.item, row.quantity, row.estimated, row.cost_nano_usd, row.estimated_nano_usd
        )
    };
    rows.into_iter().map(row).collect()
}

async fn usage_is_added_up_for_whatever_is_asked_and_always_comes_to_what_is_to_be_paid(bench: Bench) {
    let store = &*bench.store;
    filled(store).await;
    let by_day = told(store, &all(SumPer::Day, SumBy::Account)).await;
    assert_eq!(
        by_day,
        [
            "2026-03-01/acme//// echo/listening 11 1 110 10",
            "2026-03-01/acme//// operator/credit 7 0 -7 0",
            "2026-03-02/acme//// echo/listening 20 0 200 0",
            "2026-04-10/acme//// echo/listening 40 0 400 0",
        ]
    );
    let by_month = told(store, &all(SumPer::Month, SumBy::Account)).await;
    assert_eq!(
        by_month,
        [
            "2026-03/acme//// echo/listening 31 1 310 10",
            "2026-03/acme//// operator/credit 7 0 -7 0",
            "2026-04/acme//// echo/listening 40 0 400 0",
        ]
    );
    let by_plan = told(store, &all(SumPer::Month, SumBy::Plan)).await;
    assert_eq!(
        by_plan,
        [
            "2026-03/acme//// operator/credit 7 0 -7 0",
            "2026-03/acme//free// echo/listening 11 1 110 10",
            "2026-03/acme//pro// echo/listening 20 0 200 0",
            "2026-04/acme//// echo/listening 40 0 400 0",
        ]
    );
    let by_agent = told(store, &all(SumPer::Month, SumBy::Agent)).await;
    assert!(by_agent.contains(&"2026-03/acme///nora/ echo/listening 20 0 200 0".into()), "{by_agent:?}");
    let by_session = told(store, &all(SumPer::Day, SumBy::Session)).await;
    assert!(
        by_session.contains(&"2026-03-01/acme/ada/free/echo/a-1 echo/listening 11 1 110 10".into()),
        "{by_session:?}"
    );
    let by_user = told(store, &all(SumPer::Month, SumBy::User)).await;
    assert_eq!(
        by_user,
        [
            "2026-03/acme/ada/// echo/listening 31 1 310 10",
            "2026-03/acme/ada/// operator/credit 7 0 -7 0",
            "2026-04/acme//// echo/listening 40 0 400 0",
        ]
    );
    for by in [SumBy::Account, SumBy::User, SumBy::Plan, SumBy::Agent, SumBy::Session] {
        let rows = store.sum_usage(&all(SumPer::Day, by), None, 100).await.expect("read").rows;
        assert_eq!(rows.iter().map(|row| row.cost_nano_usd).sum::<i64>(), 703, "{by:?}");
    }
    let hers = SumFilter { user_sub: Some("ada".into()), ..all(SumPer::Month, SumBy::Account) };
    assert_eq!(told(store, &hers).await, by_month[..2], "and nothing of who is erased");
    let others = SumFilter { account: Some("initech".into()), ..all(SumPer::Month, SumBy::Account) };
    assert_eq!(told(store, &others).await, [""; 0]);
}

async fn a_table_of_usage_is_read_in_pages_of_one_row(bench: Bench) {
    let store = &*bench.store;
    filled(store).await;
    let filter = all(SumPer::Day, SumBy::Session);
    let whole = store.sum_usage(&filter, None, 100).await.expect("read");
    assert_eq!((whole.rows.len(), whole.next), (4, None));
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = store.sum_usage(&filter, after.as_ref(), 1).await.expect("read");
        paged.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(paged, whole.rows);
}

async fn a_table_of_usage_is_read_in_pages_of_five_thousand_rows(bench: Bench) {
    let store = &*bench.store;
    let many = "INSERT INTO erased_usage (account, day, item, unit, quantity, cost_nano_usd)
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5002)
        SELECT 'acme', '2026-03-01', 'item ' || n, 'character', 1, 1 FROM numbers";
    sqlx::raw_sql(many).execute(&mut bench.connect().await).await.expect("written");
    let filter = all(SumPer::Day, SumBy::Account);
    let first = store.sum_usage(&filter, None, SUMS_MAX).await.expect("read");
    assert_eq!(first.rows.len(), 5_000);
    let rest = store.sum_usage(&filter, first.next.as_ref(), SUMS_MAX).await.expect("read");
    assert_eq!((rest.rows.len(), rest.next), (2, None));
}

async fn the_ledger_is_listed_with_whom_each_row_was_for(bench: Bench) {
    let store = &*bench.store;
    filled(store).await;
    let all = LedgerFilter {
        user_sub: None,
        account: None,
        session_id: None,
        from_ms: MIDNIGHT,
        to_ms: MIDNIGHT + 365 * DAY,
    };
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_ledger(&all, after.as_ref(), 1).await.expect("read");
        entries.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let told: Vec<String> = entries
        .iter()
        .map(|entry| {
            let (billed, plan) = (&entry.billed, entry.plan.as_deref().unwrap_or("-"));
            let names = [&*entry.account, &*entry.user_sub, plan, &*entry.agent].join("/");
            format!("{} {}/{} {names} {}", billed.day, billed.session_id, billed.row.key, billed.row.cost)
        })
        .collect();
    let row = |text: &str, cost| format!("{text} {}", usd(cost));
    assert_eq!(
        told,
        [
            row("2026-03-01 a-1/1 acme/ada/free/echo", 100),
            row("2026-03-01 a-1/2 acme/ada/free/echo", 10),
            row("2026-03-02 a-2/1 acme/ada/pro/nora", 200),
        ]
    );
    let some = |filter: LedgerFilter| async move {
        store.list_ledger(&filter, None, 100).await.expect("read").rows.len()
    };
    assert_eq!(some(LedgerFilter { session_id: Some("a-2".into()), ..all.clone() }).await, 1);
    assert_eq!(some(LedgerFilter { user_sub: Some("ada".into()), ..all.clone() }).await, 3);
    assert_eq!(some(LedgerFilter { user_sub: Some("bob".into()), ..all.clone() }).await, 0, "erased");
    assert_eq!(some(LedgerFilter { account: Some("initech".into()), ..all.clone() }).await, 0);
    assert_eq!(some(LedgerFilter { to_ms: MIDNIGHT + DAY, ..all }).await, 2, "until before the next day");
}
