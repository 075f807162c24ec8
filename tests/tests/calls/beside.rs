//! See the crate's page.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::client::{Event, State};
use protocol::{Bye, ClientMessage, CloseCode, Hello, Mark, RelayMessage, Resume, Role, Welcome};
use relay::client::{Options, Report, run};
use relay::records::store::{SessionFilter, SessionRow, SessionState, SqlStore, Store};
use serde_json::json;
use tests::ports::free_address;
use tests::sound::{silence, voice};
use tests::{AUDIENCE, Heard, ISSUER, Raw, Relay, SECRET, chunk, hello, token, token_but};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

fn options(relay: &str, speech: Vec<i16>) -> Options {
    Options { longest: Duration::from_secs(90), ..Options::new(relay.into(), token(), speech) }
}

async fn stored(folder: &Path, report: &Report) -> (SqlStore, SessionRow) {
    let store = SqlStore::sqlite(&folder.join("data/voxrelay.db")).await.expect("the relay's database");
    let id = report.session_id.as_deref().expect("there was a session");
    let session = store.session(id).await.expect("readable").expect("stored");
    (store, session)
}

/// What one life of the relay recorded, the user and the agent, once it is in its place.
async fn recorded(folder: &Path, session: &SessionRow, epoch: u32) -> (Vec<i16>, Vec<i16>) {
    let recordings = session.recording.as_deref().expect("the session was recorded");
    let name = if epoch == 0 { format!("{}.wav", session.id) } else { format!("{}.{epoch}.wav", session.id) };
    let key = recordings.split(' ').find(|key| key.ends_with(&name)).expect("the row has the key");
    let path = folder.join("rec").join(key);
    let there = timeout(Duration::from_secs(30), async {
        while !path.exists() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    there.await.expect("it comes to its place when the session has left");
    let reader = hound::WavReader::open(path).expect("a recording");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 16_000));
    let samples: Vec<i16> = reader.into_samples().map(|sample| sample.expect("whole")).collect();
    samples.chunks_exact(2).map(|frame| (frame[0], frame[1])).unzip()
}

/// Where the loudest likeness of `sound` is in `within`, and how alike they are: 1 is the same.
fn likeness(within: &[i16], sound: &[i16]) -> (usize, f64) {
    let energy = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let alike = |at: usize| {
        let piece = &within[at..at + sound.len()];
        let product: f64 = piece.iter().zip(sound).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        product / (energy(piece) * energy(sound)).sqrt().max(1.0)
    };
    let places = 0..within.len().saturating_sub(sound.len());
    places.map(|at| (at, alike(at))).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}

#[tokio::test]
async fn a_call_is_heard_answered_metered_and_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "[recording]\ndir = \"rec\"\n").await;
    let speech = [silence(0.5), voice(1.5), silence(0.3), voice(1.0)].concat();
    let report = run(options(&relay.url(), speech.clone()), |_| {}).await;
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.reconnects, report.missing()), (0, 0));
    let spoken = &report.turns.iter().find(|turn| turn.role == Role::User).expect("a turn");
    let heard_s = report.heard.len() as f64 / f64::from(relay::client::HEARD_RATE);
    assert!(
        (2.5..3.6).contains(&heard_s),
        "the echo lasts as long as what was said: {heard_s} s, {spoken:?}"
    );

    let (store, session) = stored(folder.path(), &report).await;
    let (received, answered) = recorded(folder.path(), &session, 0).await;
    assert_eq!(received[..speech.len()], speech, "to the sample");
    // A tenth of a second from the middle of the first sentence comes back on the other side, later.
    let said = 16_000..17_600;
    let (at, alike) = likeness(&answered, &speech[said.clone()]);
    assert!(at > said.end && alike > 0.95, "the echo is in the recording: {alike} at {at}");
    assert!(answered[..said.end].iter().all(|sample| *sample == 0), "silent until then");
    assert_eq!((session.state, session.end_reason.as_deref()), (SessionState::Ended, Some("normal")));
    assert_eq!(session.audio_samples, received.len() as u64, "what was received is what is metered");
    // 0.0048 dollars a minute, rounded up to a nano-dollar.
    assert_eq!(session.cost.get(), (session.audio_samples * 4_800_000).div_ceil(960_000));
    assert_eq!(report.usage.cost_nano_usd, session.cost.get(), "the page was told what is stored");
    let usage = store.ledger(&session.id).await.expect("readable");
    assert_eq!(usage.iter().map(|row| row.cost.get()).sum::<u64>(), session.cost.get());
    let turns = store.turns(&session.id).await.expect("readable");
    let roles: Vec<Role> = turns.iter().map(|row| row.turn.role).collect();
    assert_eq!(roles, [Role::User, Role::Agent]);
    assert_eq!(turns[1].turn.heard, Some(turns[1].turn.end), "heard to its end");
}

