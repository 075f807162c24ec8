//! Caps that administrators set, and budgets as they are listed.

use relay::money::budget::{Caps, Range, Reserved, Scope, Shortage, TokenCaps};
use relay::records::store::{
    BudgetFilter, BudgetRow, DeedFilter, NewCap, NewSession, Opened, Quota, Store, unix_ms,
};

use super::{Bench, WIDE, caps, on_both_databases, open, quota, reserve, row, session, settle, usd};

on_both_databases! {
    a_cap_below_what_is_spent_grants_nothing_more_and_takes_nothing_back
    a_cap_that_is_set_holds_for_every_relay_and_for_calls_that_begin_until_it_is_taken_back
    a_token_that_allows_less_holds_whatever_is_set
    thresholds_are_shares_of_what_is_set
    thresholds_that_a_lower_cap_puts_below_what_is_spent_are_told_with_the_next_spending_and_once
    budgets_are_listed_by_name_and_by_what_is_used_of_them
    a_cap_that_is_set_is_listed_also_where_nothing_is_used_of_it
    a_cap_of_somebody_whose_name_was_taken_out_is_listed_with_what_is_used_of_it
    an_erased_user_is_no_longer_among_the_budgets
    setting_a_cap_and_taking_it_back_are_in_the_audit
}

fn cap(scope: Scope, subject: &str, nano: u64) -> NewCap {
    NewCap { scope, subject: subject.into(), cap: usd(nano), reason: "a reason".into(), by: "root".into() }
}

fn wide() -> Caps {
    caps(WIDE, WIDE, WIDE)
}

async fn short(store: &dyn Store, through: u64, caps: Caps) -> Shortage {
    match store.reserve(&reserve("a", through, through, caps)).await.expect("answered") {
        Reserved::Short(shortage) => shortage,
        granted => panic!("{granted:?}"),
    }
}

async fn granted(store: &dyn Store, through: u64, caps: Caps) -> u64 {
    match store.reserve(&reserve("a", through, through, caps)).await.expect("answered") {
        Reserved::Granted(grant) => grant.authorised.get(),
        short => panic!("{short:?}"),
    }
}

async fn a_cap_below_what_is_spent_grants_nothing_more_and_takes_nothing_back(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    assert_eq!(granted(store, 100, wide()).await, 100);
    store.settle(&settle("a", vec![row("1", 1, 60)], wide())).await.expect("written");
    store.set_cap(&cap(Scope::User, "ada", 50)).await.expect("written");
    let shortage = short(store, 120, wide()).await;
    assert_eq!((shortage.scope, shortage.contended), (Scope::User, false));
    assert_eq!((shortage.balance.limit, shortage.balance.spent), (usd(50), usd(60)));
    assert_eq!(shortage.authorised, usd(100), "what is set aside may still be spent");
    let settled = store.settle(&settle("a", vec![row("2", 1, 40)], wide())).await.expect("written");
    assert_eq!((settled.standing.user.limit, settled.standing.user.spent), (usd(50), usd(100)));
    store.set_cap(&cap(Scope::User, "ada", 1_000)).await.expect("written");
    assert_eq!(granted(store, 120, wide()).await, 120);
    store.set_cap(&cap(Scope::Account, "acme", 110)).await.expect("written");
    let shortage = short(store, 130, wide()).await;
    assert_eq!((shortage.scope, shortage.balance.limit), (Scope::Account, usd(110)));
}

async fn a_cap_that_is_set_holds_for_every_relay_and_for_calls_that_begin_until_it_is_taken_back(
    bench: Bench,
) {
    let store = &*bench.store;
    let another = bench.another().await;
    let narrow = caps(WIDE, 10, WIDE);
    open(store, &session("a"), &quota()).await;
    assert_eq!(short(store, 40, narrow).await.balance.limit, usd(10));
    another.set_cap(&cap(Scope::User, "ada", 50)).await.expect("written");
    assert_eq!(granted(store, 40, narrow).await, 40, "more than by configuration");
    another.set_cap(&cap(Scope::User, "ada", 40)).await.expect("written");
    let first = Range { at_least: usd(5), at_most: usd(5) };
    let begins = Quota { reserve: first, caps: narrow, ..quota() };
    let opened = store.open_session(&session("b"), &begins).await.expect("answered");
    assert!(matches!(&opened, Opened::NoMoney(short) if short.balance.limit == usd(40)), "{opened:?}");
    assert!(another.take_back_cap(Scope::User, "ada", "root").await.expect("written"));
    assert!(!another.take_back_cap(Scope::User, "ada", "root").await.expect("nothing to do"));
    assert!(!another.take_back_cap(Scope::Account, "ada", "root").await.expect("nothing to do"));
    assert_eq!(short(store, 60, narrow).await.balance.limit, usd(10));
    let of = store.budgets_of("ada", "acme", unix_ms()).await.expect("read");
    assert_eq!((of.user.spent, of.user.reserved, of.overrides.user_day), (usd(0), usd(40), None));
}

