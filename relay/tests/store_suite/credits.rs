//! Credits: what an account gets back.

use metrics_exporter_prometheus::PrometheusBuilder;
use relay::NanoUsd;
use relay::money::ledger::{LateCredit, LedgerRow};
use relay::records::store::{
    CREDITED_BY_RELAY, Credit, CreditFilter, Credited, DeedFilter, NewSession, Opened, Quality, Quota,
    Reserve, Settle, Settled, Store, StoreError, UsageBy, UsageFilter,
};
use sqlx::Row;

use super::{Bench, WIDE, caps, on_both_databases, open, quota, reserve, row, session, settle, usd};

on_both_databases! {
    a_credit_lowers_what_is_spent_of_the_day_and_of_the_month_and_stands_in_usage
    an_accounts_credit_leaves_the_days_of_its_users_alone
    a_credit_that_is_given_twice_counts_once_and_its_key_is_no_others
    no_more_is_given_back_than_was_charged_however_many_give_at_once
    a_credit_never_lowers_a_budget_below_nothing
    a_budget_that_fills_again_after_a_credit_tells_no_alert_again
    credits_are_listed_newest_first_and_nothing_in_them_can_be_changed
    an_erased_user_is_not_named_in_a_credit_and_the_bill_stays
    what_a_settlement_gives_back_is_given_once_and_is_never_more_than_was_charged
    a_call_over_midnight_gets_back_what_it_was_charged_on_each_of_its_days
    no_call_gets_back_more_than_it_was_charged_itself_and_what_is_cut_is_counted
    what_a_call_had_back_that_was_erased_takes_nothing_from_the_other_calls_of_its_user
    a_credit_is_owed_after_an_end_from_outside_unless_what_was_exposed_is_charged
}

/// 2026-03-01, midnight.
const MIDNIGHT: i64 = 1_772_323_200_000;
const DAY: i64 = 86_400_000;

fn credit(key: &str, user: Option<&str>, amount: u64) -> Credit {
    Credit {
        key: key.into(),
        account: "acme".into(),
        user_sub: user.map(str::to_owned),
        day: "2026-03-01".into(),
        amount: usd(amount),
        reason: format!("a wrong price, {key}"),
        created_by: "root".into(),
        created_at_ms: MIDNIGHT + DAY,
    }
}

/// Charges for what these users did on that day.
async fn charged(store: &dyn Store, users: &[(&str, u64)]) {
    for (user, cost) in users {
        open(
            store,
            &NewSession { user_sub: (*user).into(), started_at_ms: MIDNIGHT, ..session(user) },
            &quota(),
        )
        .await;
        let wide = caps(WIDE, WIDE, WIDE);
        let rows = vec![row("1", 1, *cost)];
        store.settle(&Settle { at_ms: MIDNIGHT, ..settle(user, rows, wide) }).await.expect("written");
    }
}

/// What is spent of the account's month, and of this user's day.
async fn spent(store: &dyn Store, id: &str) -> (NanoUsd, NanoUsd) {
    let standing =
        store.settle(&settle(id, Vec::new(), caps(WIDE, WIDE, WIDE))).await.expect("read").standing;
    (standing.account.spent, standing.user.spent)
}

async fn given(store: &dyn Store, credit: &Credit) -> (NanoUsd, Option<NanoUsd>) {
    match store.give_credit(credit).await.expect("written") {
        Credited::Yes { credit: stored, new: true, account_spent, user_spent } => {
            assert_eq!(stored, *credit);
            (account_spent, user_spent)
        }
        other => panic!("{other:?}"),
    }
}

fn day(by: UsageBy, user_sub: Option<&str>) -> UsageFilter {
    let user_sub = user_sub.map(str::to_owned);
    UsageFilter { user_sub, account: Some("acme".into()), from_ms: MIDNIGHT, to_ms: MIDNIGHT + DAY, by }
}

