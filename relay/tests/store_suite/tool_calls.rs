//! Calls of tools, for whoever takes a session over.

use relay::agent::tool::{Called, Runs, StoredCall, ToolNote, ToolOutput};
use relay::records::store::{Quality, Store, StoreError, TakeOver, unix_ms};

use super::{Bench, on_both_databases, open, quota, session};

on_both_databases! {
    a_call_and_what_came_of_it_are_stored_once
    a_relay_that_has_lost_the_session_stores_no_call
    with_the_end_of_their_session_calls_are_forgotten
}

fn called(call_id: &str, runs: Runs) -> Called {
    Called {
        call_id: call_id.to_owned(),
        model_id: "m".to_owned(),
        name: "tables".to_owned(),
        arguments: "{\"at\":\"20:00\"}".to_owned(),
        runs,
    }
}

fn call(call_id: &str, runs: Runs, turn: u32) -> ToolNote {
    ToolNote::Called { called: called(call_id, runs), turn }
}

fn output(call_id: &str, output: &str, is_error: bool) -> ToolNote {
    let output = ToolOutput { output: output.to_owned(), is_error };
    ToolNote::Output { call_id: call_id.to_owned(), output }
}

async fn note(store: &dyn Store, epoch: u32, note: ToolNote) -> Result<(), StoreError> {
    store.note_tool("a", epoch, &note).await
}

async fn a_call_and_what_came_of_it_are_stored_once(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    assert_eq!(store.tool_calls("a").await.expect("read"), []);
    for _ in 0..2 {
        note(store, 0, call("c_9", Runs::Page, 3)).await.expect("written");
        note(store, 0, call("c_10", Runs::Webhook, 4)).await.expect("written");
    }
    // Another number changes nothing of what is there.
    note(store, 0, call("c_9", Runs::Page, 7)).await.expect("written");
    note(store, 0, output("c_10", "no\0ne", true)).await.expect("written");
    note(store, 0, output("c_10", "another", false)).await.expect("written");
    let stored = [
        StoredCall { called: called("c_9", Runs::Page), turn: 3, output: None },
        StoredCall {
            called: called("c_10", Runs::Webhook),
            turn: 4,
            output: Some(ToolOutput { output: "no\u{fffd}ne".into(), is_error: true }),
        },
    ];
    assert_eq!(store.tool_calls("a").await.expect("read"), stored);
    assert_eq!(bench.another().await.tool_calls("a").await.expect("read"), stored);
    assert_eq!(store.tool_calls("b").await.expect("read"), []);
    let nobody = note(store, 0, output("c_11", "none", false)).await;
    assert!(matches!(nobody, Err(StoreError::NoSession { .. })), "{nobody:?}");
}

async fn a_relay_that_has_lost_the_session_stores_no_call(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    note(store, 0, call("c_1", Runs::Page, 0)).await.expect("written");
    let by = TakeOver {
        epoch: 0,
        resume_hash: [1; 32],
        previous: [0; 32],
        relay: "relay-2".into(),
        lease: std::time::Duration::from_secs(60),
    };
    store.take_over("a", &by).await.expect("written").expect("live");
    for late in [call("c_2", Runs::Page, 0), output("c_1", "late", false)] {
        assert!(note(store, 0, late).await.is_err());
    }
    note(store, 1, output("c_1", "4", false)).await.expect("written");
    let stored = store.tool_calls("a").await.expect("read");
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].output, Some(ToolOutput { output: "4".into(), is_error: false }));
}

async fn with_the_end_of_their_session_calls_are_forgotten(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    note(store, 0, call("c_1", Runs::Page, 0)).await.expect("written");
    store.end_session("a", 0, "normal", Quality::default(), unix_ms()).await.expect("ended");
    assert_eq!(store.tool_calls("a").await.expect("read"), []);
    assert!(note(store, 0, call("c_2", Runs::Page, 0)).await.is_err());
}
