//! Whoever comes in from the internet gets their answer, and the relay goes on. Bad messages are in `messages`, too many of them
//! in `limits`.

use std::time::Duration;

use protocol::{AudioHeader, ClientMessage, Codec, HEADER_LEN, RelayMessage, Resume, SUBPROTOCOL};
use relay::admission::auth::Verifier;
use relay::records::store::{SqlStore, Store};
use serde_json::json;
use tests::bad_tokens::{self, BadToken, JWKS};
use tests::sound::{silence, voice};
use tests::{Heard, Raw, Relay, chunk, frame, hello, token, token_but};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Answers every request with the key set, for as long as the test runs.
async fn publish_keys() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2_048];
            let _ = stream.read(&mut request).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
                JWKS.len(),
                JWKS
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/jwks.json")
}

async fn refused(relay: &Relay, token: &str) -> (Vec<String>, u16) {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(token, None)).to_json()).await;
    raw.end().await
}

async fn still_serves(relay: &Relay) {
    let (mut raw, welcome) = Raw::welcomed(relay, "grace").await;
    raw.send(Message::binary(chunk(0))).await;
    raw.say(&ClientMessage::from(protocol::Bye { end: 1 }).to_json()).await;
    let (errors, code) = raw.end().await;
    assert_eq!((errors, code), (Vec::new(), 1000), "session {}", welcome.session_id);
}

/// Everything the relay says to a client that comes with this token.
async fn answer(relay: &Relay, token: &str) -> (Vec<RelayMessage>, u16) {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(token, None)).to_json()).await;
    let mut said = Vec::new();
    loop {
        match raw.next().await {
            Heard::Said(message) => said.push(message),
            Heard::Closed(code) => return (said, code),
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_bad_token_is_refused_for_its_cause_and_gets_one_and_the_same_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = bad_tokens::configuration(&publish_keys().await);
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let config = relay::Config::load(Some(&folder.path().join("voxrelay.toml")), []).expect("good");
    let verifier = Verifier::from_config(&config.auth).expect("a verifier");
    for good in [token(), bad_tokens::good_es256()] {
        assert_eq!(verifier.check(&good).await.map(|identity| identity.sub), Ok("ada".to_owned()));
    }
    for good in bad_tokens::good_with_references() {
        let identity = verifier.check(&good).await;
        assert_eq!(identity.map(|identity| identity.sub), Ok("ada".to_owned()), "as docs/security.md says");
    }
    let generic = answer(&relay, "no token").await;
    assert!(matches!(&generic.0[..], [RelayMessage::ErrorMessage(error)] if error.code == "unauthorized"));
    assert_eq!(generic.1, 4401);

    let bad = bad_tokens::bad_tokens();
    assert!(bad.len() >= 60, "{}", bad.len());
    let mut wrong = Vec::new();
    for BadToken { name, token, cause } in &bad {
        let verified = verifier.check(token).await;
        if verified.as_ref().map_err(relay::admission::auth::Refused::cause) != Err(*cause) {
            wrong.push(format!("{name} is {verified:?}, not {cause}: {token}"));
        } else if answer(&relay, token).await != generic {
            wrong.push(format!("{name} has an answer of its own"));
        }
    }
    assert!(wrong.is_empty(), "of {} bad tokens: {wrong:#?}", bad.len());
    still_serves(&relay).await;
}

#[tokio::test]
async fn a_relay_with_published_keys_only_takes_no_secret_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = bad_tokens::configuration(&publish_keys().await);
    let config: String = config
        .lines()
        .filter(|line| !line.starts_with("hs256_secret"))
        .map(|line| format!("{line}\n"))
        .collect();
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let unauthorized = (vec!["unauthorized".to_owned()], 4401);
    assert_eq!(refused(&relay, &token()).await, unauthorized);
    for BadToken { name, token, .. } in bad_tokens::bad_tokens() {
        if name.contains("for a secret") {
            assert_eq!(refused(&relay, &token).await, unauthorized, "{name}");
        }
    }
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(&bad_tokens::good_es256(), None)).to_json()).await;
    assert!(matches!(raw.next().await, Heard::Said(RelayMessage::Welcome(_))));
}

#[tokio::test]
async fn bad_chunks_leave_nothing_in_the_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let (mut raw, welcome) = Raw::welcomed(&relay, "ada").await;
    let pcm = Codec::PcmS16le16000;
    raw.send(Message::binary(chunk(0))).await;
    raw.send(Message::binary(frame(pcm, 1, 1_600, 98))).await;
    raw.send(Message::binary(frame(pcm, 2, 1_600, 100_002))).await;
    raw.send(Message::binary(frame(pcm, 3, 1_600, 3_201))).await;
    raw.send(Message::binary(frame(Codec::PcmS16le24000, 4, 1_600, 3_200))).await;
    raw.send(Message::binary(frame(pcm, 5, 1_600, 3_200))).await;
    raw.say(&ClientMessage::from(protocol::Bye { end: 6 }).to_json()).await;
    let (errors, code) = raw.end().await;
    assert_eq!(errors, ["chunk_too_small", "chunk_too_large", "chunk_odd_length", "chunk_codec"]);
    assert_eq!(code, 1000);
    let store =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let session = store.session(&welcome.session_id).await.expect("readable").expect("stored");
    assert_eq!(session.audio_samples, 3_200, "the two good chunks and nothing else");
    still_serves(&relay).await;
}

