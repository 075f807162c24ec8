use futures_util::StreamExt;
use futures_util::stream;
use protocol::{ClientMessage, Codec, Gap, Hello, Mark, RelayMessage, Resume, Welcome};
use serde_json::json;
use tests::wire::{BINARY, CLOSE, FIN, LAST_PART, PING, PONG, TEXT, binary, promise, text, wire};
use tests::{Heard, Raw, Relay, chunk, frame, hello, token_but};
use tokio::time::sleep;

use super::rows::{
    Row, bad_audio, every_message, not_a_websocket, not_of_the_protocol, row, slow, wrong_fields,
};

/// Connections at the same time.
const AT_ONCE: usize = 8;
async fn start(folder: &std::path::Path) -> Relay {
    Relay::start(folder, "127.0.0.1:0", "").await
}

async fn send(raw: &mut Raw, row: &Row) {
    for bytes in &row.sent {
        raw.send_bytes(bytes).await;
        sleep(row.pause).await;
    }
}

/// Sends each row on a connection of its own, without a word before it.
async fn before_hello(relay: &Relay, rows: Vec<Row>) {
    check(rows, async |row| {
        let mut raw = Raw::connect(relay, None).await.expect("connects");
        send(&mut raw, row).await;
        raw.end().await
    })
    .await;
}

/// Sends each row in a call of its own.
async fn in_a_call(relay: &Relay, rows: Vec<Row>) {
    check(rows, async |row| {
        let (mut raw, _) = Raw::welcomed(relay, &row.name).await;
        send(&mut raw, row).await;
        raw.end().await
    })
    .await;
}

