//! Requests with a key: none is made twice, whatever relays it comes to.

use std::collections::BTreeSet;

use relay::records::store::{
    Expiring, KEYED_MAX, KeptAnswer, Keyed, KeyedEnd, KeyedRequest, KeyedWork, Store, unix_ms,
};
use sqlx::Row;

use super::{Bench, on_both_databases};

on_both_databases! {
    of_many_at_once_one_is_made_and_all_others_get_its_answer
    a_key_belongs_to_one_request_of_one_who_asks
    what_a_lost_relay_was_at_is_made_again_under_the_same_id
    a_relay_that_is_slow_keeps_what_it_is_at_and_writes_nothing_once_another_one_is_at_it
    what_was_not_done_frees_its_key_and_what_may_have_been_done_does_not
    a_key_is_kept_for_a_day_and_the_newest_of_each_who_asks
    an_erased_user_is_in_no_answer_that_is_kept
    who_erases_themselves_is_told_so_once_and_all_else_that_they_asked_is_forgotten
}

fn request(sub: &str, key: &str, body: &str) -> KeyedRequest {
    KeyedRequest::new(sub, key, "POST", "/v1/admin/x/{id}", "/v1/admin/x/1", body.as_bytes())
}

fn answered(status: u16, body: &str) -> KeyedEnd {
    KeyedEnd::Answered(KeptAnswer { status, body: body.into() })
}

fn repeats(status: u16, body: &str) -> Keyed {
    Keyed::Answered(KeptAnswer { status, body: body.into() })
}

async fn begin(store: &dyn Store, request: &KeyedRequest) -> Keyed {
    store.begin_keyed(request).await.expect("written")
}

/// The work on a request, which has to be made.
async fn work(store: &dyn Store, request: &KeyedRequest) -> KeyedWork {
    match begin(store, request).await {
        Keyed::Act(work) => work,
        other => panic!("{other:?}"),
    }
}

async fn end(store: &dyn Store, work: &KeyedWork, end: &KeyedEnd) {
    store.end_keyed(work, end).await.expect("written");
}