async fn a_token_that_allows_less_holds_whatever_is_set(bench: Bench) {
    let store = &*bench.store;
    let token = TokenCaps { user_day: Some(usd(30)), account_month: None };
    let tight = Caps { token, ..caps(WIDE, 10, WIDE) };
    open(store, &session("a"), &quota()).await;
    store.set_cap(&cap(Scope::User, "ada", 1_000)).await.expect("written");
    assert_eq!(granted(store, 30, tight).await, 30);
    assert_eq!(short(store, 31, tight).await.balance.limit, usd(30));
}

async fn thresholds_are_shares_of_what_is_set(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    store.set_cap(&cap(Scope::User, "ada", 100)).await.expect("written");
    let settled = store.settle(&settle("a", vec![row("1", 1, 80)], wide())).await.expect("written");
    let told: Vec<_> = settled.alerts.iter().map(|alert| (alert.scope, alert.percent, alert.limit)).collect();
    assert!(told.contains(&(Scope::User, 80, usd(100))), "{told:?}");
}

async fn thresholds_that_a_lower_cap_puts_below_what_is_spent_are_told_with_the_next_spending_and_once(
    bench: Bench,
) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    store.set_cap(&cap(Scope::User, "ada", 1_000)).await.expect("written");
    let told = async |key: &'static str| {
        let settled = store.settle(&settle("a", vec![row(key, 1, 40)], wide())).await.expect("written");
        let of_user = settled.alerts.into_iter().filter(|alert| alert.scope == Scope::User);
        of_user.map(|alert| (alert.percent, alert.limit)).collect::<Vec<_>>()
    };
    assert_eq!((told("1").await, told("2").await), (vec![], vec![]));
    store.set_cap(&cap(Scope::User, "ada", 150)).await.expect("written");
    assert_eq!(told("3").await, [(50, usd(150)), (80, usd(150))]);
    assert_eq!(told("4").await, [(100, usd(150))]);
    assert_eq!(told("5").await, []);
}

/// Each budget that is listed: whose, what it is, what is spent and set aside.
async fn told(store: &dyn Store, filter: &BudgetFilter) -> Vec<String> {
    let rows = store.list_budgets(filter, None, 100).await.expect("read").rows;
    let row = |row: BudgetRow| {
        let set = row.set.map_or("-".to_owned(), |set| set.get().to_string());
        let (spent, reserved) = (row.used.spent.get(), row.used.reserved.get());
        format!("{} {} {} {set} {spent} {reserved}", row.scope.name(), row.name, row.cap.get())
    };
    rows.into_iter().map(row).collect()
}

fn all() -> BudgetFilter {
    BudgetFilter { scope: None, subject: None, above_percent: None, at_ms: unix_ms() }
}

/// Those of another day and another month.
fn later() -> BudgetFilter {
    BudgetFilter { at_ms: unix_ms() + 40 * 86_400_000, ..all() }
}

async fn filled(store: &dyn Store) {
    for (id, user, account, spent) in
        [("a", "ada", "acme", 60), ("b", "bob", "acme", 10), ("c", "ada", "beta", 0)]
    {
        let new = NewSession { user_sub: user.into(), account: account.into(), ..session(id) };
        let narrow = Quota { caps: caps(WIDE, 100, 1_000), ..quota() };
        open(store, &new, &narrow).await;
        store.settle(&settle(id, vec![row("1", 1, spent)], narrow.caps)).await.expect("written");
    }
}

async fn budgets_are_listed_by_name_and_by_what_is_used_of_them(bench: Bench) {
    let store = &*bench.store;
    assert_eq!(told(store, &all()).await, [""; 0]);
    filled(store).await;
    store.set_cap(&cap(Scope::User, "bob", 20)).await.expect("written");
    let listed =
        ["account acme 1000 - 70 0", "account beta 1000 - 0 0", "user ada 100 - 60 0", "user bob 20 20 10 0"];
    assert_eq!(told(store, &all()).await, listed);
    assert_eq!(told(store, &BudgetFilter { scope: Some(Scope::User), ..all() }).await, listed[2..]);
    let above = |percent| BudgetFilter { above_percent: Some(percent), ..all() };
    assert_eq!(told(store, &above(0)).await, [listed[0], listed[2], listed[3]]);
    assert_eq!(told(store, &above(49)).await, listed[2..]);
    assert_eq!(told(store, &above(50)).await, listed[2..3], "more than half");
    assert_eq!(told(store, &above(60)).await, [""; 0]);
    store.set_cap(&cap(Scope::Account, "beta", u64::MAX)).await.expect("written");
    assert_eq!(told(store, &above(0)).await.len(), 3, "however large a cap is");
    store.take_back_cap(Scope::Account, "beta", "root").await.expect("written");
    assert_eq!(told(store, &later()).await, ["user bob 20 20 0 0"], "nobody has spent anything then");
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_budgets(&all(), after.as_ref(), 1).await.expect("read");
        names.extend(page.rows.into_iter().map(|row| row.name));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(names, ["acme", "beta", "ada", "bob"]);
}

