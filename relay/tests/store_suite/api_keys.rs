//! API keys.

use std::collections::BTreeSet;
use std::time::Duration;

use relay::records::store::{
    API_KEYS_MAX, ApiKey, ApiKeyFilter, DeedFilter, DeedKind, Denial, DenialKind, MadeKey, NewApiKey, Store,
    unix_ms,
};
use sqlx::Row;
use tokio::time::{sleep, timeout};

use super::{Bench, on_both_databases};

on_both_databases! {
    a_key_is_found_by_its_hash_until_it_is_revoked_or_expires
    a_name_is_one_keys_for_ever_and_no_more_are_good_than_may_be
    a_key_whose_answer_was_lost_gets_another_secret_and_is_one_key
    the_use_of_a_key_is_noted_once_an_hour
    whoever_asks_with_a_key_waits_for_nothing_that_is_written
    whoever_is_denied_by_a_person_or_erased_has_their_keys_revoked
    who_made_and_revoked_a_key_is_in_the_audit_and_an_erased_maker_is_forgotten
}

fn new(name: &str) -> NewApiKey {
    NewApiKey {
        id: format!("id-of-{name}"),
        name: name.into(),
        hash: format!("hash of {name}"),
        is_admin: true,
        is_reader: false,
        expires_at_ms: None,
        by: "root".into(),
    }
}

async fn made(store: &dyn Store, new: &NewApiKey) -> ApiKey {
    match store.make_api_key(new).await.expect("written") {
        MadeKey::Yes(key) => key,
        refused => panic!("{refused:?}"),
    }
}

async fn found(store: &dyn Store, name: &str) -> Option<ApiKey> {
    store.api_key(&format!("hash of {name}")).await.expect("read")
}

async fn all(store: &dyn Store) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = store.api_keys(&ApiKeyFilter::default(), after.as_ref(), 2).await.expect("read");
        names.extend(page.rows.into_iter().map(|key| key.name));
        match page.next {
            Some(next) => after = Some(next),
            None => return names,
        }
    }
}

/// When the only key was last used, as far as that is noted.
async fn used(bench: &Bench) -> Option<i64> {
    let mut connection = bench.connect().await;
    let row = sqlx::query("SELECT last_used_at AS at FROM api_keys").fetch_one(&mut connection).await;
    row.expect("read").try_get("at").expect("a time or none")
}

