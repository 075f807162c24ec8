//! Requests with a key: none is made twice, whatever relays it comes to.

use std::collections::BTreeSet;

use relay::records::store::{Expiring, KEYED_MAX, KeptAnswer, Keyed, KeyedEnd, KeyedRequest, Store, unix_ms};
use sqlx::Row;

use super::{Bench, on_both_databases};

on_both_databases! {
    of_many_at_once_one_is_made_and_all_others_get_its_answer
    a_key_belongs_to_one_request_of_one_who_asks
    what_a_lost_relay_was_at_is_made_again_under_the_same_id
    what_was_not_done_frees_its_key_and_what_may_have_been_done_does_not
    a_key_is_kept_for_a_day_and_the_newest_of_each_who_asks
    an_erased_user_is_in_no_answer_that_is_kept
}

fn request(sub: &str, key: &str, body: &str) -> KeyedRequest {
    KeyedRequest::new(sub, key, "POST", "/v1/admin/x/{id}", "/v1/admin/x/1", body.as_bytes())
}

fn answered(status: u16, body: &str) -> KeyedEnd {
    KeyedEnd::Answered(KeptAnswer { status, body: body.into() })
}

async fn begin(store: &dyn Store, request: &KeyedRequest) -> Keyed {
    store.begin_keyed(request).await.expect("written")
}

