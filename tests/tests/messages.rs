//! Bad messages, each with the answer it gets: the errors that are told, and the code that ends the connection. Nothing of them is
//! accepted, and the relay serves the next call as if nothing had been.

use futures_util::StreamExt;
use futures_util::stream;
use protocol::{
    ClientAck, ClientMessage, Codec, Gap, Hello, Mark, Mute, Ping, RelayMessage, Resume, Token, Welcome,
};
use serde_json::{Value, json};
use tests::wire::{BINARY, CLOSE, FIN, LAST_PART, PING, PONG, TEXT, binary, promise, text, unmasked, wire};
use tests::{Heard, Raw, Relay, chunk, frame, hello, token_but};
use tokio::time::{Duration, sleep};

/// Connections at the same time.
const AT_ONCE: usize = 8;
/// More than the relay takes in one message.
const TOO_LONG: usize = 300_000;

/// What is sent, and what has to come back.
struct Row {
    name: String,
    sent: Vec<Vec<u8>>,
    /// Between one and the next.
    pause: Duration,
    errors: Vec<&'static str>,
    code: u16,
}

fn row(name: &str, sent: Vec<Vec<u8>>, errors: &[&'static str], code: u16) -> Row {
    Row { name: name.to_owned(), sent, pause: Duration::ZERO, errors: errors.to_vec(), code }
}

/// The same, sent a piece at a time.
fn slow(name: &str, sent: Vec<Vec<u8>>, errors: &[&'static str], code: u16) -> Row {
    Row { pause: Duration::from_millis(400), ..row(name, sent, errors, code) }
}

/// One message each that is no JSON of ours, whenever it comes.
fn not_of_the_protocol() -> Vec<Row> {
    let nested = |depth: usize| format!("{}{}", r#"{"type":"#.repeat(depth), "}".repeat(depth));
    [
        ("nothing", String::new()),
        ("a space", " ".into()),
        ("an object that never ends", "{".into()),
        ("an end without a beginning", "}".into()),
        ("a list", "[]".into()),
        ("null", "null".into()),
        ("a number", "1".into()),
        ("a text", r#""ping""#.into()),
        ("no type", "{}".into()),
        ("type null", r#"{"type":null}"#.into()),
        ("type of another type", r#"{"type":7}"#.into()),
        ("a list for a type", r#"{"type":["ping"]}"#.into()),
        ("an unknown type", r#"{"type":"sing"}"#.into()),
        ("a type in capitals", r#"{"type":"Ping","id":1,"rtt_us":0}"#.into()),
        ("a type of the relay", r#"{"type":"pong","id":1}"#.into()),
        ("single quotes", "{'type':'ping','id':1,'rtt_us':0}".into()),
        ("a comma too many", r#"{"type":"ping","id":1,"rtt_us":0,}"#.into()),
        ("a comment", r#"{"type":"ping",/**/"id":1,"rtt_us":0}"#.into()),
        ("two values", r#"{"type":"ping","id":1,"rtt_us":0} {}"#.into()),
        ("a byte order mark", "\u{feff}{\"type\":\"ping\",\"id\":1,\"rtt_us\":0}".into()),
        ("a bare control character", "{\"type\":\"ping\",\"id\":1,\"rtt_us\":0,\"x\":\"\u{0}\"}".into()),
        ("half a surrogate", r#"{"type":"ping","id":1,"rtt_us":0,"x":"\ud83d"}"#.into()),
        ("NaN", r#"{"type":"ping","id":NaN,"rtt_us":0}"#.into()),
        ("a number with zeros in front", r#"{"type":"ping","id":01,"rtt_us":0}"#.into()),
        ("a whole number written as another", r#"{"type":"ping","id":1e0,"rtt_us":0}"#.into()),
        ("minus nought", r#"{"type":"ping","id":-0,"rtt_us":0}"#.into()),
        ("a number beyond 32 bits", r#"{"type":"ping","id":4294967296,"rtt_us":0}"#.into()),
        ("a number beyond 64 bits", r#"{"type":"ping","id":18446744073709551616,"rtt_us":0}"#.into()),
        ("a number beyond all bits", format!(r#"{{"type":"ping","id":1{},"rtt_us":0}}"#, "0".repeat(4_000))),
        ("an exponent beyond all bits", r#"{"type":"ping","id":1e999999999,"rtt_us":0}"#.into()),
        ("nested too deep", nested(9)),
        ("nested far too deep", nested(800)),
        ("lists far too deep", "[".repeat(8_000)),
        ("more values than a message has", format!(r#"{{"type":"ping","x":[{}0]}}"#, "0,".repeat(3_990))),
    ]
    .into_iter()
    .map(|(name, message)| row(name, vec![text(message)], &["protocol"], 4400))
    .collect()
}

/// Every message of a client as it should be.
fn every_message(token: &str) -> [ClientMessage; 7] {
    let mark = |seq| Mark { seq, position: seq * 1_600 };
    let resume = Resume { session_id: "s".into(), resume_token: "r".into(), epoch: 0, received: 0 };
    [
        hello(token, Some(resume)).into(),
        ClientAck { received: 0, played: 0 }.into(),
        Gap { from: mark(0), to: mark(1) }.into(),
        Mute { muted: true }.into(),
        Token { token: token.into() }.into(),
        Ping { id: 1, rtt_us: 0 }.into(),
        protocol::Bye { end: 0 }.into(),
    ]
}

/// The message once for each of its fields and each wrong value of that field, and without it.
fn wrong_fields(message: &ClientMessage) -> Vec<Row> {
    let good: Value = serde_json::from_str(&message.to_json()).expect("JSON");
    let mut rows = Vec::new();
    for path in paths(&good, String::new()) {
        let given = good.pointer(&path).expect("it is there");
        let others = [
            Value::Null,
            json!(true),
            json!("7"),
            json!(7),
            json!(-1),
            json!(0.5),
            json!(1_u64 << 32),
            json!([]),
            json!({}),
        ];
        let fits = |other: &Value| match given {
            Value::Number(_) => other.as_u64().is_some_and(|number| number < 1 << 32),
            Value::String(_) => other.is_string() && path != "/type",
            Value::Bool(_) => other.is_boolean(),
            _ => path == "/resume" && other.is_null(),
        };
        for other in others.into_iter().filter(|other| !fits(other)) {
            let name = format!("{}{path} = {other}", good["type"]);
            let mut bad = good.clone();
            *bad.pointer_mut(&path).expect("it is there") = other;
            rows.push(row(&name, vec![text(bad.to_string())], &["protocol"], 4400));
        }
        if path != "/resume" {
            let (parent, field) = path.rsplit_once('/').expect("a path");
            let mut bad = good.clone();
            let object = bad.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
            object.remove(field);
            let name = format!("{} without {path}", good["type"]);
            rows.push(row(&name, vec![text(bad.to_string())], &["protocol"], 4400));
        }
    }
    rows
}

fn paths(value: &Value, prefix: String) -> Vec<String> {
    let Value::Object(members) = value else { return Vec::new() };
    let member = |(name, value)| {
        let path = format!("{prefix}/{name}");
        [vec![path.clone()], paths(value, path)].concat()
    };
    members.iter().flat_map(member).collect()
}

/// What breaks the WebSocket protocol, whenever it comes. `told` is what is said before the close frame.
fn not_a_websocket(told: &[&'static str]) -> Vec<Row> {
    let ping = r#"{"type":"ping","id":1,"rtt_us":0}"#;
    let broken = |name, sent: Vec<Vec<u8>>| row(name, sent, told, 4400);
    let mut rows = vec![
        row("broken UTF-8", vec![text([b'{', 0xC3, 0x28, b'}'])], told, 1007),
        row("a surrogate in UTF-8", vec![text([0xED, 0xA0, 0x80])], told, 1007),
        row("UTF-8 longer than it need be", vec![text([0xC0, 0xAF])], told, 1007),
        row(
            "half a character",
            vec![text("{\"type\":\"ü".as_bytes().split_last().expect("long").1)],
            told,
            1007,
        ),
        row(
            "broken UTF-8 in parts",
            vec![wire(TEXT & !FIN, [b'{', 0xC3]), wire(LAST_PART, [0x28, b'}'])],
            told,
            1007,
        ),
        row("a text over the limit", vec![text("x".repeat(TOO_LONG))], told, 1009),
        row("audio over the limit", vec![binary(vec![0; TOO_LONG])], told, 1009),
        row(
            "parts that are over the limit together",
            [
                vec![wire(BINARY & !FIN, vec![0; 90_000])],
                vec![wire(0, vec![0; 90_000]); 2],
                vec![wire(LAST_PART, [])],
            ]
            .concat(),
            told,
            1009,
        ),
        row("a promise of 2^62 bytes", vec![promise(BINARY, 1 << 62)], told, 1009),
        row("a promise of 2^64 - 1 bytes", vec![promise(TEXT, u64::MAX)], told, 1009),
        broken("a frame without its mask", vec![unmasked(TEXT, ping)]),
        broken("a ping without its mask", vec![unmasked(PING, [])]),
        broken("a compressed message", vec![wire(TEXT | 0x40, ping)]),
        broken("the second reserved bit", vec![wire(TEXT | 0x20, ping)]),
        broken("the third reserved bit", vec![wire(BINARY | 0x10, chunk(0))]),
        broken("a compressed ping", vec![wire(PING | 0x40, [])]),
        broken("an unknown kind of data", vec![wire(0x83, ping)]),
        broken("an unknown kind of control", vec![wire(0x8B, [])]),
        broken("a last part of nothing", vec![wire(LAST_PART, ping)]),
        broken("a middle part of nothing", vec![wire(0, ping)]),
        broken("a message inside another", vec![wire(TEXT & !FIN, "{"), text(ping)]),
        broken("a ping in parts", vec![wire(PING & !FIN, []), wire(LAST_PART, [])]),
        broken("a ping of 126 bytes", vec![wire(PING, [0; 126])]),
        broken("a pong of 60,000 bytes", vec![wire(PONG, vec![0; 60_000])]),
        broken("a close frame of 126 bytes", vec![wire(CLOSE, [3; 126])]),
        broken("a close frame of one byte", vec![wire(CLOSE, [3])]),
    ];
    rows.extend([0_u16, 999, 1005, 1006, 1015, 65_535].map(|code| {
        let name = format!("a close frame with code {code}");
        row(&name, vec![wire(CLOSE, code.to_be_bytes())], &[], 1002)
    }));
    rows
}

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
    let unauthorized = &["unauthorized"];
    rows.extend([
        row("audio", vec![binary(chunk(0))], unauthorized, 4401),
        row("no bytes", vec![binary([])], unauthorized, 4401),
        row("a hello in a binary message", vec![binary(&good)], unauthorized, 4401),
        row("a hello of 8 KiB and a byte", vec![text(hello_of(8_193))], unauthorized, 4401),
        row("an unknown codec", vec![text(opus)], &["chunk_codec"], 4400),
        row("a codec for agents", vec![text(loud)], &["chunk_codec"], 4400),
        row("a flood of pings", vec![wire(PING, []); 1_500], unauthorized, 4401),
        row("a flood of pongs", vec![wire(PONG, [7; 125]); 100], unauthorized, 4401),
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
async fn bad_audio_is_told_and_not_billed_and_the_call_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path()).await;
    let pcm = Codec::PcmS16le16000;
    let with = |at: usize, value: u8| {
        let mut frame = chunk(0);
        frame[at] = value;
        frame
    };
    let positioned = |seq, position| frame(pcm, seq, position, 3_200);
    // Sent, then the number after the last frame; told; milliseconds that are billed.
    let rows: Vec<(&str, Vec<Vec<u8>>, u32, &[&str], u64)> = vec![
        ("nothing at all", vec![vec![]], 0, &["chunk_too_small"], 0),
        ("less than a header", vec![vec![1; 11]], 0, &["chunk_too_small"], 0),
        ("another kind of frame", vec![with(0, 0), with(0, 2), with(0, 255)], 0, &["chunk_too_small"; 3], 0),
        ("a header alone", vec![frame(pcm, 0, 0, 0)], 1, &["chunk_too_small"], 0),
        ("one sample", vec![frame(pcm, 0, 0, 2)], 1, &["chunk_too_small"], 0),
        ("two bytes less than the least", vec![frame(pcm, 0, 0, 98)], 1, &["chunk_too_small"], 0),
        ("one byte less than the least", vec![frame(pcm, 0, 0, 99)], 1, &["chunk_too_small"], 0),
        ("the least", vec![frame(pcm, 0, 0, 100)], 1, &[], 3),
        ("the most", vec![frame(pcm, 0, 0, 100_000)], 1, &[], 3_125),
        ("one byte more than the most", vec![frame(pcm, 0, 0, 100_001)], 1, &["chunk_too_large"], 0),
        ("two bytes more than the most", vec![frame(pcm, 0, 0, 100_002)], 1, &["chunk_too_large"], 0),
        ("half a sample", vec![frame(pcm, 0, 0, 3_201)], 1, &["chunk_odd_length"], 0),
        ("codec 0", vec![with(1, 0)], 1, &["chunk_codec"], 0),
        ("the agents' codec", vec![with(1, 2)], 1, &["chunk_codec"], 0),
        ("codec 255", vec![with(1, 255)], 1, &["chunk_codec"], 0),
        ("reserved bits, which are ignored", vec![with(2, 255), with(3, 255)], 1, &[], 100),
        ("a position too early", vec![chunk(0), positioned(1, 0)], 2, &["chunk_position"], 100),
        ("a position too late", vec![chunk(0), positioned(1, 1_601)], 2, &["chunk_position"], 100),
        ("the last position there is", vec![positioned(0, u32::MAX)], 1, &["chunk_position"], 0),
        (
            "back to what was billed, after a chunk that was refused",
            vec![
                chunk(0),
                chunk(1),
                frame(pcm, 2, 3_200, 3),
                positioned(3, 0),
                positioned(4, 1_600),
                chunk(5),
            ],
            6,
            &["chunk_too_small", "chunk_position", "chunk_position"],
            300,
        ),
        ("a frame twice", vec![chunk(0), chunk(0), chunk(1), chunk(0), chunk(1)], 2, &[], 200),
        ("a frame twice, with other audio", vec![chunk(0), frame(pcm, 0, 0, 100_000)], 1, &[], 100),
        ("a frame twice, with nonsense", vec![chunk(0), frame(Codec::PcmS16le24000, 0, 77, 3)], 1, &[], 100),
        ("the second before the first", vec![chunk(1), chunk(0), chunk(1)], 2, &[], 200),
        ("ten thousand ahead", vec![chunk(10_000), chunk(0)], 1, &[], 100),
    ];
    for (at, (name, frames, end, errors, ms)) in rows.into_iter().enumerate() {
        let (mut raw, _) = Raw::welcomed(&relay, &format!("user {at}")).await;
        for frame in frames {
            raw.send_bytes(&binary(frame)).await;
        }
        raw.send_bytes(&text(format!(r#"{{"type":"bye","end":{end}}}"#))).await;
        let (told, billed) = heard_ms(&mut raw).await;
        assert_eq!((told, billed), (errors.iter().map(ToString::to_string).collect(), ms), "{name}");
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
        row("frames that are no audio", vec![binary([9; 64]); 12], &["chunk_too_small"; 11], 4400),
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
