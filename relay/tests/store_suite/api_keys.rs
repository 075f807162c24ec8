//! API keys.

use relay::records::store::{API_KEYS_MAX, ApiKey, DeedFilter, DeedKind, MadeKey, NewApiKey, Store, unix_ms};
use sqlx::Row;

use super::{Bench, on_both_databases};

on_both_databases! {
    a_key_is_found_by_its_hash_until_it_is_revoked_or_expires
    a_name_is_one_keys_for_ever_and_no_more_are_good_than_may_be
    a_key_whose_answer_was_lost_gets_another_secret_and_is_one_key
    the_use_of_a_key_is_noted_once_an_hour
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
        let page = store.api_keys(after.as_ref(), 2).await.expect("read");
        names.extend(page.rows.into_iter().map(|key| key.name));
        match page.next {
            Some(next) => after = Some(next),
            None => return names,
        }
    }
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
    assert_eq!(store.make_api_key(&new("a")).await.expect("read"), MadeKey::NameTaken);
    assert!(found(store, "b").await.is_some());
    let deeds = DeedFilter { what: Some(DeedKind::MakeKey), ..DeedFilter::default() };
    assert_eq!(store.list_audit(&deeds, None, 10).await.expect("read").rows.len(), 1);
}

async fn the_use_of_a_key_is_noted_once_an_hour(bench: Bench) {
    let store = &*bench.store;
    assert_eq!(made(store, &new("a")).await.last_used_at_ms, None);
    let used = async || {
        found(store, "a").await.expect("there");
        let mut connection = bench.connect().await;
        let row = sqlx::query("SELECT last_used_at AS at FROM api_keys").fetch_one(&mut connection).await;
        row.expect("read").try_get::<i64, _>("at").expect("a time")
    };
    let first = used().await;
    assert!((first - unix_ms()).abs() < 60_000);
    assert_eq!(used().await, first);
    run(&bench, "UPDATE api_keys SET last_used_at = last_used_at - 3500000").await;
    assert_eq!(used().await, first - 3_500_000, "not yet");
    run(&bench, "UPDATE api_keys SET last_used_at = last_used_at - 200000").await;
    assert!(used().await >= first);
}

async fn who_made_and_revoked_a_key_is_in_the_audit_and_an_erased_maker_is_forgotten(bench: Bench) {
    let store = &*bench.store;
    let key = made(store, &new("billing")).await;
    assert!(store.revoke_api_key(&key.id, "boss").await.expect("written"));
    let audit = store.list_audit(&DeedFilter::default(), None, 10).await.expect("read").rows;
    let told: Vec<_> = audit.iter().map(|deed| [&*deed.by, &*deed.what, &*deed.subject]).collect();
    assert_eq!(told, [["boss", "revoke_key", "billing"], ["root", "make_key", "billing"]]);
    store.delete_user("root", Some("boss")).await.expect("erased");
    let keys = store.api_keys(None, 10).await.expect("read").rows;
    assert_eq!((keys[0].created_by.as_str(), keys[0].name.as_str()), ("", "billing"));
}