#[tokio::test]
async fn a_relay_killed_in_mid_sentence_loses_no_word_and_bills_none_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address().to_string();
    let relay = Relay::start(folder.path(), &address, "[recording]\ndir = \"rec\"\n").await;
    let (connected, mut events) = mpsc::channel(1);
    let speech = [silence(1.0), voice(6.0)].concat();
    let length = speech.len();
    let call = tokio::spawn(run(options(&relay.url(), speech.clone()), move |event| {
        if *event == Event::State(State::Connected) {
            let _ = connected.try_send(());
        }
    }));
    events.recv().await.expect("connects");
    sleep(Duration::from_millis(3_500)).await;
    relay.kill().await;
    sleep(Duration::from_millis(500)).await;
    let _relay = Relay::start(folder.path(), &address, "[recording]\ndir = \"rec\"\n").await;
    let report = call.await.expect("does not panic");
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.reconnects, report.missing()), (1, 0));

    // The second life goes on at what was committed in the first, so the whole sentence is in it.
    let (store, session) = stored(folder.path(), &report).await;
    let (second, _) = recorded(folder.path(), &session, 1).await;
    let committed = (0..length).step_by(1_600).find(|start| {
        let rest = &speech[*start..];
        second.len() >= rest.len() && second[..rest.len()] == *rest
    });
    let committed = committed.expect("everything from a chunk's beginning on, to the sample");
    assert!(committed <= 16_000, "the sentence itself was not committed: {committed}");

    // What the first life had written is finished by the second one.
    let (first, _) = recorded(folder.path(), &session, 0).await;
    assert!(!first.is_empty() && speech.starts_with(&first), "{} samples", first.len());
    let on_their_way =
        std::fs::read_dir(folder.path().join("data/recordings-on-their-way")).expect("a folder");
    assert_eq!(on_their_way.count(), 0);

    assert_eq!((session.epoch, session.state), (1, SessionState::Ended));
    let received = (committed + second.len()) as u64;
    let unrecorded = session.audio_samples.abs_diff(received);
    assert_eq!(unrecorded, 0, "metered {} of {received} received", session.audio_samples);
    assert_eq!(session.cost.get(), (session.audio_samples * 4_800_000).div_ceil(960_000));
    let turns = store.turns(&session.id).await.expect("readable");
    let said: Vec<_> = turns.iter().filter(|row| row.turn.role == Role::User).collect();
    assert_eq!(said.len(), 1, "one sentence, one turn: {said:?}");
    assert!(said[0].turn.end - said[0].turn.start >= 90_000, "{said:?}");
}

