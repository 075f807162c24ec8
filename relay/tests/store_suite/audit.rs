//! The audit: what administrators did.

use relay::call::CommandKind;
use relay::records::store::{
    Credit, Credited, Deed, DeedFilter, DeedKind, Denial, DenialKind, Leases, NewCommand, NewSession, Settle,
    Store, Whom,
};

use super::{Bench, RELAY, WIDE, caps, on_both_databases, open, quota, row, session, settle, usd};

on_both_databases! {
    what_administrators_do_is_in_the_audit_once_and_what_they_did_not_do_is_not
    nothing_is_done_that_cannot_be_put_into_the_audit
    the_audit_is_listed_newest_first_by_page_and_by_what_is_asked
    nothing_in_the_audit_can_be_changed_or_deleted
    an_erased_user_is_not_named_in_the_audit_and_the_deeds_stay
    who_erases_themselves_takes_nothing_out_of_what_they_did_for_themselves
}

/// 2026-03-01, midnight.
const MIDNIGHT: i64 = 1_772_323_200_000;

fn denial(kind: DenialKind, subject: &str) -> Denial {
    Denial {
        kind,
        subject: subject.into(),
        reason: format!("{subject} shouted"),
        created_by: "root".into(),
        by_key: false,
        created_at_ms: MIDNIGHT,
        expires_at_ms: None,
    }
}

fn credit(key: &str, amount: u64) -> Credit {
    Credit {
        key: key.into(),
        account: "acme".into(),
        user_sub: Some("ada".into()),
        day: "2026-03-01".into(),
        amount: usd(amount),
        reason: "a wrong price".into(),
        created_by: "root".into(),
        created_at_ms: MIDNIGHT,
    }
}

/// A live session of each of these users, named like its user, which was charged 90.
async fn charged(store: &dyn Store, users: &[&str]) {
    for user in users {
        let new = NewSession { user_sub: (*user).into(), started_at_ms: MIDNIGHT, ..session(user) };
        open(store, &new, &quota()).await;
        let settle =
            Settle { at_ms: MIDNIGHT, ..settle(user, vec![row("1", 1, 90)], caps(WIDE, WIDE, WIDE)) };
        store.settle(&settle).await.expect("written");
    }
}

async fn list(store: &dyn Store, filter: &DeedFilter) -> Vec<Deed> {
    let mut deeds = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_audit(filter, after.as_ref(), 2).await.expect("read");
        deeds.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return deeds,
        }
    }
}

/// Who did what to whom, to what and why, the oldest first.
async fn told(store: &dyn Store) -> Vec<String> {
    let deeds = list(store, &DeedFilter::default()).await;
    let one = |deed: &Deed| {
        let user = deed.user_sub.as_deref().unwrap_or("-");
        format!("{} {} {user} {:?} {:?}", deed.by, deed.what, deed.subject, deed.reason)
    };
    deeds.iter().rev().map(one).collect()
}

async fn what_administrators_do_is_in_the_audit_once_and_what_they_did_not_do_is_not(bench: Bench) {
    let store = &*bench.store;
    charged(store, &["ada", "bob", "eve"]).await;
    let end = async |whom, by| store.request_end(whom, "ended_by_operator", by).await.expect("written");
    assert_eq!(end(Whom::Session("ada"), Some("root")).await, 1);
    assert_eq!(end(Whom::Session("nobody"), Some("root")).await, 0);
    assert_eq!(end(Whom::User("bob"), None).await, 1, "on its way to something else");
    assert_eq!(end(Whom::User("eve"), Some("root")).await, 1);
    assert_eq!(end(Whom::User("nobody"), Some("root")).await, 0);
    assert!(store.end_elsewhere("ada", "ended_by_operator").await.expect("ended"));
    assert_eq!(end(Whom::Session("ada"), Some("root")).await, 0, "it is over");
    // An order that no relay can hear is one.
    store.end_leases(Leases::Session { id: "eve", relay: RELAY }).await.expect("ended");
    assert_eq!(end(Whom::Session("eve"), Some("root")).await, 0);

    let refused = store.give_credit(&credit("1", 91)).await.expect("answered");
    assert_eq!(refused, Credited::TooMuch { left: usd(90) });
    for _ in 0..2 {
        assert!(matches!(store.give_credit(&credit("1", 40)).await.expect("given"), Credited::Yes { .. }));
    }
    assert_eq!(store.give_credit(&credit("1", 41)).await.expect("answered"), Credited::KeyInUse);

    store.deny(&denial(DenialKind::Sub, "bob")).await.expect("written");
    store.deny(&denial(DenialKind::Login, "login-9")).await.expect("written");
    for there in [true, false] {
        assert_eq!(store.allow(DenialKind::Sub, "bob", "another").await.expect("written"), there);
    }
    assert!(store.allow(DenialKind::Login, "login-9", "root").await.expect("written"));

    for there in [true, false] {
        assert_eq!(store.delete_session("bob", Some("root")).await.expect("erased"), there);
    }
    assert!(store.delete_session("ada", None).await.expect("erased"), "by its user");
    assert_eq!(store.delete_user("nobody", Some("root"), "act").await.expect("erased"), 0);
    assert_eq!(
        told(&*bench.another().await).await,
        [
            r#"root end_session ada "ada" """#,
            r#"root end_session eve "" """#,
            r#"root end_session eve "eve" """#,
            r#"root give_credit ada "1" "a wrong price""#,
            r#"root deny bob "" "bob shouted""#,
            r#"root deny - "login-9" "login-9 shouted""#,
            r#"another allow bob "" """#,
            r#"root allow - "login-9" """#,
            r#"root delete_session bob "bob" """#,
            r#"root delete_user - "" """#,
        ]
    );
}

