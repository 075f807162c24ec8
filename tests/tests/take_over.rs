//! Limits that hold when a session changes its relay: two real relays on one database.

use std::fs::File;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use protocol::{ClientMessage, Mark, RelayMessage, Resume};
use relay::records::store::{SqlStore, Store};
use serde_json::json;
use tests::balancer::Balancer;
use tests::caller::Caller;
use tests::postgres::shared;
use tests::{Heard, Raw, Relay, hello, token_but};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

/// A session of a client that may come back.
struct Session {
    id: String,
    resume_token: String,
    epoch: u32,
    committed: Mark,
}

/// What comes of a `hello`.
enum Greeted {
    New(Raw, Session),
    Resumed(Raw, Session),
    Refused(String, u16),
}

async fn greet(relay: &Relay, sub: &str, from: Option<&Session>) -> Greeted {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    let resume = from.map(|session| Resume {
        session_id: session.id.clone(),
        resume_token: session.resume_token.clone(),
        epoch: session.epoch,
        received: 0,
        played: None,
    });
    let mut hello = hello(&token_but(&json!({ "sub": sub })), resume);
    hello.start = from.map_or_else(Mark::default, |session| session.committed);
    raw.say(&ClientMessage::from(hello).to_json()).await;
    let mut why = String::new();
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(welcome)) => {
                let (epoch, committed) = (welcome.epoch, Mark::default());
                let session =
                    Session { id: welcome.session_id, resume_token: welcome.resume_token, epoch, committed };
                return Greeted::New(raw, session);
            }
            Heard::Said(RelayMessage::Resumed(resumed)) => {
                assert_eq!(from.map(|session| &session.id), Some(&resumed.session_id));
                let session = Session {
                    id: resumed.session_id,
                    resume_token: resumed.resume_token,
                    epoch: resumed.epoch,
                    committed: resumed.committed,
                };
                return Greeted::Resumed(raw, session);
            }
            Heard::Said(RelayMessage::ErrorMessage(error)) => why = error.code,
            Heard::Closed(code) => return Greeted::Refused(why, code),
            _ => {}
        }
    }
}

async fn new(relay: &Relay, sub: &str) -> (Raw, Session) {
    match greet(relay, sub, None).await {
        Greeted::New(raw, session) => (raw, session),
        Greeted::Refused(why, code) => panic!("{why} {code}"),
        Greeted::Resumed(..) => panic!("it asked for nothing"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_old_and_two_new_sessions_are_never_there_at_once() {
    let database = shared().database().await;
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let limits = "sessions_per_user = 2\n";
    let limits = format!("[limits]\n{limits}");
    let relays = [
        Relay::start_on(&database, here.path(), &limits).await,
        Relay::start_on(&database, there.path(), &limits).await,
    ];
    let old = [new(&relays[0], "ada").await, new(&relays[0], "ada").await];
    let [first, second] = relays;
    first.terminate().await;

    // One of them comes back; the other one's place is given to a new call, and that is all there is.
    let [(_, one), (_, other)] = old;
    let Greeted::Resumed(_one, _) = greet(&second, "ada", Some(&one)).await else {
        panic!("it is taken over")
    };
    let (_new, _) = new(&second, "ada").await;
    for _ in 0..2 {
        match greet(&second, "ada", None).await {
            Greeted::Refused(why, 4429) => assert_eq!(why, "session_limit"),
            _ => panic!("a third call"),
        }
    }
    match greet(&second, "ada", Some(&other)).await {
        Greeted::Refused(why, 4429) => {
            assert_eq!(why, "session_limit", "its place is gone, and there is no other");
        }
        _ => panic!("a third call"),
    }
    second.terminate().await;
}

/// As many calls as a killed relay may leave at once in this test.
const CALLS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "how long it took is for whoever looks")]
async fn a_hundred_calls_of_a_killed_relay_go_on_at_another_one_that_does_not_wait_for_it() {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let log = folders[1].path().join("log");
    let kept = File::create(&log).expect("the folder is ours");
    let first = Relay::start_on(&database, folders[0].path(), "").await;
    let second = Relay::start_on_logging(&database, folders[1].path(), "", kept.into()).await;
    let balancer = Balancer::before(vec![first.address, second.address]).await;
    let mut callers: Vec<Caller> =
        (0..CALLS).map(|n| Caller::call(&balancer.url(), &format!("caller {n}"))).collect();
    join_all(callers.iter_mut().map(Caller::connected)).await;
    join_all(callers.iter().map(Caller::speak)).await;
    sleep(Duration::from_secs(4)).await;

    first.kill().await;
    let killed = Instant::now();
    join_all(callers.iter_mut().map(Caller::lost)).await;
    let back = join_all(callers.iter_mut().map(async |caller| {
        caller.connected().await;
        killed.elapsed()
    }));
    let mut back = back.await;
    back.sort();
    println!(
        "{CALLS} calls were back after {:?} (median), {:?} (the last one)",
        back[CALLS / 2],
        back[CALLS - 1]
    );
    sleep(Duration::from_secs(3)).await;
    join_all(callers.iter().map(Caller::hang_up)).await;
    let calls = join_all(callers.into_iter().map(Caller::end)).await;

    let store = SqlStore::postgres(&database).await.expect("opened");
    for call in &calls {
        call.check_paid_once(&store).await;
    }
    second.terminate().await;
    let log = std::fs::read_to_string(log).expect("it was written");
    let taken = log.matches("session taken over from the store").count();
    assert_eq!((taken, log.matches("does not let go").count()), (CALLS, 0), "{log}");
}

/// Sends a frame that is none. The error that comes, or the close.
async fn misbehave(raw: &mut Raw) -> Result<String, u16> {
    raw.send(Message::binary(vec![1])).await;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::ErrorMessage(error)) => return Ok(error.code),
            Heard::Closed(code) => return Err(code),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_were_refused_count_on_every_relay_that_has_the_session() {
    let database = shared().database().await;
    let store = SqlStore::postgres(&database).await.expect("opened");
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let first = Relay::start_on(&database, folders[0].path(), "").await;
    let second = Relay::start_on(&database, folders[1].path(), "").await;
    let (mut raw, session) = new(&first, "ada").await;
    for _ in 0..6 {
        assert_eq!(misbehave(&mut raw).await.as_deref(), Ok("chunk_too_small"));
    }
    // Handed over by a relay that is there, and once more by one that is killed.
    let Greeted::Resumed(mut raw, session) = greet(&second, "ada", Some(&session)).await else {
        panic!("it is taken over")
    };
    for _ in 0..3 {
        assert_eq!(misbehave(&mut raw).await.as_deref(), Ok("chunk_too_small"));
    }
    while store.session(&session.id).await.expect("read").expect("stored").strikes < 9 {
        sleep(Duration::from_millis(20)).await;
    }
    second.kill().await;
    let Greeted::Resumed(mut raw, _) = greet(&first, "ada", Some(&session)).await else {
        panic!("it is taken over again")
    };
    assert_eq!(misbehave(&mut raw).await.as_deref(), Ok("chunk_too_small"));
    assert_eq!(misbehave(&mut raw).await, Ok("chunk_too_small".into()), "it says why");
    assert_eq!(raw.end().await.1, 4400, "the eleventh, wherever the ten were");
    first.terminate().await;
}
