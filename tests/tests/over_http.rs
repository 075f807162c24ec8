//! The same call over plain HTTP requests, for networks that let no WebSocket through: it is let in like a WebSocket, carries a call as one
//! does, and whatever is wrong with a request has the answer that the protocol names.

use std::time::Duration;

use protocol::{AudioHeader, Bye, ClientMessage, Codec, Hello, Mark, Ping, RelayMessage, Resume};
use serde_json::json;
use tests::http::get;
use tests::over_http::{Answer, BINARY, CLOSE, OverHttp, TEXT, body, post, wire_id};
use tests::ports::free_address;
use tests::postgres::shared;
use tests::sound::{silence, voice};
use tests::{Heard, Raw, Relay, chunk, hello, token_but};
use tokio::time::{sleep, timeout};

async fn start(folder: &std::path::Path, extra: &str) -> Relay {
    Relay::start(folder, "127.0.0.1:0", extra).await
}

/// Chunks of this sound, as frames from `seq` on.
fn frames(seq: u32, sound: &[i16]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (number, sound) in (seq..).zip(sound.chunks(1_600)) {
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le16000, number, number * 1_600, &mut frame);
        frame.extend(sound.iter().flat_map(|sample| sample.to_le_bytes()));
        frames.push(frame);
    }
    frames
}

/// A resume of this session.
fn resume(session_id: &str, resume_token: &str, epoch: u32) -> Hello {
    let resume = Resume {
        session_id: session_id.into(),
        resume_token: resume_token.into(),
        epoch,
        received: 0,
        played: None,
    };
    hello(&token_but(&json!({})), Some(resume))
}

fn problem(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.code.as_deref())
}

#[tokio::test]
async fn a_call_is_made_and_what_is_said_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let (mut wire, welcome) = OverHttp::welcomed(&relay, "ada").await;
    let sound = [voice(1.0), silence(1.5)].concat();
    let frames = frames(0, &sound);
    // Three in a request, as a client does whose requests take a while.
    for three in frames.chunks(3) {
        let messages: Vec<(u8, &[u8])> = three.iter().map(|frame| (BINARY, frame.as_slice())).collect();
        assert_eq!(wire.bring(&messages).await.status, 204);
    }
    let (mut audio, mut received, mut is_whole) = (0, 0, false);
    while !is_whole || received < frames.len() as u32 {
        match wire.next().await {
            Heard::Audio(bytes) => audio += bytes,
            Heard::Said(RelayMessage::RelayAck(ack)) => received = ack.received.seq,
            Heard::Said(RelayMessage::ReplyEnd(_)) => is_whole = true,
            Heard::Said(_) => {}
            heard => panic!("{heard:?}"),
        }
    }
    assert!(audio > 16_000, "the echo of a second of speech, but {audio} bytes came");
    assert_eq!(wire.say(&ClientMessage::from(Bye { end: frames.len() as u32 })).await, 204);
    let mut ended = None;
    let code = loop {
        match wire.next().await {
            Heard::Said(RelayMessage::Ended(message)) => ended = Some(message),
            Heard::Closed(code) => break code,
            _ => {}
        }
    };
    let ended = ended.expect("the relay says what was used");
    assert_eq!((code, ended.usage.audio_ms), (1000, 2_500), "of session {}", welcome.session_id);
    let late = wire.say(&ClientMessage::from(Ping { id: 1, rtt_us: 0 })).await;
    assert_eq!(late, 409, "the wire is over");
}

