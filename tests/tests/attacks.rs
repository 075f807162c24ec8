//! Whoever comes in from the internet gets their answer, and the relay goes on. Bad messages are in `messages`, too many of them
//! in `limits`.

use jsonwebtoken::Algorithm;
use protocol::{ClientMessage, Codec, RelayMessage, Resume};
use relay::store::Store;
use serde_json::json;
use tests::{
    AUDIENCE, Heard, ISSUER, Raw, Relay, SECRET, chunk, claims, frame, hello, now, signed, token, token_but,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The public key of RFC 7515, appendix A.3, as a key set and as the text that a confused relay would take for a secret.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"rfc7515","alg":"ES256","use":"sig",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
    6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n\
    -----END PUBLIC KEY-----\n";

/// Answers every request with the key set, for as long as the test runs.
async fn publish_keys() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2_048];
            let _ = stream.read(&mut request).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{JWKS}",
                JWKS.len()
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

#[tokio::test]
async fn every_bad_token_gets_one_and_the_same_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let unsigned = |header: &str| {
        let part = |text: &str| text.to_owned();
        // {"alg":"none","typ":"JWT"} and the like, and good claims, in base64url without padding.
        let claims = signed(Algorithm::HS256, b"x", &claims());
        format!("{}.{}.", part(header), claims.split('.').nth(1).expect("claims"))
    };
    let stolen = token();
    let (head, tail) = stolen.rsplit_once('.').expect("a signature");
    let api_key = |role: &str| {
        let key =
            json!({ "iss": "supabase", "ref": "abcdefgh", "role": role, "iat": now(), "exp": now() + 3600 });
        signed(Algorithm::HS256, SECRET.as_bytes(), &key)
    };
    let bad = [
        ("none", String::new()),
        ("garbage", "not a token".into()),
        ("expired", token_but(&json!({ "exp": now() - 3600 }))),
        ("not yet valid", token_but(&json!({ "nbf": now() + 3600 }))),
        ("wrong key", signed(Algorithm::HS256, b"another secret, just as long as the right one", &claims())),
        ("another algorithm", signed(Algorithm::HS512, SECRET.as_bytes(), &claims())),
        ("alg none", unsigned("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0")),
        ("alg None", unsigned("eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0")),
        ("cut signature", format!("{head}.{}", &tail[..tail.len() - 2])),
        ("no signature", format!("{head}.")),
        ("signed with a public key", signed(Algorithm::HS256, PUBLIC_PEM.as_bytes(), &claims())),
        ("wrong aud", token_but(&json!({ "aud": "somebody-else" }))),
        ("no aud", token_but(&json!({ "aud": null }))),
        ("wrong iss", token_but(&json!({ "iss": "https://evil.test" }))),
        ("iss of another type", token_but(&json!({ "iss": ["https://issuer.test"] }))),
        ("no iss", token_but(&json!({ "iss": null }))),
        ("no sub", token_but(&json!({ "sub": null }))),
        ("empty sub", token_but(&json!({ "sub": "" }))),
        ("no exp", token_but(&json!({ "exp": null }))),
        ("exp of another type", token_but(&json!({ "exp": "tomorrow" }))),
        ("supabase anon key", api_key("anon")),
        ("supabase service key", api_key("service_role")),
        ("service role with a sub", token_but(&json!({ "role": "service_role" }))),
    ];
    for (name, token) in bad {
        assert_eq!(refused(&relay, &token).await, (vec!["unauthorized".to_owned()], 4401), "{name}");
    }
    still_serves(&relay).await;
}

#[tokio::test]
async fn a_relay_with_published_keys_takes_no_public_key_for_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "data_dir = \"data\"\n[auth]\njwks_url = {:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n",
        publish_keys().await
    );
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
    header.kid = Some("rfc7515".into());
    let point: Vec<u8> = PUBLIC_PEM.bytes().collect();
    for secret in [PUBLIC_PEM.as_bytes(), PUBLIC_PEM.trim_end().as_bytes(), &point[28..], JWKS.as_bytes()] {
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        let token = jsonwebtoken::encode(&header, &claims(), &key).expect("signs");
        assert_eq!(refused(&relay, &token).await, (vec!["unauthorized".to_owned()], 4401));
    }
    // The header may name the right algorithm and key: without the private key the signature is still wrong.
    let mut parts: Vec<String> = token().split('.').map(str::to_owned).collect();
    parts[0] = "eyJhbGciOiJFUzI1NiIsImtpZCI6InJmYzc1MTUifQ".into();
    assert_eq!(refused(&relay, &parts.join(".")).await.1, 4401);
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
    let store = Store::open(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
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
    let store = Store::open(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
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