/// Users, items and costs.
async fn used(store: &dyn Store, filter: &UsageFilter) -> Vec<(Option<String>, String, i64)> {
    let rows = store.usage(filter, None, 100).await.expect("read").rows;
    rows.into_iter().map(|row| (row.user_sub, row.item, row.cost_nano_usd)).collect()
}

fn line(user: Option<&str>, item: &str, cost: i64) -> (Option<String>, String, i64) {
    (user.map(str::to_owned), item.to_owned(), cost)
}

async fn a_credit_lowers_what_is_spent_of_the_day_and_of_the_month_and_stands_in_usage(bench: Bench) {
    let store = &*bench.store;
    charged(store, &[("ada", 900), ("bob", 50)]).await;
    assert_eq!(given(store, &credit("1", Some("ada"), 800)).await, (usd(150), Some(usd(100))));
    assert_eq!(spent(store, "ada").await, (usd(150), usd(100)));
    assert_eq!(spent(store, "bob").await, (usd(150), usd(50)));

    let by_user = [
        line(Some("ada"), "echo/listening", 900),
        line(Some("ada"), "operator/credit", -800),
        line(Some("bob"), "echo/listening", 50),
    ];
    assert_eq!(used(store, &day(UsageBy::User, None)).await, by_user);
    assert_eq!(used(store, &day(UsageBy::User, Some("ada"))).await, by_user[..2]);
    assert_eq!(used(store, &day(UsageBy::User, Some("bob"))).await, by_user[2..]);
    let whole = [line(None, "echo/listening", 950), line(None, "operator/credit", -800)];
    assert_eq!(used(store, &day(UsageBy::Account, None)).await, whole);
    let before = UsageFilter { from_ms: MIDNIGHT - DAY, to_ms: MIDNIGHT, ..day(UsageBy::Account, None) };
    assert_eq!(used(store, &before).await, []);
    let elsewhere = UsageFilter { account: Some("initech".into()), ..day(UsageBy::Account, None) };
    assert_eq!(used(store, &elsewhere).await, []);
    // Page by page it is the same.
    let first = store.usage(&day(UsageBy::Account, None), None, 1).await.expect("read");
    let second = store.usage(&day(UsageBy::Account, None), first.next.as_ref(), 1).await.expect("read");
    assert_eq!((first.rows[0].cost_nano_usd, second.rows[0].cost_nano_usd, second.next), (950, -800, None));
    assert_eq!((second.rows[0].unit.as_str(), second.rows[0].quantity), ("nano_usd", 800));
}

async fn an_accounts_credit_leaves_the_days_of_its_users_alone(bench: Bench) {
    let store = &*bench.store;
    charged(store, &[("ada", 900)]).await;
    assert_eq!(given(store, &credit("1", None, 300)).await, (usd(600), None));
    assert_eq!(spent(store, "ada").await, (usd(600), usd(900)));
    assert_eq!(used(store, &day(UsageBy::User, None)).await, [line(Some("ada"), "echo/listening", 900)]);
    let whole = [line(None, "echo/listening", 900), line(None, "operator/credit", -300)];
    assert_eq!(used(store, &day(UsageBy::Account, None)).await, whole);
}

async fn a_credit_that_is_given_twice_counts_once_and_its_key_is_no_others(bench: Bench) {
    let store = &*bench.store;
    charged(store, &[("ada", 900), ("bob", 900)]).await;
    let first = credit("1", Some("ada"), 300);
    given(store, &first).await;
    let again = Credit { created_by: "another".into(), created_at_ms: MIDNIGHT + 2 * DAY, ..first.clone() };
    for store in [store, &*bench.another().await] {
        let answer = store.give_credit(&again).await.expect("answered");
        let Credited::Yes { credit: stored, new: false, account_spent, user_spent } = answer else {
            panic!("{answer:?}")
        };
        assert_eq!((stored, account_spent, user_spent), (first.clone(), usd(1_500), Some(usd(600))));
    }
    for other in [
        Credit { amount: usd(301), ..first.clone() },
        Credit { user_sub: Some("bob".into()), ..first.clone() },
        Credit { user_sub: None, ..first.clone() },
        Credit { account: "initech".into(), ..first.clone() },
        Credit { day: "2026-03-02".into(), ..first.clone() },
        Credit { reason: "another".into(), ..first.clone() },
    ] {
        assert_eq!(store.give_credit(&other).await.expect("answered"), Credited::KeyInUse, "{other:?}");
    }
    assert_eq!(spent(store, "ada").await, (usd(1_500), usd(600)));
}