#[tokio::test]
async fn a_deploy_in_the_middle_of_a_call_is_only_a_reconnect() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address().to_string();
    let relay = Relay::start(folder.path(), &address, "").await;
    let (connected, mut events) = mpsc::channel(1);
    let speech = [silence(0.5), voice(4.0)].concat();
    let call = tokio::spawn(run(options(&relay.url(), speech), move |event| {
        if *event == Event::State(State::Connected) {
            let _ = connected.try_send(());
        }
    }));
    events.recv().await.expect("connects");
    sleep(Duration::from_secs(2)).await;
    relay.terminate().await;
    let _relay = Relay::start(folder.path(), &address, "").await;
    let report = call.await.expect("does not panic");
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.reconnects, report.missing()), (1, 0));
    let (_, session) = stored(folder.path(), &report).await;
    assert_eq!(session.reconnects, 1);
    assert_eq!(report.usage.cost_nano_usd, session.cost.get());
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_reported_and_not_waited_for_for_ever() {
    let url = format!("ws://{}/v1/call", free_address());
    let report = run(options(&url, voice(1.0)), |_| {}).await;
    assert_eq!(report.ended, Some(CloseCode::Abnormal));
    assert!(!report.is_good());
    assert!(report.errors.iter().any(|error| error.starts_with("gave_up")), "{:?}", report.errors);
}

#[tokio::test]
async fn a_refused_token_ends_the_call_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let report = run(Options { token: "no token".into(), ..options(&relay.url(), voice(1.0)) }, |_| {}).await;
    assert_eq!(report.ended, Some(CloseCode::Unauthorized));
    assert!(report.errors.iter().any(|error| error.starts_with("unauthorized")), "{:?}", report.errors);
}

/// What ends a call that sends this every five seconds, and its code.
async fn ended(relay: &Relay, sub: &str, mut next: impl FnMut(u32) -> Message) -> (Vec<String>, u16) {
    let (mut raw, _) = Raw::welcomed(relay, sub).await;
    let mut errors = Vec::new();
    let mut sent = 0;
    let mut due = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = due.tick() => {
                raw.send(next(sent)).await;
                sent += 1;
            }
            heard = raw.next() => match heard {
                Heard::Said(RelayMessage::ErrorMessage(error)) => errors.push(error.code),
                Heard::Closed(code) => return (errors, code),
                _ => {}
            },
        }
    }
}

#[tokio::test]
async fn a_call_in_which_nothing_is_said_and_one_that_is_too_long_are_ended() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let idle = Relay::start(folders[0].path(), "127.0.0.1:0", "[limits]\nidle_minutes = 1\n").await;
    let long = Relay::start(folders[1].path(), "127.0.0.1:0", "[limits]\nsession_minutes = 1\n").await;
    let ping = |id| Message::text(ClientMessage::from(protocol::Ping { id, rtt_us: 0 }).to_json());
    let begin = tokio::time::Instant::now();
    let (silent, talkative) =
        tokio::join!(ended(&idle, "ada", ping), ended(&long, "ada", |seq| Message::binary(chunk(seq))));
    assert!(begin.elapsed() >= Duration::from_secs(59), "{:?}", begin.elapsed());
    assert_eq!(silent, (vec!["idle".to_owned()], 4408), "pings are no activity");
    assert_eq!(talkative, (vec!["too_long".to_owned()], 4410));
    for (folder, reason) in folders.iter().zip(["idle", "too_long"]) {
        let store =
            SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
        // The client hears of it before the last row is written.
        let mut end = (SessionState::Live, None);
        for _ in 0..100 {
            let page = store.list_sessions(&SessionFilter::default(), None, 2).await.expect("readable");
            let [session] = &page.rows[..] else { panic!("{:?}", page.rows) };
            end = (session.state, session.end_reason.clone());
            if end.0 == SessionState::Ended {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(end, (SessionState::Ended, Some(reason.to_owned())));
    }
}

#[tokio::test]
async fn a_recording_is_read_over_http_and_gone_with_its_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "[recording]\ndir = \"rec\"\n").await;
    let report = run(options(&relay.url(), [silence(0.3), voice(1.0)].concat()), |_| {}).await;
    assert!(report.is_good(), "{report:?}");
    let id = report.session_id.as_deref().expect("there was a session");
    let path = format!("/v1/sessions/{id}/recording");
    let mut read = request(&relay, "GET", &path).await;
    // It is on its way to its place for a moment.
    for _ in 0..300 {
        if read.0 == 404 {
            sleep(Duration::from_millis(100)).await;
            read = request(&relay, "GET", &path).await;
        }
    }
    let (status, body) = read;
    assert_eq!(status, 200);
    let reader = hound::WavReader::new(body.as_slice()).expect("a WAV file");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 16_000));
    assert!(reader.duration() >= 20_800, "all that was said: {}", reader.duration());
    let length = body.len();
    let (status, head, part) = request_with(&relay, "GET", &path, "range: bytes=1000-1999\r\n").await;
    assert_eq!((status, &part[..]), (206, &body[1_000..2_000]));
    assert!(head.contains(&format!("content-range: bytes 1000-1999/{length}")), "{head}");
    assert!(head.contains("accept-ranges: bytes") && head.contains("content-length: 1000"), "{head}");
    let (status, head, _) = request_with(&relay, "GET", &path, &format!("range: bytes={length}-\r\n")).await;
    assert_eq!(status, 416);
    assert!(head.contains(&format!("content-range: bytes */{length}")), "{head}");
    assert_eq!(request(&relay, "DELETE", &format!("/v1/sessions/{id}")).await.0, 204);
    assert_eq!(request(&relay, "GET", &path).await.0, 404);
    // Whoever erases a session does not wait for its recording.
    let mut left = files_in(&folder.path().join("rec"));
    for _ in 0..300 {
        if left.is_empty() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
        left = files_in(&folder.path().join("rec"));
    }
    assert_eq!(left, [] as [PathBuf; 0], "they are still there");
}