async fn check(rows: Vec<Row>, answer: impl AsyncFn(&Row) -> (Vec<String>, u16)) {
    let answer = &answer;
    let wrong: Vec<String> = stream::iter(rows)
        .map(|row| async move {
            let (errors, code) = answer(&row).await;
            let right = errors == row.errors && code == row.code;
            let Row { name, errors: expected, code: with, .. } = row;
            (!right).then(|| format!("{name}: {errors:?} {code}, not {expected:?} {with}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn still_serves(relay: &Relay) {
    let (mut raw, _) = Raw::welcomed(relay, "grace").await;
    raw.send_bytes(&binary(chunk(0))).await;
    raw.send_bytes(&text(r#"{"type":"bye","end":1}"#)).await;
    assert_eq!(heard_ms(&mut raw).await, (Vec::new(), 100));
}

/// Listens until the call has ended in order: the errors on the way, and how much audio it was billed for.
async fn heard_ms(raw: &mut Raw) -> (Vec<String>, u64) {
    let (mut errors, mut heard) = (Vec::new(), None);
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::ErrorMessage(error)) => errors.push(error.code),
            Heard::Said(RelayMessage::Ended(ended)) => heard = Some(ended.usage.audio_ms),
            Heard::Closed(1000) => return (errors, heard.expect("it says so before it closes")),
            Heard::Closed(code) => panic!("{code}: {errors:?}"),
            _ => {}
        }
    }
}

fn token_of(sub: &str) -> String {
    token_but(&json!({ "sub": sub }))
}

/// A good hello of so many bytes.
fn hello_of(bytes: usize) -> String {
    let hello = ClientMessage::from(hello(&token_of("ada"), None)).to_json();
    let padding = bytes - hello.len() - r#","x":"""#.len();
    format!(r#"{},"x":"{}"}}"#, hello.strip_suffix('}').expect("an object"), "y".repeat(padding))
}

/// One of eleven parts of a text.
fn part_of_eleven((at, bytes): (usize, &[u8])) -> Vec<u8> {
    match at {
        0 => wire(TEXT & !FIN, bytes),
        10 => wire(LAST_PART, bytes),
        _ => wire(0, bytes),
    }
}

#[tokio::test]
async fn nothing_but_a_hello_comes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path()).await;
    let token = token_of("ada");
    let mut rows = not_of_the_protocol();
    rows.extend(not_a_websocket(&["protocol"]));
    rows.extend(wrong_fields(&every_message(&token)[0]));
    rows.extend(every_message(&token)[1..].iter().map(|message| {
        let message = message.to_json();
        row(&message, vec![text(&message)], &["unauthorized"], 4401)
    }));
    let good = ClientMessage::from(hello(&token, None)).to_json();
    let opus = ClientMessage::from(Hello { codec: "opus".into(), ..hello(&token, None) }).to_json();
    let loud =
        ClientMessage::from(Hello { codec: Codec::PcmS16le24000.name().into(), ..hello(&token, None) })
            .to_json();
    let resume = Resume {
        session_id: "x".into(),
        resume_token: "y".into(),
        epoch: u32::MAX,
        received: 0,
        played: None,
    };
    let late = ClientMessage::from(hello(&token, Some(resume))).to_json();
    let unauthorized = &["unauthorized"];
    rows.extend([
        row("an epoch that no session gets to", vec![text(late)], &["protocol"], 4400),
        row("audio", vec![binary(chunk(0))], unauthorized, 4401),
        row("no bytes", vec![binary([])], unauthorized, 4401),
        row("a hello in a binary message", vec![binary(&good)], unauthorized, 4401),
        row("a hello of 8 KiB and a byte", vec![text(hello_of(8_193))], unauthorized, 4401),
        row("an unknown codec", vec![text(opus)], &["chunk_codec"], 4400),
        row("a codec for agents", vec![text(loud)], &["chunk_codec"], 4400),
        row("a flood of pings", vec![wire(PING, []); 1_500], unauthorized, 4401),
        row("a flood of pongs", vec![wire(PONG, [7; 125]); 100], unauthorized, 4401),
        row(
            "a hello in parts that are more than 8 KiB together",
            hello_of(110_000).as_bytes().chunks(10_000).enumerate().map(part_of_eleven).collect(),
            unauthorized,
            4401,
        ),
        row(
            "110 KB in parts without an end",
            vec![[wire(TEXT & !FIN, " "), wire(0, vec![b' '; 10_000]).repeat(11)].concat()],
            unauthorized,
            4401,
        ),
        row("silence", vec![], unauthorized, 4401),
        row("half a frame", vec![text(&good)[..40].to_vec()], unauthorized, 4401),
        row("a promise of a frame", vec![promise(TEXT, 8_000)], unauthorized, 4401),
        row("a message that goes on for ever", vec![wire(TEXT & !FIN, &good)], unauthorized, 4401),
        slow(
            "a hello, byte by byte",
            text(&good).chunks(1).take(40).map(Vec::from).collect(),
            unauthorized,
            4401,
        ),
        slow("pings and nothing else", vec![wire(PING, []); 15], unauthorized, 4401),
    ]);
    before_hello(&relay, rows).await;

    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.send_bytes(&[wire(PING, b"hi"), text(hello_of(8_192 - 8))].concat()).await;
    let welcomed = loop {
        match raw.next().await {
            Heard::Said(message) => break matches!(message, RelayMessage::Welcome(_)),
            Heard::Closed(code) => panic!("{code}"),
            _ => {}
        }
    };
    assert!(welcomed, "8 KiB with a ping in it are let in");
    still_serves(&relay).await;
}

#[tokio::test]
async fn a_call_ends_with_what_is_not_of_the_protocol() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path()).await;
    let token = token_of("ada");
    let mut rows = not_of_the_protocol();
    rows.extend(not_a_websocket(&[]));
    rows.extend(every_message(&token)[1..].iter().flat_map(wrong_fields));
    let again = ClientMessage::from(hello(&token, None)).to_json();
    let broken = |name, message: &str| row(name, vec![text(message)], &["protocol"], 4400);
    rows.extend([
        broken("a hello again", &again),
        broken("an acknowledgement of the future", r#"{"type":"ack","received":4000,"played":0}"#),
        broken("the end is far away", r#"{"type":"bye","end":10001}"#),
        broken("a gap from the middle of nowhere", &gap((0, 7), (1, 1_600))),
        broken("a gap far ahead", &gap((10_001, 0), (10_002, 1_600))),
        row(
            "an end that is over",
            vec![binary(chunk(0)), text(r#"{"type":"bye","end":0}"#)],
            &["protocol"],
            4400,
        ),
        row(
            "a gap that goes back in time",
            vec![binary(chunk(0)), text(gap((0, 0), (2, 1_599)))],
            &["protocol"],
            4400,
        ),
        row(
            "a flood of messages",
            vec![text(r#"{"type":"ping","id":1,"rtt_us":0}"#); 100],
            &["control_rate"],
            4429,
        ),
        row("a flood of mutes", vec![text(r#"{"type":"mute","muted":true}"#); 100], &["control_rate"], 4429),
    ]);
    in_a_call(&relay, rows).await;
    still_serves(&relay).await;
}

fn gap(from: (u32, u32), to: (u32, u32)) -> String {
    let mark = |(seq, position)| Mark { seq, position };
    ClientMessage::from(Gap { from: mark(from), to: mark(to) }).to_json()
}

/// A call that begins with this frame.
async fn welcomed_at(relay: &Relay, sub: &str, start: Mark) -> (Raw, Welcome) {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    let hello = Hello { start, ..hello(&token_of(sub), None) };
    raw.say(&ClientMessage::from(hello).to_json()).await;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(welcome)) => return (raw, welcome),
            Heard::Closed(code) => panic!("{code}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_close_frame_ends_the_connection_and_not_the_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path()).await;
    for code in [1000_u16, 1001, 3000, 4999] {
        let (mut raw, welcome) = Raw::welcomed(&relay, &format!("user {code}")).await;
        raw.send_bytes(&wire(CLOSE, code.to_be_bytes())).await;
        assert_eq!(raw.end().await, (Vec::new(), code), "answered with the same");
        let resume = Resume {
            session_id: welcome.session_id,
            resume_token: welcome.resume_token,
            epoch: welcome.epoch,
            received: 0,
            played: None,
        };
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        let hello = hello(&token_of(&format!("user {code}")), Some(resume));
        raw.say(&ClientMessage::from(hello).to_json()).await;
        let answer = raw.next().await;
        assert!(matches!(answer, Heard::Said(RelayMessage::Resumed(_))), "{code}: {answer:?}");
    }
}

#[tokio::test]
async fn bad_audio_is_told_and_not_billed_and_the_call_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path()).await;
    for (at, audio) in bad_audio().into_iter().enumerate() {
        let (mut raw, _) = Raw::welcomed(&relay, &format!("user {at}")).await;
        for frame in audio.sent {
            raw.send_bytes(&binary(frame)).await;
        }
        raw.send_bytes(&text(format!(r#"{{"type":"bye","end":{}}}"#, audio.end))).await;
        let (told, billed) = heard_ms(&mut raw).await;
        assert_eq!(told, audio.errors, "{}", audio.name);
        assert_eq!(billed, audio.billed_ms, "{}", audio.name);
    }
    still_serves(&relay).await;
}

#[tokio::test]
async fn a_gap_stands_for_what_is_missing_and_nonsense_about_it_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path()).await;
    let rows = [
        ("of nothing", vec![gap((0, 0), (0, 0))], 0, 0),
        ("of what is here", vec![gap((0, 0), (0, 1_600))], 0, 0),
        ("backwards", vec![gap((5, 8_000), (0, 0))], 0, 0),
        ("of what is not missing yet", vec![gap((5, 8_000), (9, 14_400))], 0, 0),
        ("twice", vec![gap((0, 0), (4, 6_400)), gap((0, 0), (4, 6_400))], 4, 0),
        (
            "that begins before it is missing",
            vec![gap((0, 0), (4, 6_400)), gap((2, 3_200), (6, 9_600))],
            6,
            0,
        ),
        ("of frames without audio", vec![gap((0, 0), (4, 0))], 4, 0),
    ];
    for (at, (name, gaps, end, ms)) in rows.into_iter().enumerate() {
        let (mut raw, _) = Raw::welcomed(&relay, &format!("user {at}")).await;
        for gap in gaps {
            raw.send_bytes(&text(gap)).await;
        }
        raw.send_bytes(&text(format!(r#"{{"type":"bye","end":{end}}}"#))).await;
        assert_eq!(heard_ms(&mut raw).await, (Vec::new(), ms), "a gap {name}");
    }
    still_serves(&relay).await;
}

#[tokio::test]
async fn a_client_that_does_not_stop_sending_bad_audio_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path()).await;
    let pcm = Codec::PcmS16le16000;
    let small = (0..12).map(|seq| binary(frame(pcm, seq, 0, 10))).collect();
    let rows = vec![
        row("chunks that are too small", small, &["chunk_too_small"; 11], 4400),
        row("frames that are no audio", vec![binary([9; 64]); 12], &["protocol"; 11], 4400),
        row("a frame far ahead", vec![binary(chunk(10_001))], &["protocol"], 4400),
        row("the last frame there is", vec![binary(frame(pcm, u32::MAX, 0, 3_200))], &["protocol"], 4400),
    ];
    in_a_call(&relay, rows).await;

    // Numbers and positions do not wrap.
    for start in [
        Mark { seq: u32::MAX, position: 0 },
        Mark { seq: 0, position: u32::MAX - 1_000 },
        Mark { seq: u32::MAX, position: u32::MAX },
    ] {
        let (mut raw, _) = welcomed_at(&relay, "ada", start).await;
        raw.send_bytes(&binary(frame(pcm, start.seq, start.position, 3_200))).await;
        assert_eq!(raw.end().await, (vec!["too_long".to_owned()], 4410), "{start:?}");
    }
    let (mut raw, _) = welcomed_at(&relay, "ada", Mark { seq: u32::MAX - 1, position: 0 }).await;
    for (seq, position) in [(u32::MAX - 1, 0), (u32::MAX, 1_600), (0, 3_200)] {
        raw.send_bytes(&binary(frame(pcm, seq, position, 3_200))).await;
    }
    assert_eq!(raw.end().await, (vec!["too_long".to_owned()], 4410), "the last number has no next");
    still_serves(&relay).await;
}

#[tokio::test]
async fn pings_and_parts_are_part_of_the_websocket_protocol_and_do_no_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path()).await;
    let (mut raw, _) = Raw::welcomed(&relay, "ada").await;
    raw.send_bytes(&wire(PING, [1; 125]).repeat(2_000)).await;
    raw.send_bytes(&wire(PONG, []).repeat(2_000)).await;
    let audio = chunk(0);
    raw.send_bytes(&wire(BINARY & !FIN, &audio[..5])).await;
    raw.send_bytes(&wire(PING, b"between")).await;
    for byte in &audio[5..300] {
        raw.send_bytes(&wire(0, [*byte])).await;
    }
    raw.send_bytes(&wire(0, []).repeat(5_000)).await;
    raw.send_bytes(&wire(LAST_PART, &audio[300..])).await;
    raw.send_bytes(&text(r#"{"type":"bye","end":1}"#)).await;
    assert_eq!(heard_ms(&mut raw).await, (Vec::new(), 100));
    still_serves(&relay).await;
}