async fn no_more_is_given_back_than_was_charged_however_many_give_at_once(bench: Bench) {
    let store = &*bench.store;
    charged(store, &[("ada", 90), ("bob", 60)]).await;
    for (amount, user, left) in [
        (151, None, 150),
        (91, Some("ada"), 90),
        (1, Some("eve"), 0),
        (u64::MAX, None, 150),
        (u64::MAX, Some("ada"), 90),
    ] {
        let refused = store.give_credit(&credit("1", user, amount)).await.expect("answered");
        assert_eq!(refused, Credited::TooMuch { left: usd(left) }, "{amount} {user:?}");
    }
    let other_day = Credit { day: "2026-03-02".into(), ..credit("1", None, 1) };
    assert_eq!(store.give_credit(&other_day).await.expect("answered"), Credited::TooMuch { left: usd(0) });
    assert_eq!(spent(store, "ada").await, (usd(150), usd(90)), "nothing was given");

    // An account's credit may have taken back what was a user's.
    given(store, &credit("whole", None, 70)).await;
    // However large a credit is that is asked for, it is not added to what was given.
    let refused = store.give_credit(&credit("1", Some("ada"), u64::MAX)).await.expect("answered");
    assert_eq!(refused, Credited::TooMuch { left: usd(80) });
    let refused = store.give_credit(&credit("1", Some("ada"), 90)).await.expect("answered");
    assert_eq!(refused, Credited::TooMuch { left: usd(80) });
    let many = (0..12).map(|number| {
        let (store, user) = (bench.store.clone(), (number % 2 == 0).then_some("ada"));
        let credit = credit(&format!("many-{number}"), user, 10);
        tokio::spawn(async move { store.give_credit(&credit).await.expect("answered") })
    });
    let mut yes = 0;
    for one in many.collect::<Vec<_>>() {
        yes += u32::from(matches!(one.await.expect("done"), Credited::Yes { .. }));
    }
    assert_eq!(yes, 8);
    assert_eq!(spent(store, "bob").await.0, usd(0));
    let sum: i64 = used(store, &day(UsageBy::Account, None)).await.iter().map(|row| row.2).sum();
    assert_eq!(sum, 0);
}

async fn a_credit_never_lowers_a_budget_below_nothing(bench: Bench) {
    let store = &*bench.store;
    charged(store, &[("ada", 90)]).await;
    let mut operator = bench.connect().await;
    sqlx::raw_sql("UPDATE budgets SET spent_nano_usd = 40").execute(&mut operator).await.expect("written");
    assert_eq!(given(store, &credit("1", Some("ada"), 90)).await, (usd(0), Some(usd(0))));
    // Of a month whose budgets are no longer kept there is nothing to lower, and the credit stands.
    charged(store, &[("bob", 70)]).await;
    sqlx::raw_sql("DELETE FROM budgets").execute(&mut operator).await.expect("written");
    assert_eq!(given(store, &credit("2", Some("bob"), 70)).await, (usd(0), Some(usd(0))));
    let sum: i64 = used(store, &day(UsageBy::User, None)).await.iter().map(|row| row.2).sum();
    assert_eq!(sum, 0);
}