/// The files in a folder and all that are in it.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(dir) = folders.pop() {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let entry = entry.expect("an entry").path();
            match entry.is_dir() {
                true => folders.push(entry),
                false => files.push(entry),
            }
        }
    }
    files
}

async fn request(relay: &Relay, method: &str, path: &str) -> (u16, Vec<u8>) {
    let (status, _, body) = request_with(relay, method, path, "").await;
    (status, body)
}

/// Status, head and body of the answer to a request with these headers, each line ending in a line break.
async fn request_with(relay: &Relay, method: &str, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(relay.address).await.expect("connects");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n{headers}\r\n",
        relay.address,
        token()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answered");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head, answer.split_off(end + 4))
}

/// Whatever a client says of where it stands, no audio is answered that was not paid for.
#[tokio::test]
async fn a_session_is_not_taken_over_by_a_client_that_claims_more_than_is_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "[limits]\nsessions_per_user = 9\n").await;
    let (mut raw, welcome) = Raw::welcomed(&relay, "ada").await;
    raw.send(chunk(0).into()).await;
    raw.send(chunk(1).into()).await;
    while !matches!(raw.next().await, Heard::Said(RelayMessage::RelayAck(ack)) if ack.received.seq == 2) {}
    relay.kill().await;

    let relay = Relay::start(folder.path(), "127.0.0.1:0", "[limits]\nsessions_per_user = 9\n").await;
    let resume = |start: Mark| {
        let resume = Resume {
            session_id: welcome.session_id.clone(),
            resume_token: welcome.resume_token.clone(),
            epoch: welcome.epoch,
            received: 0,
            played: None,
        };
        ClientMessage::from(Hello { start, ..hello(&token_but(&json!({ "sub": "ada" })), Some(resume)) })
            .to_json()
    };
    for start in [
        Mark { seq: 1, position: 0 },
        Mark { seq: 2, position: 3_200 },
        Mark { seq: 0, position: 4_200_000_000 },
        Mark { seq: u32::MAX, position: 0 },
    ] {
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        raw.say(&resume(start)).await;
        let heard = raw.next().await;
        assert!(matches!(heard, Heard::Said(RelayMessage::ResumeFailed(_))), "{start:?}: {heard:?}");
        raw.say(r#"{"type":"bye","end":0}"#).await;
    }
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&resume(Mark::default())).await;
    let heard = raw.next().await;
    assert!(matches!(heard, Heard::Said(RelayMessage::Resumed(_))), "the honest one: {heard:?}");
}

