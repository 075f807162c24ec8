//! The deny-list, and sessions that are to end.

use relay::records::store::{
    Denial, DenialKind, EndRequest, NewSession, SessionState, Store, StoreError, Whom, unix_ms,
};

use super::{Bench, RELAY, WIDE, caps, on_both_databases, open, quota, reserve, row, session, settle, usd};

on_both_databases! {
    a_denial_is_there_until_it_is_taken_back_or_over
    a_denial_by_a_person_stays_one_if_an_api_key_repeats_it
    every_change_to_the_deny_list_is_noticed_by_another_relay
    the_relay_that_has_a_session_is_asked_to_end_it
    a_session_that_is_ended_from_outside_takes_no_more_writes_and_gives_its_money_back
}

fn denial(kind: DenialKind, subject: &str, expires_at_ms: Option<i64>) -> Denial {
    Denial {
        kind,
        subject: subject.into(),
        reason: "abuse".into(),
        created_by: "root".into(),
        by_key: false,
        created_at_ms: 1_772_323_200_000,
        expires_at_ms,
    }
}

async fn all(store: &dyn Store) -> Vec<Denial> {
    let mut denials = Vec::new();
    let mut after = None;
    loop {
        let page = store.denials(after.as_ref(), 2).await.expect("read");
        denials.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return denials,
        }
    }
}

async fn a_denial_is_there_until_it_is_taken_back_or_over(bench: Bench) {
    let store = &*bench.store;
    let later = unix_ms() + 3_600_000;
    let denials = [
        denial(DenialKind::Login, "ada", None),
        denial(DenialKind::Sub, "'; --", Some(later)),
        denial(DenialKind::Sub, "ada", Some(later)),
        denial(DenialKind::Sub, "bob", None),
    ];
    for one in &denials {
        store.deny(one).await.expect("written");
    }
    store.deny(&denial(DenialKind::Sub, "over", Some(unix_ms() - 1))).await.expect("written");
    assert_eq!(all(store).await, denials);

    let forever = Denial { reason: "again".into(), ..denial(DenialKind::Sub, "ada", None) };
    store.deny(&forever).await.expect("written over");
    assert_eq!(all(store).await[2], forever);
    assert!(store.allow(DenialKind::Sub, "ada", "root").await.expect("written"));
    assert!(!store.allow(DenialKind::Sub, "ada", "root").await.expect("nothing to do"));
    assert_eq!(all(&*bench.another().await).await, [&denials[..2], &denials[3..]].concat());
}

async fn a_denial_by_a_person_stays_one_if_an_api_key_repeats_it(bench: Bench) {
    let store = &*bench.store;
    let person = denial(DenialKind::Sub, "ada", None);
    let key = Denial { created_by: "key:billing".into(), by_key: true, ..person.clone() };
    let repeated = Denial { by_key: false, ..key.clone() };
    for (one, kept) in [(&key, &key), (&person, &person), (&key, &repeated)] {
        store.deny(one).await.expect("written");
        assert_eq!(all(store).await, std::slice::from_ref(kept));
    }
    let mut connection = bench.connect().await;
    let over = "UPDATE denials SET expires_at = 1";
    sqlx::raw_sql(over).execute(&mut connection).await.expect("written");
    store.deny(&key).await.expect("written");
    assert_eq!(all(store).await, [key], "one that is over is not repeated");
}

async fn every_change_to_the_deny_list_is_noticed_by_another_relay(bench: Bench) {
    let (store, other) = (&*bench.store, bench.another().await);
    let mut seen = vec![other.denials_revision().await.expect("read")];
    let one = denial(DenialKind::Sub, "ada", None);
    for _ in 0..2 {
        store.deny(&one).await.expect("written");
        seen.push(other.denials_revision().await.expect("read"));
    }
    store.allow(DenialKind::Sub, "ada", "root").await.expect("written");
    seen.push(other.denials_revision().await.expect("read"));
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    assert_eq!(other.denials_revision().await.expect("read"), seen[3], "nothing changed");
}

async fn the_relay_that_has_a_session_is_asked_to_end_it(bench: Bench) {
    let store = &*bench.store;
    for (id, user) in [("a", "ada"), ("b", "ada"), ("c", "bob")] {
        open(store, &NewSession { user_sub: user.into(), ..session(id) }, &quota()).await;
    }
    assert_eq!(store.request_end(Whom::Session("c"), "normal", None).await.expect("written"), 1);
    assert_eq!(store.request_end(Whom::Session("nobody"), "normal", None).await.expect("written"), 0);
    let ends = store.ends_requested(RELAY).await.expect("read");
    assert_eq!(ends, [EndRequest { id: "c".into(), reason: "normal".into() }]);
    assert_eq!(store.ends_requested("another").await.expect("read"), []);
    assert_eq!(store.request_end(Whom::User("ada"), "forbidden", None).await.expect("written"), 2);
    assert_eq!(store.ends_requested(RELAY).await.expect("read").len(), 3);
    assert!(store.end_elsewhere("c", "normal").await.expect("ended"));
    assert_eq!(store.ends_requested(RELAY).await.expect("read").len(), 2, "an ended one is not asked again");
    store.end_leases(relay::records::store::Leases::Of(RELAY)).await.expect("written");
    let asked = store.request_end(Whom::User("ada"), "normal", None).await.expect("written");
    assert_eq!(asked, 0, "nobody is there");
}

async fn a_session_that_is_ended_from_outside_takes_no_more_writes_and_gives_its_money_back(bench: Bench) {
    let store = &*bench.store;
    let wide = caps(WIDE, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    store.reserve(&reserve("a", 500, 500, wide)).await.expect("set aside");
    assert!(store.end_elsewhere("a", "forbidden").await.expect("ended"));
    assert!(!store.end_elsewhere("a", "normal").await.expect("it has ended"));
    let row_a = store.session("a").await.expect("read").expect("there");
    assert_eq!((row_a.state, row_a.end_reason.as_deref()), (SessionState::Ended, Some("forbidden")));
    assert!(row_a.ended_at_ms.is_some_and(|at| (at - unix_ms()).abs() < 60_000));
    let late = store.settle(&settle("a", vec![row("1", 1, 1)], wide)).await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    open(store, &session("b"), &quota()).await;
    let settled = store.settle(&settle("b", Vec::new(), wide)).await.expect("read");
    assert_eq!(settled.standing.user.reserved, usd(0));
}