async fn a_budget_that_fills_again_after_a_credit_tells_no_alert_again(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(WIDE, 100, 100);
    let begun = NewSession { started_at_ms: MIDNIGHT, ..session("a") };
    open(store, &begun, &Quota { caps, ..quota() }).await;
    let spend = async |key: &str, cost| {
        let settle = Settle { at_ms: MIDNIGHT, ..settle("a", vec![row(key, 1, cost)], caps) };
        let settled = store.settle(&settle).await.expect("written");
        settled.alerts.iter().map(|alert| (alert.scope.name(), alert.percent)).collect::<Vec<_>>()
    };
    let first = spend("1", 80).await;
    assert_eq!(first.len(), 4, "{first:?}");
    given(store, &credit("1", Some("ada"), 80)).await;
    assert_eq!(spend("2", 80).await, [], "50 and 80 percent were told before");
    assert_eq!(spend("3", 20).await.len(), 2, "all of it was not");
}

async fn credits_are_listed_newest_first_and_nothing_in_them_can_be_changed(bench: Bench) {
    let store = &*bench.store;
    charged(store, &[("ada", 90), ("bob", 60)]).await;
    for (key, user, at_ms) in
        [("a", Some("ada"), 1), ("b", None, 2), ("c", Some("bob"), 2), ("d", Some("ada"), 3)]
    {
        given(store, &Credit { created_at_ms: at_ms, ..credit(key, user, 5) }).await;
    }
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_credits(&CreditFilter::default(), after.as_ref(), 1).await.expect("read");
        keys.extend(page.rows.into_iter().map(|credit| credit.key));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(keys, ["d", "c", "b", "a"]);
    let hers = CreditFilter { user_sub: Some("ada".into()), account: Some("acme".into()) };
    let hers = store.list_credits(&hers, None, 100).await.expect("read").rows;
    assert_eq!(hers.iter().map(|credit| credit.key.as_str()).collect::<Vec<_>>(), ["d", "a"]);
    assert_eq!(hers[1], Credit { created_at_ms: 1, ..credit("a", Some("ada"), 5) });

    let mut operator = bench.connect().await;
    for change in [
        "key = 'x'",
        "account = 'x'",
        "user_sub = 'x'",
        "day = '2026-03-02'",
        "amount_nano_usd = 1",
        "reason = 'x'",
        "created_by = 'x'",
        "created_at = 1000",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("UPDATE credits SET {change} WHERE key = 'a'"));
        let error = sqlx::raw_sql(sql).execute(&mut operator).await.expect_err(change).to_string();
        assert!(error.contains("append-only"), "{change}: {error}");
    }
    let error =
        sqlx::raw_sql("DELETE FROM credits").execute(&mut operator).await.expect_err("kept").to_string();
    assert!(error.contains("append-only"), "{error}");
}

async fn an_erased_user_is_not_named_in_a_credit_and_the_bill_stays(bench: Bench) {
    let store = &*bench.store;
    charged(store, &[("ada", 90), ("bob", 60)]).await;
    let hers = credit("1", Some("ada"), 40);
    given(store, &hers).await;
    given(store, &Credit { created_by: "ada".into(), ..credit("2", Some("bob"), 10) }).await;
    store.delete_user("ada", Some("root"), "act").await.expect("erased");
    let left = store.list_credits(&CreditFilter::default(), None, 100).await.expect("read").rows;
    let erased = Credit { user_sub: None, reason: String::new(), ..hers.clone() };
    assert_eq!(left, [Credit { created_by: String::new(), ..credit("2", Some("bob"), 10) }, erased]);
    let whole = [line(None, "echo/listening", 150), line(None, "operator/credit", -50)];
    assert_eq!(used(store, &day(UsageBy::Account, None)).await, whole);
    let again = store.give_credit(&hers).await.expect("answered");
    assert!(matches!(again, Credited::Yes { new: false, .. }), "a late repetition counts no more: {again:?}");
    let refused = store.give_credit(&credit("3", Some("ada"), 1)).await.expect("answered");
    assert_eq!(refused, Credited::TooMuch { left: usd(0) }, "there is no such user any more");
    assert_eq!(given(store, &credit("3", None, 100)).await.0, usd(0), "the account may still have it back");

    let mut operator = bench.connect().await;
    let sql = "SELECT COUNT(*) AS n FROM credits WHERE reason LIKE '%ada%' OR user_sub = 'ada' OR created_by = 'ada'";
    let named: i64 =
        sqlx::query(sql).fetch_one(&mut operator).await.expect("read").try_get("n").expect("a number");
    assert_eq!(named, 0);
}