async fn nothing_is_done_that_cannot_be_put_into_the_audit(bench: Bench) {
    let store = &*bench.store;
    charged(store, &["ada"]).await;
    store.deny(&denial(DenialKind::Sub, "bob")).await.expect("written");
    let mut operator = bench.connect().await;
    sqlx::raw_sql("ALTER TABLE audit RENAME TO audit_away").execute(&mut operator).await.expect("renamed");
    store.request_end(Whom::Session("ada"), "normal", Some("root")).await.expect_err("no audit");
    let (id, text, by) = ("c-1".to_owned(), "a word".to_owned(), "root".to_owned());
    let command = NewCommand { id, kind: CommandKind::Context, text, by };
    store.give_command("ada", &command).await.expect_err("no audit");
    store.delete_session("ada", Some("root")).await.expect_err("no audit");
    store.delete_user("ada", Some("root"), "act").await.expect_err("no audit");
    store.deny(&denial(DenialKind::Sub, "ada")).await.expect_err("no audit");
    store.allow(DenialKind::Sub, "bob", "root").await.expect_err("no audit");
    store.give_credit(&credit("1", 40)).await.expect_err("no audit");
    sqlx::raw_sql("ALTER TABLE audit_away RENAME TO audit").execute(&mut operator).await.expect("renamed");

    assert!(store.session("ada").await.expect("read").is_some());
    assert_eq!(store.ends_requested(RELAY).await.expect("read"), []);
    let denials = store.denials(None, 10).await.expect("read").rows;
    assert_eq!(denials, [denial(DenialKind::Sub, "bob")]);
    assert_eq!(store.list_credits(&Default::default(), None, 10).await.expect("read").rows, []);
    assert_eq!(told(store).await, [r#"root deny bob "" "bob shouted""#]);
}

async fn the_audit_is_listed_newest_first_by_page_and_by_what_is_asked(bench: Bench) {
    let store = &*bench.store;
    for user in ["ada", "bob", "eve"] {
        store.deny(&denial(DenialKind::Sub, user)).await.expect("written");
        store.allow(DenialKind::Sub, user, "another").await.expect("written");
    }
    let all = list(store, &DeedFilter::default()).await;
    assert_eq!(all.len(), 6);
    let place = |deed: &Deed| (deed.at_ms, deed.id.clone());
    assert!(all.windows(2).all(|pair| place(&pair[0]) > place(&pair[1])), "{all:?}");
    let of = async |filter: DeedFilter| {
        let deeds = list(store, &filter).await.into_iter();
        deeds.map(|deed| format!("{} {}", deed.what, deed.user_sub.unwrap_or_default())).collect::<Vec<_>>()
    };
    let by = |name: &str| DeedFilter { by: Some(name.into()), ..DeedFilter::default() };
    let bob = DeedFilter { user_sub: Some("bob".into()), ..DeedFilter::default() };
    assert_eq!(of(by("another")).await, ["allow eve", "allow bob", "allow ada"]);
    assert_eq!(of(by("nobody")).await, Vec::<String>::new());
    let denied = DeedFilter { what: Some(DeedKind::Deny), ..DeedFilter::default() };
    assert_eq!(of(denied).await, ["deny eve", "deny bob", "deny ada"]);
    assert_eq!(of(bob.clone()).await, ["allow bob", "deny bob"]);
    assert_eq!(of(DeedFilter { what: Some(DeedKind::Deny), ..bob }).await, ["deny bob"]);
    let (first, last) = (all[5].at_ms, all[0].at_ms);
    let within =
        |from_ms, to_ms| DeedFilter { from_ms: Some(from_ms), to_ms: Some(to_ms), ..DeedFilter::default() };
    assert_eq!(list(store, &within(first, last + 1)).await, all);
    assert_eq!(list(store, &within(last + 1, last + 1_000)).await, []);
    assert_eq!(list(store, &within(first - 1_000, first)).await, []);
}

async fn nothing_in_the_audit_can_be_changed_or_deleted(bench: Bench) {
    let store = &*bench.store;
    store.deny(&denial(DenialKind::Sub, "ada")).await.expect("written");
    let before = list(store, &DeedFilter::default()).await;
    let mut operator = bench.connect().await;
    for change in [
        "UPDATE audit SET id = 'x'",
        "UPDATE audit SET done_at = 1000",
        "UPDATE audit SET done_by = 'x'",
        "UPDATE audit SET what = 'x'",
        "UPDATE audit SET user_sub = 'x'",
        "UPDATE audit SET subject = 'x'",
        "UPDATE audit SET reason = 'x'",
        "DELETE FROM audit",
    ] {
        let error = sqlx::raw_sql(change).execute(&mut operator).await.expect_err(change).to_string();
        assert!(error.contains("append-only"), "{change}: {error}");
    }
    assert_eq!(list(store, &DeedFilter::default()).await, before);
}

async fn an_erased_user_is_not_named_in_the_audit_and_the_deeds_stay(bench: Bench) {
    let store = &*bench.store;
    charged(store, &["ada", "bob"]).await;
    store.deny(&denial(DenialKind::Sub, "ada")).await.expect("written");
    store.give_credit(&credit("1", 40)).await.expect("given");
    store.delete_session("ada", Some("root")).await.expect("erased");
    let by_her = Denial { created_by: "ada".into(), ..denial(DenialKind::Sub, "bob") };
    store.deny(&by_her).await.expect("written");
    store.delete_user("ada", Some("root"), "act").await.expect("erased");
    // An administrator who erases themselves is nobody as well.
    store.delete_user("eve", Some("eve"), "act").await.expect("erased");
    assert_eq!(
        told(store).await,
        [
            r#"root deny - "" """#,
            r#"root give_credit - "1" """#,
            r#"root delete_session - "ada" """#,
            r#" deny bob "" "bob shouted""#,
            r#"root delete_user - "" """#,
            r#" delete_user - "" """#,
        ]
    );
}

async fn who_erases_themselves_takes_nothing_out_of_what_they_did_for_themselves(bench: Bench) {
    let store = &*bench.store;
    charged(store, &["ada"]).await;
    store.give_credit(&Credit { created_by: "ada".into(), ..credit("1", 40) }).await.expect("given");
    store.give_credit(&credit("2", 10)).await.expect("given");
    let by_her = Denial { created_by: "ada".into(), ..denial(DenialKind::Sub, "ada") };
    store.deny(&by_her).await.expect("written");
    store.allow(DenialKind::Sub, "ada", "ada").await.expect("written");
    assert_eq!(store.delete_user("ada", None, "act").await.expect("erased"), 1);
    assert_eq!(
        told(store).await,
        [
            r#"ada give_credit ada "1" "a wrong price""#,
            r#"root give_credit - "2" """#,
            r#"ada deny ada "" "ada shouted""#,
            r#"ada allow ada "" """#,
        ]
    );
    let credits = store.list_credits(&Default::default(), None, 10).await.expect("read").rows;
    let one = |credit: &Credit| {
        let user = credit.user_sub.as_deref().unwrap_or("-");
        format!("{} {user} {:?}", credit.key, credit.reason)
    };
    let mut kept: Vec<String> = credits.iter().map(one).collect();
    kept.sort();
    assert_eq!(kept, [r#"1 ada "a wrong price""#, r#"2 - """#]);

    // Others take it out, also where whoever did it is nobody any more.
    let of_another = Denial { created_by: "ada".into(), ..denial(DenialKind::Sub, "bob") };
    store.deny(&of_another).await.expect("written");
    for user in ["ada", "bob"] {
        store.delete_user(user, Some("root"), "act").await.expect("erased");
    }
    let deeds = told(store).await;
    assert!(deeds.iter().all(|deed| !deed.contains("ada") && !deed.contains("bob")), "{deeds:?}");
}