#[tokio::test]
async fn an_operator_sees_how_many_connections_go_over_http_and_what_becomes_of_clients_that_come_back() {
    let metrics = free_address();
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), &format!("[metrics]\nlisten = \"{metrics}\"\n")).await;
    for user in ["ada", "grace"] {
        drop(OverHttp::welcomed(&relay, user).await);
    }
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(&token_but(&json!({})), None)).to_json()).await;
    let Heard::Said(RelayMessage::Welcome(welcome)) = raw.next().await else { panic!("no session") };
    drop(raw);
    for (session, is_known) in [(welcome.session_id.as_str(), true), ("of-nobody", false)] {
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        raw.say(&ClientMessage::from(resume(session, &welcome.resume_token, 0)).to_json()).await;
        let is_good = match raw.next().await {
            Heard::Said(RelayMessage::Resumed(_)) => is_known,
            Heard::Said(RelayMessage::ResumeFailed(_)) => !is_known,
            _ => false,
        };
        assert!(is_good, "{session}");
    }
    // Nobody has said who this is, and a preflight is no call.
    let _silent = OverHttp::open(&relay, &wire_id(), "").await.expect("let in");
    let mut preflight = Raw::preflight(&relay, &[]).await.expect("connects");
    preflight.say(&ClientMessage::from(hello(&token_but(&json!({})), None)).to_json()).await;
    preflight.say(&ClientMessage::from(Ping { id: 1, rtt_us: 0 }).to_json()).await;
    assert!(matches!(preflight.next().await, Heard::Said(RelayMessage::Pong(_))));
    let answer = get(metrics, "/metrics").await;
    for (series, count) in [
        ("connections_total{transport=\"http\"}", 2),
        ("connections_total{transport=\"websocket\"}", 3),
        ("resumes_total{outcome=\"here\"}", 1),
        ("resumes_total{outcome=\"began_anew\"}", 1),
        ("resumes_total{outcome=\"taken_over\"}", 0),
        ("resumes_total{outcome=\"refused\"}", 0),
    ] {
        let line = format!("voxrelay_{series} {count}");
        assert!(answer.lines().any(|found| found == line), "no {line} in {answer}");
    }
}

#[tokio::test]
async fn a_call_goes_on_over_another_wire_or_a_websocket_when_its_stream_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let (mut wire, welcome) = OverHttp::welcomed(&relay, "ada").await;
    assert_eq!(wire.bring(&[(BINARY, &chunk(0)), (BINARY, &chunk(1))]).await.status, 204);
    drop(wire);
    let mut wire = OverHttp::open(&relay, &wire_id(), "").await.expect("let in");
    let hello = resume(&welcome.session_id, &welcome.resume_token, 0);
    assert_eq!(wire.say(&ClientMessage::from(hello)).await, 204);
    let resumed = loop {
        match wire.next().await {
            Heard::Said(RelayMessage::Resumed(resumed)) => break resumed,
            Heard::Said(_) => {}
            heard => panic!("{heard:?}"),
        }
    };
    assert_eq!(resumed.received, Mark { seq: 2, position: 3_200 }, "nothing of what was brought is lost");
    // The wire is still open, as far as the relay knows, and a WebSocket takes its place.
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    let hello = resume(&welcome.session_id, &resumed.resume_token, 0);
    raw.say(&ClientMessage::from(hello).to_json()).await;
    assert_eq!(wire.end().await.1, 4409);
    assert!(matches!(raw.next().await, Heard::Said(RelayMessage::Resumed(_))));
}

#[tokio::test]
async fn a_request_is_taken_once_and_one_that_is_missing_ends_the_wire() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let (mut wire, _) = OverHttp::welcomed(&relay, "ada").await;
    let first = body(1, &[(BINARY, &chunk(0))]);
    assert_eq!(wire.post(&first).await.status, 204);
    assert_eq!(wire.post(&first).await.status, 204, "its answer was lost, as far as the client knows");
    let ping = ClientMessage::from(Ping { id: 7, rtt_us: 0 }).to_json();
    for number in [2, 2, 2] {
        assert_eq!(wire.post(&body(number, &[(TEXT, ping.as_bytes())])).await.status, 204);
    }
    assert_eq!(wire.post(&body(4, &[(BINARY, &chunk(1))])).await.code.as_deref(), Some("wire_unknown"));
    let (mut pongs, mut received) = (0, 0);
    loop {
        match wire.next().await {
            Heard::Said(RelayMessage::Pong(_)) => pongs += 1,
            Heard::Said(RelayMessage::RelayAck(ack)) => received = ack.received.seq,
            Heard::Closed(code) => {
                assert_eq!(code, 1006, "without a code, as of a connection that broke");
                break;
            }
            _ => {}
        }
    }
    assert_eq!(pongs, 1);
    assert!(received <= 1, "a chunk that came twice counts once");
}