async fn what_a_settlement_gives_back_is_given_once_and_is_never_more_than_was_charged(bench: Bench) {
    let store = &*bench.store;
    charged(store, &[("ada", 900), ("bob", 50)]).await;
    let late = |request: u32, amount| LateCredit {
        key: format!("echo/listening@0.{request}.late"),
        samples: 7,
        amount: usd(amount),
    };
    let settlement = |id: &str, credits| Settle {
        credits,
        at_ms: MIDNIGHT + 1,
        ..settle(id, Vec::new(), caps(WIDE, WIDE, WIDE))
    };
    let given = async |id: &str, credits| {
        let standing = store.settle(&settlement(id, credits)).await.expect("written").standing;
        assert_eq!(spent(store, id).await, (standing.account.spent, standing.user.spent));
        (standing.account.spent, standing.user.spent)
    };
    assert_eq!(given("ada", vec![late(0, 300)]).await, (usd(650), usd(600)));
    assert_eq!(given("ada", vec![late(0, 300)]).await, (usd(650), usd(600)), "once");
    let credits = store.list_credits(&CreditFilter::default(), None, 10).await.expect("read").rows;
    let expected = Credit {
        key: "ada/echo/listening@0.0.late".into(),
        reason: late(0, 300).reason(),
        created_by: CREDITED_BY_RELAY.into(),
        created_at_ms: MIDNIGHT + 1,
        ..credit("", Some("ada"), 300)
    };
    assert_eq!(credits, [expected]);

    // Of two the first takes what is left, and an administrator has given some of it.
    assert_eq!(self::given(store, &credit("1", Some("ada"), 100)).await, (usd(550), Some(usd(500))));
    assert_eq!(given("ada", vec![late(1, 700), late(2, 1)]).await, (usd(50), usd(0)));
    let by_user = [
        line(Some("ada"), "echo/listening", 900),
        line(Some("ada"), "operator/credit", -900),
        line(Some("bob"), "echo/listening", 50),
    ];
    assert_eq!(used(store, &day(UsageBy::User, None)).await, by_user);
    let session = store.session("ada").await.expect("read").expect("there");
    assert_eq!(session.cost, usd(900), "what was charged stays");

    // It works for a session that has ended, and not for a relay from which the session was taken.
    store.end_session("bob", 0, "normal", Quality::default(), MIDNIGHT + 2).await.expect("written");
    let other = Settle { epoch: 7, ..settlement("bob", vec![late(0, 50)]) };
    let fenced = store.settle(&other).await.expect_err("another epoch");
    assert!(matches!(fenced, StoreError::Fenced { .. }), "{fenced}");
    assert_eq!(given("bob", vec![late(0, 20)]).await, (usd(30), usd(30)));
    // No administrator has done that.
    let audit = store.list_audit(&DeedFilter::default(), None, 10).await.expect("read").rows;
    assert_eq!(audit.len(), 1, "{audit:?}");
}

/// What a recogniser says afterwards of a request of the session.
fn late(request: u32, amount: u64) -> LateCredit {
    LateCredit { key: format!("echo/listening@0.{request}.late"), samples: 7, amount: usd(amount) }
}

/// Settles that this is given back, and nothing else.
async fn give_late(store: &dyn Store, id: &str, credits: Vec<LateCredit>) -> Result<Settled, StoreError> {
    let nothing = settle(id, Vec::new(), caps(WIDE, WIDE, WIDE));
    store.settle(&Settle { credits, at_ms: MIDNIGHT + 1, ..nothing }).await
}

