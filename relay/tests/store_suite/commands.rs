//! What administrators have agents told: given at any relay, taken once.

use std::collections::BTreeSet;

use relay::call::{CommandKind, NotTold};
use relay::records::store::{
    COMMANDS_MAX, CommandOutcome, EndRequest, Expiring, Given, HAS_COMMANDS, NewCommand, Quality, Quota,
    Store, TakeOver, unix_ms,
};

use super::{Bench, LEASE, RELAY, on_both_databases, open, quota, session};

on_both_databases! {
    a_command_is_taken_once_by_the_relay_that_has_the_session_and_its_outcome_is_told
    of_two_relays_that_want_the_same_commands_each_command_has_one
    what_a_relay_has_taken_and_says_nothing_of_is_unknown_and_given_to_nobody
    what_waits_goes_to_the_next_relay_of_the_session_and_to_none_once_that_has_ended
    no_more_than_eight_wait_for_a_session
    a_command_that_is_there_is_not_given_again
    only_a_relay_for_whose_sessions_commands_wait_has_to_look_for_them
    commands_are_deleted_with_their_session_and_after_a_while_and_their_words_when_they_are_taken
}

const SAY: CommandKind = CommandKind::Say { interrupt: false };

fn new(kind: CommandKind, text: &str) -> NewCommand {
    NewCommand { id: uuid::Uuid::now_v7().to_string(), kind, text: text.into(), by: "root".into() }
}

/// Gives a command, and says its id.
async fn give(store: &dyn Store, session: &str, kind: CommandKind, text: &str) -> String {
    match store.give_command(session, &new(kind, text)).await.expect("written") {
        Given::Waits(id) => id,
        refused => panic!("{refused:?}"),
    }
}

/// What a relay takes: words and what is to be done with them.
async fn claim(store: &dyn Store, relay: &str, epoch: u32) -> Vec<(CommandKind, String)> {
    let taken = store.claim_commands("a", relay, epoch).await.expect("taken");
    taken.into_iter().map(|command| (command.kind, command.text)).collect()
}

async fn outcome(store: &dyn Store, id: &str) -> CommandOutcome {
    store.command("a", id).await.expect("read").expect("it is known")
}

fn refused(why: NotTold) -> CommandOutcome {
    CommandOutcome::Refused(why.name().into())
}

fn take_over(epoch: u32, relay: &str) -> TakeOver {
    TakeOver { epoch, resume_hash: [8; 32], previous: [7; 32], relay: relay.into(), lease: LEASE }
}

async fn run(bench: &Bench, sql: &'static str) {
    let mut connection = bench.connect().await;
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("written");
}

async fn a_command_is_taken_once_by_the_relay_that_has_the_session_and_its_outcome_is_told(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let at_once = CommandKind::Say { interrupt: true };
    let first = give(store, "a", at_once, "Fire!\0").await;
    let second = give(store, "a", CommandKind::Context, "They have called before.").await;
    assert_eq!(outcome(store, &first).await, CommandOutcome::Waiting);
    assert_eq!(claim(store, "another", 0).await, [], "it has not got the session");
    assert_eq!(claim(store, RELAY, 1).await, [], "nor this one in another epoch");
    let both = [
        (at_once, "Fire!\u{fffd}".to_owned()),
        (CommandKind::Context, "They have called before.".to_owned()),
    ];
    assert_eq!(claim(store, RELAY, 0).await, both, "in the order in which they were given");
    assert_eq!(claim(store, RELAY, 0).await, []);
    let another = bench.another().await;
    assert_eq!(outcome(&*another, &first).await, CommandOutcome::Waiting, "the relay has not said yet");
    store.finish_command(&first, Ok(())).await.expect("written");
    store.finish_command(&second, Err(NotTold::AgentCannot)).await.expect("written");
    // What is said stays.
    store.finish_command(&first, Err(NotTold::QueueFull)).await.expect("nothing to do");
    assert_eq!(outcome(&*another, &first).await, CommandOutcome::Done);
    assert_eq!(outcome(&*another, &second).await, refused(NotTold::AgentCannot));
    assert_eq!(store.command("b", &first).await.expect("read"), None, "it is another session's");
    assert_eq!(store.command("a", "nobody").await.expect("read"), None);
    let audit = store.list_audit(&Default::default(), None, 10).await.expect("read").rows;
    let told: Vec<_> = audit
        .iter()
        .rev()
        .map(|deed| (deed.by.as_str(), deed.what.as_str(), deed.user_sub.as_deref(), deed.subject.as_str()))
        .collect();
    assert_eq!(told, [("root", "say", Some("ada"), "a"), ("root", "add_context", Some("ada"), "a")]);
    assert!(audit.iter().all(|deed| deed.reason.is_empty()), "words that were said are not kept there");
}

async fn of_two_relays_that_want_the_same_commands_each_command_has_one(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let mut given = BTreeSet::new();
    for n in 0..COMMANDS_MAX {
        given.insert(give(store, "a", SAY, &n.to_string()).await);
    }
    let mut tries = Vec::new();
    for n in 0..8_u32 {
        let store = if n.is_multiple_of(2) { bench.store.clone() } else { bench.another().await };
        tries.push(tokio::spawn(async move { store.claim_commands("a", RELAY, 0).await }));
    }
    let mut taken = Vec::new();
    for one in tries {
        taken.extend(one.await.expect("no panic").expect("taken").into_iter().map(|command| command.id));
    }
    assert_eq!(taken.len(), given.len(), "none is there twice");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), given);
}