/// The id under which the request is made; it has to be made.
async fn act(store: &dyn Store, request: &KeyedRequest) -> String {
    match begin(store, request).await {
        Keyed::Act(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn run(bench: &Bench, sql: &str) {
    let mut connection = bench.connect().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect(sql);
}

async fn keys(bench: &Bench) -> i64 {
    let mut connection = bench.connect().await;
    let row = sqlx::query("SELECT COUNT(*) AS n FROM idempotency_keys").fetch_one(&mut connection).await;
    row.expect("read").try_get("n").expect("a number")
}

async fn of_many_at_once_one_is_made_and_all_others_get_its_answer(bench: Bench) {
    let stores = [bench.store.clone(), bench.another().await];
    let one = request("root", "k", "{}");
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let (store, one) = (stores[n % 2].clone(), one.clone());
            tokio::spawn(async move { begin(&*store, &one).await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.expect("no panic") {
            Keyed::Act(_) => made += 1,
            Keyed::UnderWay => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(made, 1);
    stores[0].end_keyed(&one.key, &answered(201, r#"{"a":1}"#)).await.expect("written");
    let answer = Keyed::Answered(KeptAnswer { status: 201, body: r#"{"a":1}"#.into() });
    for store in &stores {
        assert_eq!(begin(&**store, &one).await, answer);
    }
}

async fn a_key_belongs_to_one_request_of_one_who_asks(bench: Bench) {
    let store = &*bench.store;
    let one = request("root", "k", "{}");
    let made = act(store, &one).await;
    let other = request("root", "k", "{ }");
    assert_eq!(begin(store, &other).await, Keyed::OtherRequest);
    store.end_keyed(&one.key, &answered(204, "")).await.expect("written");
    assert_eq!(begin(store, &other).await, Keyed::OtherRequest, "also when it is answered");
    let others =
        [act(store, &request("toor", "k", "{}")).await, act(store, &request("root", "l", "{}")).await];
    assert_eq!(BTreeSet::from_iter([&made, &others[0], &others[1]]).len(), 3);
}

async fn what_a_lost_relay_was_at_is_made_again_under_the_same_id(bench: Bench) {
    let store = &*bench.store;
    let one = request("root", "k", "{}");
    let made = act(store, &one).await;
    assert_eq!(begin(store, &one).await, Keyed::UnderWay);
    run(&bench, "UPDATE idempotency_keys SET lease_until = 1").await;
    let another = bench.another().await;
    assert_eq!(act(&*another, &one).await, made);
    assert_eq!(begin(store, &one).await, Keyed::UnderWay, "it has a lease again");
    // The one before was only slow: the first answer stands.
    store.end_keyed(&one.key, &answered(202, "first")).await.expect("written");
    another.end_keyed(&one.key, &answered(202, "second")).await.expect("written");
    let answer = Keyed::Answered(KeptAnswer { status: 202, body: "first".into() });
    assert_eq!(begin(store, &one).await, answer);
}

async fn what_was_not_done_frees_its_key_and_what_may_have_been_done_does_not(bench: Bench) {
    let store = &*bench.store;
    let (one, other) = (request("root", "k", "{}"), request("root", "k", "{ }"));
    let made = act(store, &one).await;
    store.end_keyed(&one.key, &KeyedEnd::Unsure).await.expect("written");
    assert_eq!(begin(store, &other).await, Keyed::OtherRequest);
    assert_eq!(act(store, &one).await, made, "at once, and under the same id");
    store.end_keyed(&one.key, &KeyedEnd::Nothing).await.expect("written");
    assert_ne!(act(store, &other).await, made);
    let done = answered(200, "done");
    store.end_keyed(&other.key, &done).await.expect("written");
    for late in [KeyedEnd::Nothing, KeyedEnd::Unsure] {
        store.end_keyed(&other.key, &late).await.expect("written");
        assert!(matches!(begin(store, &other).await, Keyed::Answered(_)), "{late:?}");
    }
}

async fn a_key_is_kept_for_a_day_and_the_newest_of_each_who_asks(bench: Bench) {
    let store = &*bench.store;
    let one = request("root", "k", "{}");
    let made = act(store, &one).await;
    store.end_keyed(&one.key, &answered(204, "")).await.expect("written");
    run(&bench, "UPDATE idempotency_keys SET created_at = created_at - 86340000").await;
    assert!(matches!(begin(store, &one).await, Keyed::Answered(_)), "a minute before the day is over");
    run(&bench, "UPDATE idempotency_keys SET created_at = created_at - 60000").await;
    assert_ne!(act(store, &one).await, made, "nobody has deleted it so far");
    let expire = async |before_ms| store.expire(Expiring::Keyed { before_ms }, 10).await.expect("deleted");
    assert_eq!(expire(unix_ms() - 60_000).await, 0);
    assert_eq!(expire(unix_ms() + 60_000).await, 1);

    let now_ms = unix_ms();
    let (owner, many) = (&one.owner, KEYED_MAX + 5);
    let fill = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})
        INSERT INTO idempotency_keys (key, owner, request, act, lease_until, created_at)
        SELECT 'k' || CAST(i AS TEXT), '{owner}', 'r', 'a', 0, {now_ms} - 10000 + i / 2 FROM n"
    );
    run(&bench, &fill).await;
    act(store, &request("another", "k", "{}")).await;
    assert_eq!(keys(&bench).await, i64::from(many) + 1, "what others ask deletes none of these");
    act(store, &one).await;
    assert_eq!(keys(&bench).await, i64::from(KEYED_MAX) + 1);
    assert_eq!(begin(store, &one).await, Keyed::UnderWay, "the oldest went");
}

async fn an_erased_user_is_in_no_answer_that_is_kept(bench: Bench) {
    let store = &*bench.store;
    let answers = [
        ("root", "1", r#"{"user_sub":"ada","reason":"a wrong price"}"#),
        ("root", "2", r#"{"user_sub":"bob","reason":"\"ada\""}"#),
        ("root", "3", r#"{"subject":"ada"}"#),
        ("ada", "4", "{}"),
        ("bob", "5", ""),
    ];
    for (sub, key, body) in answers {
        let asked = request(sub, key, "{}");
        act(store, &asked).await;
        store.end_keyed(&asked.key, &answered(200, body)).await.expect("written");
    }
    let names = "SELECT COUNT(*) AS n FROM idempotency_keys WHERE key LIKE '%ada%' OR owner LIKE '%ada%'
        OR request LIKE '%ada%' OR act LIKE '%ada%'";
    let mut connection = bench.connect().await;
    let row = sqlx::query(names).fetch_one(&mut connection).await.expect("read");
    assert_eq!(row.try_get::<i64, _>("n").expect("a number"), 0, "only answers have names");
    assert_eq!(store.delete_user("ada", Some("root")).await.expect("erased"), 0);
    for (sub, key, body) in answers {
        let is_kept = matches!(begin(store, &request(sub, key, "{}")).await, Keyed::Answered(_));
        assert_eq!(is_kept, ["2", "5"].contains(&key), "{body}");
    }
}