/// The relays that are at work on anything say no more of it for so long that they count as lost.
async fn lose(bench: &Bench) {
    run(bench, "UPDATE idempotency_keys SET lease_until = 1").await;
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
    let mut made = Vec::new();
    for task in tasks {
        match task.await.expect("no panic") {
            Keyed::Act(work) => made.push(work),
            Keyed::UnderWay => {}
            other => panic!("{other:?}"),
        }
    }
    let [work] = &made[..] else { panic!("{made:?}") };
    end(&*stores[0], work, &answered(201, r#"{"a":1}"#)).await;
    for store in &stores {
        assert_eq!(begin(&**store, &one).await, repeats(201, r#"{"a":1}"#));
    }
}

async fn a_key_belongs_to_one_request_of_one_who_asks(bench: Bench) {
    let store = &*bench.store;
    let one = request("root", "k", "{}");
    let made = work(store, &one).await;
    let other = request("root", "k", "{ }");
    assert_eq!(begin(store, &other).await, Keyed::OtherRequest);
    end(store, &made, &answered(204, "")).await;
    assert_eq!(begin(store, &other).await, Keyed::OtherRequest, "also when it is answered");
    let others =
        [work(store, &request("toor", "k", "{}")).await, work(store, &request("root", "l", "{}")).await];
    assert_eq!(BTreeSet::from_iter([&made.act, &others[0].act, &others[1].act]).len(), 3);
}

async fn what_a_lost_relay_was_at_is_made_again_under_the_same_id(bench: Bench) {
    let store = &*bench.store;
    let one = request("root", "k", "{}");
    let made = work(store, &one).await;
    assert_eq!(begin(store, &one).await, Keyed::UnderWay);
    lose(&bench).await;
    let another = bench.another().await;
    let again = work(&*another, &one).await;
    assert_eq!((&again.act, again.holder == made.holder), (&made.act, false));
    assert_eq!(begin(store, &one).await, Keyed::UnderWay, "it has a lease again");
}

async fn a_relay_that_is_slow_keeps_what_it_is_at_and_writes_nothing_once_another_one_is_at_it(bench: Bench) {
    let store = &*bench.store;
    let one = request("root", "k", "{}");
    let slow = work(store, &one).await;
    lose(&bench).await;
    store.hold_keyed(&slow).await.expect("written");
    assert_eq!(begin(store, &one).await, Keyed::UnderWay, "it is still at work");
    lose(&bench).await;
    let second = work(store, &one).await;
    for late in [answered(204, ""), KeyedEnd::Nothing, KeyedEnd::Unsure] {
        end(store, &slow, &late).await;
        assert_eq!(begin(store, &one).await, Keyed::UnderWay, "{late:?}");
    }
    lose(&bench).await;
    store.hold_keyed(&slow).await.expect("nothing to write");
    let third = work(store, &one).await;
    assert_eq!(third.act, slow.act);
    end(store, &second, &answered(404, "second")).await;
    end(store, &third, &answered(404, "third")).await;
    store.hold_keyed(&third).await.expect("nothing to write");
    assert_eq!(begin(store, &one).await, repeats(404, "third"));

    let other = request("root", "l", "{}");
    let made = work(store, &other).await;
    end(store, &made, &KeyedEnd::Unsure).await;
    store.hold_keyed(&made).await.expect("nothing to write");
    assert_eq!(work(store, &other).await.act, made.act, "whoever has let go of it does not hold it again");
}

async fn what_was_not_done_frees_its_key_and_what_may_have_been_done_does_not(bench: Bench) {
    let store = &*bench.store;
    let (one, other) = (request("root", "k", "{}"), request("root", "k", "{ }"));
    let first = work(store, &one).await;
    end(store, &first, &KeyedEnd::Nothing).await;
    let made = work(store, &other).await;
    assert_ne!(made.act, first.act);
    end(store, &made, &KeyedEnd::Unsure).await;
    assert_eq!(begin(store, &one).await, Keyed::OtherRequest);
    let again = work(store, &other).await;
    assert_eq!(again.act, made.act, "at once, and under the same id");
    // The second try did nothing; the first may have.
    end(store, &again, &KeyedEnd::Nothing).await;
    assert_eq!(begin(store, &one).await, Keyed::OtherRequest);
    let third = work(store, &other).await;
    assert_eq!(third.act, made.act);
    end(store, &third, &answered(200, "done")).await;
    for late in [KeyedEnd::Nothing, KeyedEnd::Unsure] {
        end(store, &third, &late).await;
        assert!(matches!(begin(store, &other).await, Keyed::Answered(_)), "{late:?}");
    }
}

async fn a_key_is_kept_for_a_day_and_the_newest_of_each_who_asks(bench: Bench) {
    let store = &*bench.store;
    let one = request("root", "k", "{}");
    let made = work(store, &one).await;
    end(store, &made, &answered(204, "")).await;
    run(&bench, "UPDATE idempotency_keys SET created_at = created_at - 86340000").await;
    assert!(matches!(begin(store, &one).await, Keyed::Answered(_)), "a minute before the day is over");
    run(&bench, "UPDATE idempotency_keys SET created_at = created_at - 60000").await;
    assert_ne!(work(store, &one).await.act, made.act, "nobody has deleted it so far");
    let expire = async |before_ms| store.expire(Expiring::Keyed { before_ms }, 10).await.expect("deleted");
    assert_eq!(expire(unix_ms() - 60_000).await, 0);
    assert_eq!(expire(unix_ms() + 60_000).await, 1);

    let now_ms = unix_ms();
    let (owner, many) = (&one.owner, KEYED_MAX + 5);
    let fill = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})
        INSERT INTO idempotency_keys (key, owner, request, act, holder, lease_until, created_at)
        SELECT 'k' || CAST(i AS TEXT), '{owner}', 'r', 'a', 'a', 0, {now_ms} - 10000 + i / 2 FROM n"
    );
    run(&bench, &fill).await;
    work(store, &request("another", "k", "{}")).await;
    assert_eq!(keys(&bench).await, i64::from(many) + 1, "what others ask deletes none of these");
    work(store, &one).await;
    assert_eq!(keys(&bench).await, i64::from(KEYED_MAX) + 1);
    assert_eq!(begin(store, &one).await, Keyed::UnderWay, "the oldest went");
}

async fn an_erased_user_is_in_no_answer_that_is_kept(bench: Bench) {
    let store = &*bench.store;
    // No hexadecimal digits spell this name.
    let asked = [
        ("root", "1", r#"{"user_sub":"zoe","reason":"a wrong price"}"#),
        ("root", "2", r#"{"user_sub":"bob","reason":"\"zoe\""}"#),
        ("root", "3", r#"{"kind":"sub","subject":"zoe"}"#),
        ("zoe", "4", "{}"),
        ("bob", "5", ""),
    ];
    for (sub, key, body) in asked {
        let work = work(store, &request(sub, key, body)).await;
        end(store, &work, &answered(200, body)).await;
    }
    let late = request("root", "6", r#"{"subject":"zoe"}"#);
    let on_its_way = work(store, &late).await;
    let names = "SELECT COUNT(*) AS n FROM idempotency_keys WHERE key LIKE '%zoe%' OR owner LIKE '%zoe%'
        OR request LIKE '%zoe%' OR act LIKE '%zoe%' OR holder LIKE '%zoe%' OR about LIKE '%zoe%'";
    let mut connection = bench.connect().await;
    let row = sqlx::query(names).fetch_one(&mut connection).await.expect("read");
    assert_eq!(row.try_get::<i64, _>("n").expect("a number"), 0, "only answers have names");
    assert_eq!(store.delete_user("zoe", Some("root"), "act").await.expect("erased"), 0);
    for (sub, key, body) in asked {
        let is_kept = matches!(begin(store, &request(sub, key, body)).await, Keyed::Answered(_));
        assert_eq!(is_kept, ["2", "5"].contains(&key), "{body}");
    }
    end(store, &on_its_way, &answered(200, r#"{"subject":"zoe"}"#)).await;
    assert!(matches!(begin(store, &late).await, Keyed::Act(_)), "what is answered later is not kept");
}

async fn who_erases_themselves_is_told_so_once_and_all_else_that_they_asked_is_forgotten(bench: Bench) {
    let store = &*bench.store;
    let (before, erase) = (request("ada", "1", "{}"), request("ada", "2", ""));
    let earlier = work(store, &before).await;
    end(store, &earlier, &answered(200, "{}")).await;
    let erasing = work(store, &erase).await;
    for _ in 0..2 {
        store.delete_user("ada", None, &erasing.act).await.expect("erased");
        assert_eq!(begin(store, &erase).await, Keyed::UnderWay, "whoever sends it again does not make it");
    }
    end(store, &erasing, &answered(200, r#"{"sessions":0}"#)).await;
    assert_eq!(begin(store, &erase).await, repeats(200, r#"{"sessions":0}"#));
    assert!(matches!(begin(store, &before).await, Keyed::Act(_)));
    // Whoever erases them later forgets this as well.
    store.delete_user("ada", Some("root"), "another act").await.expect("erased");
    assert!(matches!(begin(store, &erase).await, Keyed::Act(_)));
}