async fn what_a_relay_has_taken_and_says_nothing_of_is_unknown_and_given_to_nobody(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let id = give(store, "a", SAY, "We close soon.").await;
    assert_eq!(claim(store, RELAY, 0).await.len(), 1);
    // The relay is killed, and another one goes on with the call.
    store.take_over("a", &take_over(0, "relay-2")).await.expect("written").expect("live");
    assert_eq!(claim(store, "relay-2", 1).await, [], "said twice is worse than not said");
    assert_eq!(outcome(store, &id).await, CommandOutcome::Waiting, "it may still say");
    run(&bench, "UPDATE commands SET taken_at = taken_at - 10001").await;
    assert_eq!(outcome(store, &id).await, CommandOutcome::Unknown);
    // One that was only slow says so late.
    store.finish_command(&id, Ok(())).await.expect("written");
    assert_eq!(outcome(store, &id).await, CommandOutcome::Done);
}

async fn what_waits_goes_to_the_next_relay_of_the_session_and_to_none_once_that_has_ended(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let first = give(store, "a", SAY, "We close soon.").await;
    store.take_over("a", &take_over(0, "relay-2")).await.expect("written").expect("live");
    assert_eq!(claim(store, RELAY, 0).await, [], "it has lost the session");
    assert_eq!(claim(store, "relay-2", 1).await, [(SAY, "We close soon.".to_owned())]);
    store.finish_command(&first, Ok(())).await.expect("written");

    let second = give(store, "a", SAY, "We are closed.").await;
    store.end_session("a", 1, "normal", Quality::default(), unix_ms()).await.expect("ended");
    assert_eq!(outcome(store, &second).await, refused(NotTold::CallEnded));
    assert_eq!(claim(store, "relay-2", 1).await, []);
    assert_eq!(outcome(store, &first).await, CommandOutcome::Done);
    assert_eq!(store.give_command("a", &new(SAY, "Hello?")).await.expect("answered"), Given::Ended);
    assert_eq!(store.give_command("nobody", &new(SAY, "Hello?")).await.expect("answered"), Given::NoSession);
    let audit = store.list_audit(&Default::default(), None, 10).await.expect("read").rows;
    assert_eq!(audit.len(), 2, "what is refused at once is no deed");
}

async fn no_more_than_eight_wait_for_a_session(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    let mut tries = Vec::new();
    for n in 0..2 * COMMANDS_MAX {
        let store = if n.is_multiple_of(2) { bench.store.clone() } else { bench.another().await };
        tries.push(tokio::spawn(async move { store.give_command("a", &new(SAY, "la")).await }));
    }
    let mut waiting = 0;
    for one in tries {
        match one.await.expect("no panic").expect("answered") {
            Given::Waits(_) => waiting += 1,
            Given::Full => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waiting, COMMANDS_MAX);
    give(store, "b", SAY, "la").await;
    assert_eq!(claim(store, RELAY, 0).await.len(), COMMANDS_MAX as usize);
    give(store, "a", SAY, "There is room again.").await;
}

async fn a_command_that_is_there_is_not_given_again(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let command = new(SAY, "one");
    let given = Given::Waits(command.id.clone());
    for _ in 0..2 {
        assert_eq!(store.give_command("a", &command).await.expect("written"), given);
    }
    assert_eq!(claim(store, RELAY, 0).await.len(), 1);
    assert_eq!(store.give_command("a", &command).await.expect("read"), given, "it was taken");
    assert_eq!(claim(store, RELAY, 0).await.len(), 0);
    store.end_session("a", 0, "normal", Quality::default(), unix_ms()).await.expect("ended");
    assert_eq!(store.give_command("a", &command).await.expect("read"), given, "and its session has ended");
    assert_eq!(store.give_command("a", &new(SAY, "two")).await.expect("read"), Given::Ended);
}

async fn only_a_relay_for_whose_sessions_commands_wait_has_to_look_for_them(bench: Bench) {
    let store = &*bench.store;
    for (id, relay) in [("a", RELAY), ("b", RELAY), ("c", "relay-2")] {
        open(store, &session(id), &Quota { relay: relay.into(), ..quota() }).await;
    }
    assert_eq!(store.ends_requested(RELAY).await.expect("read"), []);
    give(store, "a", SAY, "one").await;
    give(store, "a", SAY, "two").await;
    let wanted = EndRequest { id: "a".into(), reason: HAS_COMMANDS.into() };
    assert_eq!(store.ends_requested(RELAY).await.expect("read"), [wanted], "once, however many wait");
    assert_eq!(store.ends_requested("relay-2").await.expect("read"), []);
    claim(store, RELAY, 0).await;
    assert_eq!(store.ends_requested(RELAY).await.expect("read"), [], "they are taken");
    give(store, "b", SAY, "three").await;
    store.end_session("b", 0, "normal", Quality::default(), unix_ms()).await.expect("ended");
    assert_eq!(store.ends_requested(RELAY).await.expect("read"), [], "it goes on nowhere");
}

async fn commands_are_deleted_with_their_session_and_after_a_while_and_their_words_when_they_are_taken(
    bench: Bench,
) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    let id = give(store, "a", SAY, "My sister is called Philomena.").await;
    claim(store, RELAY, 0).await;
    let mut connection = bench.connect().await;
    let words: String =
        sqlx::query_scalar("SELECT text FROM commands").fetch_one(&mut connection).await.expect("read");
    assert_eq!(words, "");
    give(store, "b", SAY, "one").await;
    let expire = async |before_ms| store.expire(Expiring::Commands { before_ms }, 10).await.expect("deleted");
    assert_eq!(expire(unix_ms() - 60_000).await, 0);
    assert!(store.delete_session("a", None).await.expect("erased"));
    assert_eq!(store.command("a", &id).await.expect("read"), None);
    assert_eq!(expire(unix_ms() + 60_000).await, 1, "the other session's");
}
