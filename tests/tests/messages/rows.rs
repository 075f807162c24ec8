//! The tables: what is sent, and what has to come back.

use std::time::Duration;

use protocol::{ClientAck, ClientMessage, Codec, Features, Gap, Hello, Mark, Mute, Ping, Resume, Token};
use serde_json::{Value, json};
use tests::wire::{BINARY, CLOSE, FIN, LAST_PART, PING, PONG, TEXT, binary, promise, text, unmasked, wire};
use tests::{chunk, frame, hello};

/// More than the relay takes in one message.
const TOO_LONG: usize = 300_000;

/// What is sent, and what has to come back.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) sent: Vec<Vec<u8>>,
    /// Between one and the next.
    pub(crate) pause: Duration,
    pub(crate) errors: Vec<&'static str>,
    pub(crate) code: u16,
}

pub(crate) fn row(name: &str, sent: Vec<Vec<u8>>, errors: &[&'static str], code: u16) -> Row {
    Row { name: name.to_owned(), sent, pause: Duration::ZERO, errors: errors.to_vec(), code }
}

/// The same, sent a piece at a time.
pub(crate) fn slow(name: &str, sent: Vec<Vec<u8>>, errors: &[&'static str], code: u16) -> Row {
    Row { pause: Duration::from_millis(400), ..row(name, sent, errors, code) }
}

/// One message each that is no JSON of ours, whenever it comes.
pub(crate) fn not_of_the_protocol() -> Vec<Row> {
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
        ("half a surrogate", r#"{"type":"token","token":"\ud83d"}"#.into()),
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
    ]
    .into_iter()
    .map(|(name, message)| row(name, vec![text(message)], &["protocol"], 4400))
    .collect()
}

/// Every message of a client as it should be.
pub(crate) fn every_message(token: &str) -> [ClientMessage; 7] {
    let mark = |seq| Mark { seq, position: seq * 1_600 };
    let resume =
        Resume { session_id: "s".into(), resume_token: "r".into(), epoch: 0, received: 0, played: Some(0) };
    [
        Hello {
            conversation: Some("c".into()),
            agent: Some("a".into()),
            features: Features::default(),
            ..hello(token, Some(resume))
        }
        .into(),
        ClientAck { received: 0, played: 0 }.into(),
        Gap { from: mark(0), to: mark(1) }.into(),
        Mute { muted: true }.into(),
        Token { token: token.into() }.into(),
        Ping { id: 1, rtt_us: 0 }.into(),
        protocol::Bye { end: 0 }.into(),
    ]
}

/// The message once for each of its fields and each wrong value of that field, and without it.
pub(crate) fn wrong_fields(message: &ClientMessage) -> Vec<Row> {
    let good: Value = serde_json::from_str(&message.to_json()).expect("JSON");
    let mut rows = Vec::new();
    for path in paths(&good, "") {
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
            _ if other.is_null() && nullable(&path) => true,
            Value::Number(_) => other.as_u64().is_some_and(|number| number < 1 << 32),
            Value::String(_) => other.is_string() && path != "/type",
            Value::Bool(_) => other.is_boolean(),
            Value::Array(_) => other.is_array(),
            _ => false,
        };
        for other in others.into_iter().filter(|other| !fits(other)) {
            let name = format!("{}{path} = {other}", good["type"]);
            let mut bad = good.clone();
            *bad.pointer_mut(&path).expect("it is there") = other;
            rows.push(row(&name, vec![text(bad.to_string())], &["protocol"], 4400));
        }
        if !nullable(&path) {
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

/// Whether the field of `hello` may be left out.
fn nullable(path: &str) -> bool {
    matches!(path, "/resume" | "/resume/played" | "/conversation" | "/agent" | "/features")
}

fn paths(value: &Value, prefix: &str) -> Vec<String> {
    let Value::Object(members) = value else { return Vec::new() };
    let member = |(name, value)| {
        let path = format!("{prefix}/{name}");
        [paths(value, &path), vec![path]].concat()
    };
    members.iter().flat_map(member).collect()
}

/// What breaks the WebSocket protocol, whenever it comes. `told` is what is said before the close frame.
pub(crate) fn not_a_websocket(told: &[&'static str]) -> Vec<Row> {
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

/// Audio frames of a call, what is told of them, and what is billed: no more than what was good of them.
pub(crate) struct Audio {
    pub(crate) name: &'static str,
    pub(crate) sent: Vec<Vec<u8>>,
    /// The number after the last frame.
    pub(crate) end: u32,
    pub(crate) errors: Vec<&'static str>,
    pub(crate) billed_ms: u64,
}

fn audio(name: &'static str, sent: Vec<Vec<u8>>, end: u32, errors: &[&'static str], billed_ms: u64) -> Audio {
    Audio { name, sent, end, errors: errors.to_vec(), billed_ms }
}

/// Bad audio that a call survives, and good audio that looks bad.
pub(crate) fn bad_audio() -> Vec<Audio> {
    let pcm = Codec::PcmS16le16000;
    let with = |at: usize, value: u8| {
        let mut frame = chunk(0);
        frame[at] = value;
        frame
    };
    let positioned = |seq, position| frame(pcm, seq, position, 3_200);
    vec![
        audio("nothing at all", vec![vec![]], 0, &["chunk_too_small"], 0),
        audio("less than a header", vec![vec![1; 11]], 0, &["chunk_too_small"], 0),
        audio("another kind of frame", vec![with(0, 0), with(0, 2), with(0, 255)], 0, &["protocol"; 3], 0),
        audio("a header alone", vec![frame(pcm, 0, 0, 0)], 1, &["chunk_too_small"], 0),
        audio("one sample", vec![frame(pcm, 0, 0, 2)], 1, &["chunk_too_small"], 0),
        audio("two bytes less than the least", vec![frame(pcm, 0, 0, 98)], 1, &["chunk_too_small"], 0),
        audio("one byte less than the least", vec![frame(pcm, 0, 0, 99)], 1, &["chunk_too_small"], 0),
        audio("the least", vec![frame(pcm, 0, 0, 100)], 1, &[], 3),
        audio("the most", vec![frame(pcm, 0, 0, 100_000)], 1, &[], 3_125),
        audio("one byte more than the most", vec![frame(pcm, 0, 0, 100_001)], 1, &["chunk_too_large"], 0),
        audio("two bytes more than the most", vec![frame(pcm, 0, 0, 100_002)], 1, &["chunk_too_large"], 0),
        audio("half a sample", vec![frame(pcm, 0, 0, 3_201)], 1, &["chunk_odd_length"], 0),
        audio("codec 0", vec![with(1, 0)], 1, &["chunk_codec"], 0),
        audio("the agents' codec", vec![with(1, 2)], 1, &["chunk_codec"], 0),
        audio("codec 255", vec![with(1, 255)], 1, &["chunk_codec"], 0),
        audio("another number of samples", vec![with(2, 255)], 1, &["chunk_position"], 0),
        audio("no number of samples", vec![with(2, 0), with(3, 0)], 1, &[], 100),
        audio("a position too early", vec![chunk(0), positioned(1, 0)], 2, &["chunk_position"], 100),
        audio("a position too late", vec![chunk(0), positioned(1, 1_601)], 2, &["chunk_position"], 100),
        audio("the last position there is", vec![positioned(0, u32::MAX)], 1, &["chunk_position"], 0),
        audio(
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
        audio("a frame twice", vec![chunk(0), chunk(0), chunk(1), chunk(0), chunk(1)], 2, &[], 200),
        audio("a frame twice, with other audio", vec![chunk(0), frame(pcm, 0, 0, 100_000)], 1, &[], 100),
        audio(
            "a frame twice, with nonsense",
            vec![chunk(0), frame(Codec::PcmS16le24000, 0, 77, 3)],
            1,
            &[],
            100,
        ),
        audio("the second before the first", vec![chunk(1), chunk(0), chunk(1)], 2, &[], 200),
        audio("ten thousand ahead", vec![chunk(10_000), chunk(0)], 1, &[], 100),
    ]
}