#[tokio::test]
async fn what_breaks_the_rules_of_the_transport_is_closed_as_a_websocket_would_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let most = 200_000 + 1_000;
    let cases: [(&str, Vec<u8>, u16, u16); 6] = [
        ("no number", vec![1, 0], 400, 4400),
        ("a message that is cut off", body(1, &[(TEXT, b"{}")])[..10].to_vec(), 400, 4400),
        ("a kind that there is not", body(1, &[(9, b"{}")]), 400, 4400),
        ("text that is none", body(1, &[(TEXT, b"\xFF")]), 204, 1007),
        ("a type that there is not", body(1, &[(TEXT, br#"{"type":"nonsense"}"#)]), 204, 4400),
        ("a body beyond the largest message", body(1, &[(BINARY, &vec![0; most])]), 413, 1009),
    ];
    for (what, bytes, status, code) in cases {
        let (mut wire, _) = OverHttp::welcomed(&relay, "ada").await;
        let answer = wire.post(&bytes).await;
        assert_eq!((answer.status, wire.end().await.1), (status, code), "{what}");
    }
    let (mut wire, _) = OverHttp::welcomed(&relay, "ada").await;
    let messages: [(u8, &[u8]); 3] = [(BINARY, &chunk(0)), (CLOSE, b""), (TEXT, b"nonsense")];
    assert_eq!(wire.bring(&messages).await.status, 204);
    assert_eq!(wire.end().await.1, 1006, "the client has closed it, and nobody answers");
}

#[tokio::test]
async fn a_greeting_is_checked_as_over_a_websocket() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let mut wire = OverHttp::open(&relay, &wire_id(), "").await.expect("let in");
    assert_eq!(wire.say(&ClientMessage::from(hello("no token", None))).await, 204);
    assert_eq!(wire.end().await, (vec!["unauthorized".to_owned()], 4401));
    let mut silent = OverHttp::open(&relay, &wire_id(), "").await.expect("let in");
    assert_eq!(silent.end().await.1, 4401, "it says nothing for 5 s");
    let mut flooded = OverHttp::open(&relay, &wire_id(), "").await.expect("let in");
    assert_eq!(flooded.bring(&[(TEXT, &[b' '; 10_000])]).await.status, 204);
    assert_eq!(flooded.end().await.1, 4401, "8 KiB are enough for strangers");
}

#[tokio::test]
async fn a_wire_that_is_not_here_is_a_conflict_and_asking_for_an_open_stream_again_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let answer = post(relay.address, &wire_id(), &body(0, &[])).await;
    assert_eq!(problem(&answer), (409, Some("wire_unknown")));
    assert!(answer.head.contains("access-control-allow-origin: *"), "pages may know: {}", answer.head);
    assert_eq!(problem(&post(relay.address, "guess", &body(0, &[])).await), (400, Some("bad_path")));

    let id = wire_id();
    let mut wire = OverHttp::open(&relay, &id, "").await.expect("let in");
    let hello = ClientMessage::from(hello(&token_but(&json!({})), None));
    assert_eq!(wire.say(&hello).await, 204);
    assert!(matches!(wire.next().await, Heard::Said(RelayMessage::Welcome(_))));
    let again = OverHttp::open(&relay, &id, "").await.expect_err("it is open");
    assert_eq!(problem(&again), (409, Some("wire_unknown")));
    assert_eq!(wire.end().await.1, 1006);
}

#[tokio::test]
async fn it_is_let_in_by_the_same_checks_as_a_websocket() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "origins = [\"https://app.example.com\"]\ndata_dir = {:?}\n[auth]\nhs256_secret = {:?}\nissuer = {:?}\n\
         audience = {:?}\n[network]\nmax_connections = 2\npre_login_connections_per_address = 2\n",
        folder.path().join("data"),
        tests::SECRET,
        tests::ISSUER,
        tests::AUDIENCE
    );
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let open = async |lines: &str| OverHttp::open(&relay, &wire_id(), lines).await;
    for lines in ["origin: https://evil.example\r\n", "origin: null\r\n"] {
        let refused = open(lines).await.expect_err(lines);
        assert_eq!(problem(&refused), (403, Some("origin_refused")));
    }
    let mut first = open("origin: https://app.example.com\r\n").await.expect("its pages may call");
    let _second = open("").await.expect("there are two places");
    let refused = open("").await.expect_err("two wait to be greeted");
    assert_eq!(problem(&refused), (429, Some("address_connections")));
    assert!(refused.head.contains("retry-after:"), "{}", refused.head);
    assert_eq!(first.say(&ClientMessage::from(hello(&token_but(&json!({})), None))).await, 204);
    assert!(matches!(first.next().await, Heard::Said(RelayMessage::Welcome(_))));
    let refused = open("").await.expect_err("both places are taken");
    assert_eq!(problem(&refused), (503, Some("relay_full")));
    drop(first);
    let mut is_free = false;
    for _ in 0..300 {
        is_free = open("").await.is_ok();
        if is_free {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(is_free, "the place of a wire whose stream is gone is free");
}

#[tokio::test]
async fn whoever_does_not_read_the_stream_is_dropped_and_can_resume() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let (mut wire, welcome) = OverHttp::welcomed(&relay, "ada").await;
    // Half a minute of speech comes back, which is more than all buffers on the way hold, and nobody reads it.
    let sound = [voice(20.0), silence(1.5)].concat();
    for frame in frames(0, &sound) {
        if wire.bring(&[(BINARY, &frame)]).await.status != 204 {
            break;
        }
    }
    let is_over = async {
        let mut id = 0;
        while wire.say(&ClientMessage::from(Ping { id, rtt_us: 0 })).await == 204 {
            id += 1;
            sleep(Duration::from_secs(12)).await;
        }
    };
    timeout(Duration::from_secs(60), is_over).await.expect("the relay does not wait for ever");
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(resume(&welcome.session_id, &welcome.resume_token, 0)).to_json()).await;
    assert!(matches!(raw.next().await, Heard::Said(RelayMessage::Resumed(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_to_another_relay_is_a_conflict_and_the_call_is_resumed_there() {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let here = Relay::start_on(&database, folders[0].path(), "").await;
    let there = Relay::start_on(&database, folders[1].path(), "").await;
    let id = wire_id();
    let mut wire = OverHttp::open(&here, &id, "").await.expect("let in");
    assert_eq!(wire.say(&ClientMessage::from(hello(&token_but(&json!({})), None))).await, 204);
    let Heard::Said(RelayMessage::Welcome(welcome)) = wire.next().await else { panic!("no welcome") };
    assert_eq!(wire.bring(&[(BINARY, &chunk(0))]).await.status, 204);
    let answer = post(there.address, &id, &body(2, &[(BINARY, &chunk(1))])).await;
    assert_eq!(problem(&answer), (409, Some("wire_unknown")));
    let mut wire = OverHttp::open(&there, &wire_id(), "").await.expect("let in");
    let hello = resume(&welcome.session_id, &welcome.resume_token, 0);
    assert_eq!(wire.say(&ClientMessage::from(hello)).await, 204);
    let resumed = loop {
        match wire.next().await {
            Heard::Said(RelayMessage::Resumed(resumed)) => break resumed,
            Heard::Said(_) => {}
            heard => panic!("{heard:?}"),
        }
    };
    assert_eq!((resumed.epoch, resumed.received), (1, Mark::default()), "nothing was committed");
}

#[tokio::test]
async fn a_relay_that_stops_tells_its_wires_to_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let (mut wire, _) = OverHttp::welcomed(&relay, "ada").await;
    let stopping = tokio::spawn(relay.terminate());
    assert_eq!(wire.end().await.1, 1001);
    stopping.await.expect("it stops in time");
}