#[tokio::test]
async fn a_client_that_did_not_hear_that_its_session_has_ended_hears_it_again_and_says_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let (mut raw, welcome) = Raw::welcomed(&relay, "ada").await;
    for seq in 0..5 {
        raw.send(Message::binary(chunk(seq))).await;
    }
    raw.say(&ClientMessage::from(Bye { end: 5 }).to_json()).await;
    assert_eq!(raw.end().await.1, CloseCode::Normal.code());

    // All of that was lost on the way. For the client nothing is committed, and it comes back as often as it likes.
    let resume = Resume {
        session_id: welcome.session_id.clone(),
        resume_token: welcome.resume_token,
        epoch: 0,
        received: 0,
        played: None,
    };
    for _ in 0..2 {
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        let token = token_but(&json!({ "sub": "ada" }));
        raw.say(&ClientMessage::from(hello(&token, Some(resume.clone()))).to_json()).await;
        let all = Mark { seq: 5, position: 8_000 };
        let Heard::Said(RelayMessage::Resumed(resumed)) = raw.next().await else { panic!("not resumed") };
        assert_eq!((resumed.received, resumed.committed), (all, all));
        let Heard::Said(RelayMessage::Ended(ended)) = raw.next().await else { panic!("not ended") };
        assert_eq!((ended.reason.as_str(), ended.usage.audio_ms), ("normal", 500));
        assert_eq!(raw.end().await.1, CloseCode::Normal.code());
    }
    // With a token that it never had it is nobody's session.
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    let made_up = Resume { resume_token: "made up".into(), ..resume };
    raw.say(&ClientMessage::from(hello(&token_but(&json!({ "sub": "ada" })), Some(made_up))).to_json()).await;
    assert!(matches!(raw.next().await, Heard::Said(RelayMessage::ResumeFailed(_))));
}

/// Sends these chunks and waits until they have come. What the relay has committed by then.
async fn send(raw: &mut Raw, chunks: std::ops::Range<u32>) -> Mark {
    let end = chunks.end;
    for seq in chunks {
        raw.send(Message::binary(chunk(seq))).await;
    }
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::RelayAck(ack)) if ack.received.seq == end => return ack.committed,
            Heard::Closed(code) => panic!("closed with {code}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_after_the_resume_window_pays_once_for_what_is_sent_once_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "data_dir = {:?}\nresume_window_seconds = 1\n\
        [auth]\nhs256_secret = {SECRET:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n",
        folder.path().join("data")
    );
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let (mut raw, welcome) = Raw::welcomed(&relay, "ada").await;
    let committed = send(&mut raw, 0..12).await;
    assert!(committed.seq < 12, "something is to be sent once more");
    drop(raw);
    sleep(Duration::from_secs(4)).await;

    let Welcome { session_id, resume_token, epoch, .. } = welcome;
    let resume = Resume { session_id: session_id.clone(), resume_token, epoch, received: 0, played: None };
    let again = Hello { start: committed, ..hello(&token_but(&json!({ "sub": "ada" })), Some(resume)) };
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(again).to_json()).await;
    let mut has_failed = false;
    let second = loop {
        match raw.next().await {
            Heard::Said(RelayMessage::ResumeFailed(_)) => has_failed = true,
            Heard::Said(RelayMessage::Welcome(welcome)) => break welcome.session_id,
            Heard::Said(_) => {}
            heard => panic!("no welcome but {heard:?}"),
        }
    };
    assert!(has_failed && second != session_id, "the window is over");
    send(&mut raw, committed.seq..20).await;
    raw.say(&ClientMessage::from(Bye { end: 20 }).to_json()).await;
    assert_eq!(raw.end().await, (vec![], CloseCode::Normal.code()));
    relay.terminate().await;

    let store =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let mut metered = Vec::new();
    for id in [session_id, second] {
        let session = store.session(&id).await.expect("readable").expect("stored");
        let rows = store.ledger(&id).await.expect("readable");
        let samples: u64 = rows.iter().filter(|row| row.unit == "sample").map(|row| row.quantity).sum();
        assert_eq!(session.audio_samples, samples, "{rows:?}");
        metered.push(samples);
    }
    assert_eq!(metered, [12 * 1_600, 8 * 1_600], "each chunk once, where it was heard first");
}