/// The keys, days and amounts of all credits, by their keys.
async fn stored(store: &dyn Store) -> Vec<(String, String, NanoUsd)> {
    let credits = store.list_credits(&CreditFilter::default(), None, 100).await.expect("read").rows;
    let mut stored: Vec<_> = credits.into_iter().map(|one| (one.key, one.day, one.amount)).collect();
    stored.sort();
    stored
}

async fn a_call_over_midnight_gets_back_what_it_was_charged_on_each_of_its_days(bench: Bench) {
    let (store, wide) = (&*bench.store, caps(WIDE, WIDE, WIDE));
    let begun = NewSession { started_at_ms: MIDNIGHT - 1_000, ..session("a") };
    open(store, &begun, &quota()).await;
    let charge = async |key: &str, cost, at_ms| {
        let charge = Settle { at_ms, ..settle("a", vec![row(key, 1, cost)], wide) };
        store.settle(&charge).await.expect("written");
    };
    charge("1", 100, MIDNIGHT - 1).await;
    let new_day = Reserve { at_ms: MIDNIGHT, ..reserve("a", 200, 200, wide) };
    store.reserve(&new_day).await.expect("answered");
    charge("2", 50, MIDNIGHT).await;

    for _ in 0..2 {
        let standing = give_late(store, "a", vec![late(0, 120)]).await.expect("written").standing;
        assert_eq!((standing.account.spent, standing.user.spent), (usd(0), usd(0)), "50 were of today");
    }
    let given =
        |key: &str, day: &str, amount| (format!("a/echo/listening@0.{key}"), day.to_owned(), usd(amount));
    let (before, after) = ("2026-02-28", "2026-03-01");
    let first = [given("0.late", after, 50), given("0.late/2026-02-28", before, 70)];
    assert_eq!(stored(store).await, first);
    // Of the day before there are 30 left.
    give_late(store, "a", vec![late(1, 40)]).await.expect("written");
    assert_eq!(stored(store).await, [&first[..], &[given("1.late", before, 30)]].concat());
    let another = NewSession { started_at_ms: MIDNIGHT - 1_000, ..session("b") };
    let Ok(Opened::Yes { grant, .. }) = store.open_session(&another, &quota()).await else {
        panic!("there is room");
    };
    let spent = (grant.standing.account.spent, grant.standing.user.spent);
    assert_eq!(spent, (usd(0), usd(0)), "the month and the day before have their part, too");
}

async fn no_call_gets_back_more_than_it_was_charged_itself_and_what_is_cut_is_counted(bench: Bench) {
    let store = &*bench.store;
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _local = metrics::set_default_local_recorder(&recorder);
    charged(store, &[("ada", 100)]).await;
    // Her other call is dearer by far, and so is what else this one has used.
    let other = NewSession { started_at_ms: MIDNIGHT, ..session("other") };
    open(store, &other, &quota()).await;
    let voice = LedgerRow { item: "acme/voice".into(), unit: "character".into(), ..row("2", 1, 700) };
    for (id, row) in [("other", row("1", 1, 5_000)), ("ada", voice)] {
        let charge = Settle { at_ms: MIDNIGHT, ..settle(id, vec![row], caps(WIDE, WIDE, WIDE)) };
        store.settle(&charge).await.expect("written");
    }
    let given = |request: u32, amount| {
        (format!("ada/echo/listening@0.{request}.late"), "2026-03-01".to_owned(), usd(amount))
    };
    give_late(store, "ada", vec![late(0, 40), late(1, 90)]).await.expect("written");
    assert_eq!(stored(store).await, [given(0, 40), given(1, 60)]);
    let cut = |amount: u64| {
        let line = format!("voxrelay_credits_cut_nano_usd_total {amount}");
        let text = counted.render();
        assert!(text.lines().any(|said| said == line), "{line}: {text}");
    };
    cut(30);
    // A credit that is there is not cut again, and one for which nothing is left is cut whole.
    give_late(store, "ada", vec![late(1, 90)]).await.expect("written");
    cut(30);
    give_late(store, "ada", vec![late(2, 5)]).await.expect("written");
    cut(35);
    assert_eq!(stored(store).await.len(), 2);
    assert_eq!(spent(store, "ada").await.1, usd(5_700));
}

