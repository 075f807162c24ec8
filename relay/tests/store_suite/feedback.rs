//! What users think of their sessions.

use relay::records::store::{Expiring, Feedback, NewSession, Quality, Store, unix_ms};

use super::{Bench, on_both_databases, open, quota, session};

on_both_databases! {
    a_later_opinion_takes_the_place_of_an_earlier_one_before_and_after_the_end
    nobody_says_what_another_user_thinks
    comments_expire_with_the_transcripts_and_ratings_stay
}

fn feedback(rating: u32, comment: &str) -> Feedback {
    Feedback { rating: Some(rating), comment: Some(comment.to_owned()) }
}

async fn stored(store: &dyn Store, id: &str) -> Feedback {
    store.session(id).await.expect("read").expect("it is there").feedback
}

async fn a_later_opinion_takes_the_place_of_an_earlier_one_before_and_after_the_end(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    assert_eq!(stored(store, "a").await, Feedback::default());
    assert!(store.give_feedback("a", "ada", &feedback(2, "slow")).await.expect("written"));
    assert_eq!(stored(store, "a").await, feedback(2, "slow"));
    store.end_session("a", 0, "normal", Quality::default(), unix_ms()).await.expect("ended");
    let later = Feedback { rating: Some(5), comment: None };
    for _ in 0..2 {
        assert!(store.give_feedback("a", "ada", &later).await.expect("written"));
        assert_eq!(stored(store, "a").await, later);
    }
    assert!(store.delete_session("a", None).await.expect("erased"));
    assert!(!store.give_feedback("a", "ada", &later).await.expect("answered"));
}

async fn nobody_says_what_another_user_thinks(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    assert!(!store.give_feedback("a", "bob", &feedback(1, "mine")).await.expect("answered"));
    assert!(!store.give_feedback("b", "ada", &feedback(1, "none")).await.expect("answered"));
    assert_eq!(stored(store, "a").await, Feedback::default());
}

async fn comments_expire_with_the_transcripts_and_ratings_stay(bench: Bench) {
    let store = &*bench.store;
    let now_ms = unix_ms();
    for (id, started_at_ms) in [("old", now_ms - 10_000), ("older", now_ms - 20_000), ("young", now_ms)] {
        open(store, &NewSession { started_at_ms, ..session(id) }, &quota()).await;
        assert!(store.give_feedback(id, "ada", &feedback(4, "nice")).await.expect("written"));
    }
    let what = Expiring::Comments { before_ms: now_ms };
    assert_eq!(store.expire(what, 1).await.expect("expired"), 1);
    assert_eq!(stored(store, "old").await, feedback(4, "nice"), "the oldest first");
    assert_eq!(store.expire(what, 10).await.expect("expired"), 1);
    for id in ["old", "older"] {
        assert_eq!(stored(store, id).await, Feedback { rating: Some(4), comment: None });
    }
    assert_eq!(stored(store, "young").await, feedback(4, "nice"));
}