#[tokio::test]
async fn a_hole_is_asked_for_and_a_duplicate_is_billed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let (mut raw, welcome) = Raw::welcomed(&relay, "ada").await;
    for seq in [0, 0, 2] {
        raw.send(Message::binary(chunk(seq))).await;
    }
    loop {
        if let Heard::Said(RelayMessage::Resend(resend)) = raw.next().await {
            assert_eq!(resend.from.seq, 1);
            break;
        }
    }
    for seq in [1, 2, 2, 1] {
        raw.send(Message::binary(chunk(seq))).await;
    }
    raw.say(&ClientMessage::from(protocol::Bye { end: 3 }).to_json()).await;
    assert_eq!(raw.end().await.1, 1000);
    let store =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let session = store.session(&welcome.session_id).await.expect("readable").expect("stored");
    assert_eq!(session.audio_samples, 4_800);
}

#[tokio::test]
async fn somebody_elses_session_and_a_used_resume_token_get_the_same_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let (mut victim, welcome) = Raw::welcomed(&relay, "ada").await;
    victim.say(r#"{"type":"ping","id":1,"rtt_us":0}"#).await;
    let resume = |session_id: &str, resume_token: &str| {
        Some(Resume {
            session_id: session_id.into(),
            resume_token: resume_token.into(),
            epoch: 0,
            received: 0,
            played: None,
        })
    };
    let attempts = [
        ("mallory", resume(&welcome.session_id, &welcome.resume_token)),
        ("mallory", resume("no-such-session", "x")),
        ("ada", resume(&welcome.session_id, "wrong")),
        ("ada", resume(&welcome.session_id, "")),
    ];
    for (sub, resume) in attempts {
        let token = token_but(&json!({ "sub": sub }));
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        raw.say(&ClientMessage::from(hello(&token, resume)).to_json()).await;
        let Heard::Said(RelayMessage::ResumeFailed(failed)) = raw.next().await else { panic!("{sub}") };
        assert_eq!((failed.reason.as_str(), failed.epoch), ("unknown", 1));
        let Heard::Said(RelayMessage::Welcome(other)) = raw.next().await else { panic!("{sub}") };
        assert_ne!(other.session_id, welcome.session_id);
        raw.say(&ClientMessage::from(protocol::Bye { end: 0 }).to_json()).await;
        raw.end().await;
    }
    // The victim never noticed.
    victim.say(&ClientMessage::from(protocol::Bye { end: 0 }).to_json()).await;
    assert_eq!(victim.end().await, (Vec::new(), 1000));
}

#[tokio::test]
async fn a_page_of_another_origin_does_not_get_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    match Raw::connect(&relay, Some("https://evil.test")).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("let in"),
    }
    still_serves(&relay).await;
}

/// Seconds that are said, and said back.
const SAID: f64 = 8.0;

/// Somebody who speaks and then takes nothing more, with little room for what comes.
async fn speaks_and_takes_nothing(relay: &Relay) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(32 * 1024).expect("set");
    let stream = MaybeTlsStream::Plain(socket.connect(relay.address).await.expect("connects"));
    let mut request = relay.url().into_client_request().expect("a URL");
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("visible"));
    let mut raw = Raw(tokio_tungstenite::client_async(request, stream).await.expect("connects").0);
    raw.say(&ClientMessage::from(hello(&token(), None)).to_json()).await;
    let said = [silence(0.5), voice(SAID), silence(1.5)].concat();
    for (seq, samples) in (0..).zip(said.chunks(1_600)) {
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le16000, seq, seq * 1_600, &mut frame);
        frame.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        raw.send(Message::binary(frame)).await;
    }
    raw
}

/// Audio bytes and frames until `enough` bytes are there or the connection ends.
async fn listen(raw: &mut Raw, enough: usize) -> (usize, u32) {
    let (mut bytes, mut frames) = (0, 0);
    while bytes < enough {
        match raw.next().await {
            Heard::Audio(length) => {
                bytes += length - HEADER_LEN;
                frames += 1;
            }
            Heard::Closed(code) => {
                assert_eq!(code, 1006, "no goodbye to somebody who does not listen");
                break;
            }
            _ => {}
        }
    }
    (bytes, frames)
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_dropped_and_finds_everything_when_it_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let mut raw = speaks_and_takes_nothing(&relay).await;
    // Its answer begins within seconds, and 10 s later it is dropped; after 30 s it would be dropped as silent.
    sleep(Duration::from_secs(20)).await;
    let Heard::Said(RelayMessage::Welcome(welcome)) = raw.next().await else { panic!("no welcome") };
    let whole = (SAID * 48_000.0) as usize;
    let (before, received) = listen(&mut raw, usize::MAX).await;
    assert!(before < whole / 2, "it was dropped on the way: {before}");

    let resume = Resume {
        session_id: welcome.session_id,
        resume_token: welcome.resume_token,
        epoch: 0,
        received,
        played: None,
    };
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(&token(), Some(resume))).to_json()).await;
    let (after, _) = listen(&mut raw, whole - before).await;
    assert!(before + after >= whole, "{before} and {after} of {whole}");
    still_serves(&relay).await;
}