async fn what_a_call_had_back_that_was_erased_takes_nothing_from_the_other_calls_of_its_user(bench: Bench) {
    let (store, wide) = (&*bench.store, caps(WIDE, WIDE, WIDE));
    charged(store, &[("ada", 100)]).await;
    let other = NewSession { started_at_ms: MIDNIGHT, ..session("other") };
    open(store, &other, &quota()).await;
    let charge = Settle { at_ms: MIDNIGHT, ..settle("other", vec![row("1", 1, 100)], wide) };
    store.settle(&charge).await.expect("written");
    give_late(store, "other", vec![late(0, 100)]).await.expect("written");
    assert!(store.delete_session("other", None).await.expect("erased"));
    let hers = [line(Some("ada"), "echo/listening", 100)];
    assert_eq!(used(store, &day(UsageBy::User, None)).await, hers, "it names her no more than what it cost");
    let whole = [line(None, "echo/listening", 200), line(None, "operator/credit", -100)];
    assert_eq!(used(store, &day(UsageBy::Account, None)).await, whole);

    // Also where an administrator has given something back, and all of the day is added up.
    assert_eq!(self::given(store, &credit("1", Some("ada"), 30)).await, (usd(70), Some(usd(70))));
    let standing = give_late(store, "ada", vec![late(0, 80)]).await.expect("written").standing;
    assert_eq!((standing.account.spent, standing.user.spent), (usd(0), usd(0)), "70 of 100 are left");
}

async fn a_credit_is_owed_after_an_end_from_outside_unless_what_was_exposed_is_charged(bench: Bench) {
    let (store, wide) = (&*bench.store, caps(WIDE, WIDE, WIDE));
    let excess = LedgerRow {
        key: "echo/listening@0.1.late/excess_sample".into(),
        unit: "excess_sample".into(),
        ..row("", 7, 0)
    };
    charged(store, &[("alone", 900), ("beside", 900), ("lost", 900)]).await;
    let exposed = Reserve { exposed: usd(30), at_ms: MIDNIGHT, ..reserve("lost", 1_000, 1_000, wide) };
    store.reserve(&exposed).await.expect("answered");
    for id in ["alone", "beside", "lost"] {
        let refused = Settle { epoch: 1, ..settle(id, Vec::new(), wide) };
        let refused = store.settle(&Settle { credits: vec![late(0, 300)], ..refused }).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "no such epoch: {refused:?}");
        assert!(store.end_elsewhere(id, "normal").await.expect("ended"));
    }
    for (id, rows) in [("alone", Vec::new()), ("beside", vec![excess.clone()])] {
        let late = Settle { credits: vec![late(0, 300)], at_ms: MIDNIGHT + 1, ..settle(id, rows, wide) };
        for _ in 0..2 {
            let standing = store.settle(&late).await.expect("written").standing;
            assert_eq!(standing.user.spent, usd(600), "{id}");
        }
    }
    for rows in [Vec::new(), vec![excess]] {
        let late = Settle { credits: vec![late(0, 300)], ..settle("lost", rows, wide) };
        let refused = store.settle(&late).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "it was charged as lost: {refused:?}");
    }
    let nothing = store.settle(&settle("alone", Vec::new(), wide)).await;
    assert!(matches!(nothing, Err(StoreError::Fenced { .. })), "there is nothing that is owed: {nothing:?}");
    assert_eq!(stored(store).await.len(), 2);
}