/// Waits until it is noted that the only key was used at this time or later.
async fn noted(bench: &Bench, from: i64) -> i64 {
    for _ in 0..500 {
        match used(bench).await {
            Some(at) if at >= from => return at,
            _ => sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("its use is not noted");
}

async fn run(bench: &Bench, sql: &str) {
    let mut connection = bench.connect().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect(sql);
}

async fn a_key_is_found_by_its_hash_until_it_is_revoked_or_expires(bench: Bench) {
    let (store, another) = (&*bench.store, bench.another().await);
    let key = made(store, &new("billing")).await;
    assert_eq!((key.name.as_str(), key.is_admin, key.is_reader), ("billing", true, false));
    assert!((key.created_at_ms - unix_ms()).abs() < 60_000 && key.revoked_at_ms.is_none());
    assert_eq!(found(&*another, "billing").await, Some(key.clone()));
    assert_eq!(store.api_key("billing").await.expect("read"), None, "nor by anything else");
    assert!(another.is_api_key_good(&key.id).await.expect("read"));
    assert!(store.revoke_api_key(&key.id, "root").await.expect("written"));
    assert!(!store.revoke_api_key(&key.id, "root").await.expect("nothing to do"));
    assert!(!store.revoke_api_key("nobody", "root").await.expect("nothing to do"));
    assert_eq!(found(&*another, "billing").await, None);
    assert!(!another.is_api_key_good(&key.id).await.expect("read"));

    let short = NewApiKey { expires_at_ms: Some(unix_ms() + 3_600_000), ..new("short") };
    let key = made(store, &short).await;
    assert_eq!(found(&*another, "short").await.and_then(|key| key.expires_at_ms), short.expires_at_ms);
    run(&bench, "UPDATE api_keys SET expires_at = 1 WHERE name = 'short'").await;
    assert_eq!(found(&*another, "short").await, None);
    assert!(!another.is_api_key_good(&key.id).await.expect("read"));
    assert_eq!(all(store).await.len(), 2, "both are listed");
}

async fn a_name_is_one_keys_for_ever_and_no_more_are_good_than_may_be(bench: Bench) {
    let store = &*bench.store;
    let first = made(store, &new("0")).await;
    let same = NewApiKey { id: "other".into(), hash: "other".into(), ..new("0") };
    assert_eq!(store.make_api_key(&same).await.expect("read"), MadeKey::NameTaken);
    for n in 1..API_KEYS_MAX {
        made(store, &new(&n.to_string())).await;
    }
    assert_eq!(store.make_api_key(&new("many")).await.expect("read"), MadeKey::TooMany);
    assert!(store.revoke_api_key(&first.id, "root").await.expect("written"));
    assert_eq!(store.make_api_key(&same).await.expect("read"), MadeKey::NameTaken, "also then");
    made(store, &new("many")).await;
    let names = all(store).await;
    assert_eq!(names.len(), API_KEYS_MAX as usize + 1);
}

async fn a_key_whose_answer_was_lost_gets_another_secret_and_is_one_key(bench: Bench) {
    let store = &*bench.store;
    let first = made(store, &new("a")).await;
    let again = NewApiKey { hash: "hash of b".into(), ..new("a") };
    assert_eq!(made(store, &again).await, first);
    assert!(found(store, "a").await.is_none());
    assert!(found(store, "b").await.is_some());
    assert_eq!(all(store).await, ["a"]);
    // Whoever has used it has it.
    noted(&bench, 0).await;
    assert_eq!(store.make_api_key(&new("a")).await.expect("read"), MadeKey::NameTaken);
    assert!(found(store, "b").await.is_some());
    let deeds = DeedFilter { what: Some(DeedKind::MakeKey), ..DeedFilter::default() };
    assert_eq!(store.list_audit(&deeds, None, 10).await.expect("read").rows.len(), 1);
}

async fn the_use_of_a_key_is_noted_once_an_hour(bench: Bench) {
    let store = &*bench.store;
    assert_eq!(made(store, &new("a")).await.last_used_at_ms, None);
    found(store, "a").await.expect("there");
    let first = noted(&bench, 0).await;
    assert!((first - unix_ms()).abs() < 60_000);
    run(&bench, "UPDATE api_keys SET last_used_at = last_used_at - 3500000").await;
    found(&*bench.another().await, "a").await.expect("there");
    assert_eq!(used(&bench).await, Some(first - 3_500_000), "not yet");
    run(&bench, "UPDATE api_keys SET last_used_at = last_used_at - 200000").await;
    found(store, "a").await.expect("there");
    assert_eq!(used(&bench).await, Some(first - 3_700_000), "this relay has done it a moment ago");
    found(&*bench.another().await, "a").await.expect("there");
    noted(&bench, first).await;
}

async fn whoever_asks_with_a_key_waits_for_nothing_that_is_written(bench: Bench) {
    let store = &*bench.store;
    made(store, &new("a")).await;
    let mut writes = bench.connect().await;
    let lock = "BEGIN; UPDATE api_keys SET name = name";
    sqlx::raw_sql(lock).execute(&mut writes).await.expect("locked");
    let asked = timeout(Duration::from_secs(2), found(store, "a")).await.expect("it does not wait");
    assert!(asked.is_some());
    sqlx::raw_sql("ROLLBACK").execute(&mut writes).await.expect("freed");
    noted(&bench, 0).await;
}

async fn whoever_is_denied_by_a_person_or_erased_has_their_keys_revoked(bench: Bench) {
    let store = &*bench.store;
    let by = |name: &str, by: &str| NewApiKey { by: by.into(), ..new(name) };
    for (name, maker) in [("a", "eve"), ("b", "eve"), ("c", "root")] {
        made(store, &by(name, maker)).await;
    }
    let denial = Denial {
        kind: DenialKind::Sub,
        subject: "eve".into(),
        reason: String::new(),
        created_by: "boss".into(),
        by_key: true,
        created_at_ms: unix_ms(),
        expires_at_ms: None,
    };
    store.deny(&denial).await.expect("written");
    assert!(found(store, "a").await.is_some(), "an API key takes no other keys away");
    let login = Denial { kind: DenialKind::Login, by_key: false, ..denial.clone() };
    store.deny(&login).await.expect("written");
    assert!(store.has_good_api_keys("eve").await.expect("read"), "a login of this name made none");
    store.deny(&Denial { by_key: false, ..denial }).await.expect("written");
    let good = async || {
        let mut good = Vec::new();
        for name in ["a", "b", "c", "d"] {
            good.extend(found(store, name).await.map(|key| key.name));
        }
        good
    };
    assert_eq!(good().await, ["c"]);
    assert!(!store.has_good_api_keys("eve").await.expect("read"));
    let revoked = DeedFilter { what: Some(DeedKind::RevokeKey), ..DeedFilter::default() };
    let audit = store.list_audit(&revoked, None, 10).await.expect("read").rows;
    let told: BTreeSet<_> = audit.iter().map(|deed| [&*deed.by, &*deed.subject]).collect();
    assert_eq!(told, BTreeSet::from([["boss", "a"], ["boss", "b"]]));
    assert_eq!(store.make_api_key(&by("d", "eve")).await.expect("read"), MadeKey::Denied);

    assert!(store.allow(DenialKind::Sub, "eve", "boss").await.expect("written"));
    assert_eq!(good().await, ["c"], "what is revoked stays so");
    made(store, &by("d", "eve")).await;
    let filter = ApiKeyFilter { created_by: Some("eve".into()) };
    let theirs = store.api_keys(&filter, None, 10).await.expect("read").rows;
    assert_eq!(theirs.iter().map(|key| &*key.name).collect::<BTreeSet<_>>(), BTreeSet::from(["a", "b", "d"]));
    store.delete_user("eve", Some("boss"), "act").await.expect("erased");
    assert_eq!(good().await, ["c"]);
    assert_eq!(store.list_audit(&revoked, None, 10).await.expect("read").rows.len(), 3);
}

async fn who_made_and_revoked_a_key_is_in_the_audit_and_an_erased_maker_is_forgotten(bench: Bench) {
    let store = &*bench.store;
    let key = made(store, &new("billing")).await;
    assert!(store.revoke_api_key(&key.id, "boss").await.expect("written"));
    let audit = store.list_audit(&DeedFilter::default(), None, 10).await.expect("read").rows;
    let told: Vec<_> = audit.iter().map(|deed| [&*deed.by, &*deed.what, &*deed.subject]).collect();
    assert_eq!(told, [["boss", "revoke_key", "billing"], ["root", "make_key", "billing"]]);
    store.delete_user("root", Some("boss"), "act").await.expect("erased");
    let keys = store.api_keys(&ApiKeyFilter::default(), None, 10).await.expect("read").rows;
    assert_eq!((keys[0].created_by.as_str(), keys[0].name.as_str()), ("", "billing"));
}