async fn a_cap_that_is_set_is_listed_also_where_nothing_is_used_of_it(bench: Bench) {
    let store = &*bench.store;
    filled(store).await;
    for new in [
        cap(Scope::User, "bob", 20),
        cap(Scope::User, "carl", 0),
        cap(Scope::User, "acme", 30),
        cap(Scope::Account, "gamma", 40),
    ] {
        store.set_cap(&new).await.expect("written");
    }
    let listed = [
        "account acme 1000 - 70 0",
        "account beta 1000 - 0 0",
        "account gamma 40 40 0 0",
        "user acme 30 30 0 0",
        "user ada 100 - 60 0",
        "user bob 20 20 10 0",
        "user carl 0 0 0 0",
    ];
    assert_eq!(told(store, &all()).await, listed);
    assert_eq!(told(store, &BudgetFilter { scope: Some(Scope::User), ..all() }).await, listed[3..]);
    assert_eq!(told(store, &BudgetFilter { above_percent: Some(0), ..all() }).await.len(), 3);
    let of = |name: &str| BudgetFilter { subject: Some(name.into()), ..all() };
    assert_eq!(told(store, &of("acme")).await, [listed[0], listed[3]], "a user and an account of one name");
    assert_eq!(told(store, &BudgetFilter { scope: Some(Scope::User), ..of("acme") }).await, listed[3..4]);
    assert_eq!(told(store, &of("bob")).await, listed[5..6]);
    assert_eq!(told(store, &of("carl")).await, listed[6..]);
    assert_eq!(told(store, &of("somebody")).await, [""; 0]);
    let set = ["account gamma 40 40 0 0", "user acme 30 30 0 0", "user bob 20 20 0 0", "user carl 0 0 0 0"];
    assert_eq!(told(store, &later()).await, set, "what is set is so in every period");
    let rows = store.list_budgets(&all(), None, 100).await.expect("read").rows;
    let period = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.used.period.len());
    assert_eq!((period("gamma"), period("carl")), (Some("2026-12".len()), Some("2026-12-31".len())));
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_budgets(&all(), after.as_ref(), 2).await.expect("read");
        names.extend(page.rows.into_iter().map(|row| row.name));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(names, ["acme", "beta", "gamma", "acme", "ada", "bob", "carl"], "a page at a time");
    store.take_back_cap(Scope::User, "carl", "root").await.expect("written");
    assert_eq!(told(store, &of("carl")).await, [""; 0]);
}

async fn a_cap_of_somebody_whose_name_was_taken_out_is_listed_with_what_is_used_of_it(bench: Bench) {
    let store = &*bench.store;
    filled(store).await;
    store.set_cap(&cap(Scope::User, "ada", 90)).await.expect("written");
    store.delete_session("a", None).await.expect("erased");
    let users = BudgetFilter { subject: Some("ada".into()), ..all() };
    assert_eq!(told(store, &users).await, ["user ada 90 90 60 0"], "no budget is full again");
}

async fn an_erased_user_is_no_longer_among_the_budgets(bench: Bench) {
    let store = &*bench.store;
    filled(store).await;
    store.set_cap(&cap(Scope::User, "ada", 30)).await.expect("written");
    store.delete_session("b", None).await.expect("erased");
    let users = BudgetFilter { scope: Some(Scope::User), ..all() };
    assert_eq!(told(store, &users).await, ["user ada 30 30 60 0"], "nor one whose session is erased");
    store.delete_user("ada", Some("root"), "act").await.expect("erased");
    assert_eq!(told(store, &users).await, [""; 0]);
    let of = store.budgets_of("ada", "acme", unix_ms()).await.expect("read");
    assert_eq!((of.user.spent, of.overrides.user_day), (usd(60), None), "no budget is full again");
    assert_eq!(of.account.spent, usd(70));
}

async fn setting_a_cap_and_taking_it_back_are_in_the_audit(bench: Bench) {
    let store = &*bench.store;
    store.set_cap(&cap(Scope::User, "ada", 30)).await.expect("written");
    store.set_cap(&cap(Scope::Account, "acme", 40)).await.expect("written");
    for scope in [Scope::User, Scope::Account, Scope::Account] {
        let subject = if scope == Scope::User { "ada" } else { "acme" };
        store.take_back_cap(scope, subject, "another").await.expect("written");
    }
    let deeds = store.list_audit(&DeedFilter::default(), None, 100).await.expect("read").rows;
    let told: Vec<String> = deeds
        .into_iter()
        .map(|deed| {
            format!("{} {} {:?} {:?} {:?}", deed.by, deed.what, deed.user_sub, deed.subject, deed.reason)
        })
        .collect();
    let expected = [
        r#"another reset_budget None "acme" """#,
        r#"another reset_budget Some("ada") "" """#,
        r#"root set_budget None "acme: 40 nano-dollars" "a reason""#,
        r#"root set_budget Some("ada") "30 nano-dollars" "a reason""#,
    ];
    assert_eq!(told, expected);
}
