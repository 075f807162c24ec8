//! The days of those that are asked otherwise than the others: a recogniser that is given one utterance at a time, and a voice that says when its
//! words are spoken. Each day is lived through twice, with a stand-in and without one: what the call does, what the page is told, and what is
//! booked.

use protocol::client::Event;
use protocol::{Ability, CloseCode, Role};
use relay::client::{Options, Report, run};
use relay::money::ledger::LedgerRow;
use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use serde_json::{Value, json};
use tests::sound::{silence, voice};
use tests::stand_ins::{self, Provider, ask};
use tests::{Relay, token_but};
use tokio::time::Duration;

use super::loud_seconds;

/// What has no price in the shipped table.
const PRICES: &str = r#"
version = "test"
item = [
  { name = "own/ears", unit = "second", usd = "0.006", per = 60 },
  { name = "other/ears", unit = "second", usd = "0.012", per = 60 },
  { name = "own/mind", unit = "input_token", usd = "1", per = 1_000_000 },
  { name = "own/mind", unit = "output_token", usd = "5", per = 1_000_000 },
]
"#;

/// An answer whose last word a voice is given behind so much else that the sound of that comes first.
const ANSWER: &str = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty done.";
const LAST_WORD: &str = "done.";
/// How long each piece of sound is, in place of 60 ms a character.
const SOUND_MS: u32 = 600;
const FOR_EVER: u32 = 10_000;

/// The wires of those that have the bad days.
const EARS: &str = "openai.transcriptions";
const MOUTH: &str = "elevenlabs.stream_input";

/// What comes of the answer of whoever has the bad day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// Nothing, and nothing of what was asked is billed.
    Nothing,
    /// Nothing, but what was asked may be billed: it was read.
    NothingForMoney,
    /// All but its end.
    Part,
    /// All of it, as on any other day.
    All,
}

/// What it is like, how the stand-in acts, and what comes of that.
type Day = (&'static str, Value, Comes);

/// On each of these days nobody answers who could be asked.
fn days_of_all() -> Vec<Day> {
    vec![
        ("a wrong key", json!({ "refuse": { "status": 401 } }), Comes::Nothing),
        ("no money left", json!({ "refuse": { "status": 402 } }), Comes::Nothing),
        (
            "over its quota",
            json!({ "refuse": { "status": 429, "headers": { "retry-after": "1" } } }),
            Comes::Nothing,
        ),
        ("out of order", json!({ "refuse": { "status": 503, "body": "<h1>Oh no</h1>" } }), Comes::Nothing),
        ("silence", fault(0, "stall"), Comes::NothingForMoney),
    ]
}

fn days_of_ears() -> Vec<Day> {
    let mut days = days_of_all();
    days.extend([
        ("slow", json!({ "pace": { "head_ms": 60_000 } }), Comes::NothingForMoney),
        ("a break in the middle", fault(1, "drop"), Comes::NothingForMoney),
        ("an end in the middle", fault(1, "close"), Comes::NothingForMoney),
        (
            "an error as its answer",
            json!({ "faults": [{ "at": 0, "kind": "error", "error": "server_error" }] }),
            Comes::Nothing,
        ),
        ("odd bytes", fault(0, "garbage"), Comes::Nothing),
        ("pieces that end anywhere", fault(0, "cut"), Comes::All),
    ]);
    days
}

fn days_of_mouths() -> Vec<Day> {
    // What was sent before is heard before.
    let then = |fault: Value| json!({ "faults": [{ "at": 1, "kind": "wait", "ms": 300 }, fault] });
    let mut days = days_of_all();
    days.extend([
        // A socket that does not open was asked nothing.
        ("slow", json!({ "pace": { "head_ms": 60_000 } }), Comes::Nothing),
        (
            "an error as its answer",
            json!({ "faults": [{ "at": 0, "kind": "error", "error": "quota_exceeded", "code": 1008 }] }),
            Comes::Nothing,
        ),
        (
            "an end without a sound",
            json!({ "faults": [{ "at": 0, "kind": "skip" }, { "at": 1, "kind": "skip" }] }),
            Comes::Nothing,
        ),
        ("a break in the middle", then(json!({ "at": 1, "kind": "drop" })), Comes::Part),
        ("a close in the middle", then(json!({ "at": 1, "kind": "close", "code": 1011 })), Comes::Part),
        (
            "an error in the middle",
            then(json!({ "at": 1, "kind": "error", "error": "system_busy", "code": 1008 })),
            Comes::Part,
        ),
        (
            "odd bytes between",
            json!({ "faults": [{ "at": 0, "kind": "garbage" }, { "at": 1, "kind": "garbage" }] }),
            Comes::All,
        ),
    ]);
    days
}

fn fault(at: u32, kind: &str) -> Value {
    json!({ "faults": [{ "at": at, "kind": kind }] })
}

/// A call on such a day: with a stand-in or alone.
#[derive(Debug)]
struct Lived {
    day: &'static str,
    comes: Comes,
    is_alone: bool,
    report: Report,
    degraded: Vec<(Ability, bool)>,
    rows: Vec<LedgerRow>,
}

impl Lived {
    /// How much of this is in its rows.
    fn quantity(&self, item: &str, unit: &str) -> u64 {
        let of = self.rows.iter().filter(|row| row.item == item && row.unit == unit);
        of.map(|row| row.quantity).sum()
    }

    /// The last turn of this side.
    fn said(&self, role: Role) -> &str {
        let turn = self.report.turns.iter().rfind(|turn| turn.role == role);
        turn.map_or("", |turn| turn.text.trim())
    }

    /// What is told where something is wrong.
    fn words(&self) -> String {
        let Lived { day, is_alone, report, degraded, rows, .. } = self;
        let Report { turns, errors, ended, .. } = report;
        format!("{day}, alone: {is_alone}: {ended:?} {turns:?} {errors:?} {degraded:?} {rows:?}")
    }
}

/// One relay whose agents live through these days, each with a provider of its own.
struct Bench {
    folder: tempfile::TempDir,
    relay: Relay,
    days: Vec<Day>,
    /// Where those are who have the bad days, in their order.
    tried: Vec<u16>,
    /// Where all others are.
    well: u16,
}

impl Bench {
    /// Agents have `own` in this list, on this wire, and `other` behind it.
    async fn start(list: &str, wire: &str, own: &Provider, other: &Provider, days: Vec<Day>) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
        let well = stand_ins::start().await;
        let speaks = json!({ "sound_ms": SOUND_MS });
        script(well, "deepgram.speak", &json!({ "times": FOR_EVER, "speak": speaks })).await;
        let mind = Provider("openai-chat", "chat", "own/mind", "");
        let mut providers = [mind.table("mind", well), other.table("other", well)].concat();
        let mut agents = "[agents]\ndefault = \"day0\"\n".to_owned();
        let mut tried = Vec::new();
        for (at, (_, act, _)) in days.iter().enumerate() {
            let port = stand_ins::start().await;
            tried.push(port);
            let mut act = act.clone();
            act["times"] = json!(FOR_EVER);
            act["speak"] = speaks.clone();
            script(port, wire, &act).await;
            for (name, others) in [(format!("day{at}"), ", \"other\""), (format!("alone{at}"), "")] {
                providers += &own.table(&name, port);
                agents += &format!("[agents.{name}]\nllm = \"mind\"\n{list} = [\"{name}\"{others}]\n");
            }
        }
        let limits = "[limits]\nsessions_per_user = 100\nsessions_per_minute = 100\n[network]\nsessions_per_minute_per_address = 100\npre_login_connections_per_address = 100\n[prices]\nfile = \"prices.toml\"\n";
        let relay = Relay::start(folder.path(), "127.0.0.1:0", &[limits, &agents, &providers].concat()).await;
        Bench { folder, relay, days, tried, well }
    }

    /// Where those are who have a day like any other.
    fn as_ever(&self) -> Vec<u16> {
        let days = self.days.iter().zip(&self.tried);
        days.filter(|((_, _, comes), _)| *comes == Comes::All).map(|(_, port)| *port).collect()
    }

    /// All calls side by side. `says` is what a call says, which is alone or not.
    async fn live(self, says: fn(Options, bool) -> Options) -> Vec<Lived> {
        let mut calls = Vec::new();
        for (at, &(day, _, comes)) in self.days.iter().enumerate() {
            for (is_alone, kind) in [(false, "day"), (true, "alone")] {
                let options = Options {
                    agent: Some(format!("{kind}{at}")),
                    longest: Duration::from_secs(60),
                    ..Options::new(
                        self.relay.url(),
                        token_but(&json!({ "app_metadata": { "agents": "*" } })),
                        Vec::new(),
                    )
                };
                calls.push((day, comes, is_alone, tokio::spawn(call(says(options, is_alone)))));
            }
        }
        let mut lived = Vec::new();
        for (day, comes, is_alone, call) in calls {
            let (report, degraded) = call.await.expect("no panic");
            lived.push(Lived { day, comes, is_alone, report, degraded, rows: Vec::new() });
        }
        self.relay.terminate().await;
        let database = self.folder.path().join("data").join(DATABASE_FILE);
        let store = SqlStore::sqlite(&database).await.expect("it is there");
        for call in &mut lived {
            let id = call.report.session_id.clone().unwrap_or_else(|| panic!("no session: {}", call.words()));
            call.rows = store.ledger(&id).await.expect("readable");
            let words = call.words();
            assert_eq!(call.report.ended, Some(CloseCode::Normal), "{words}");
            let cost: u64 = call.rows.iter().map(|row| row.cost.get()).sum();
            assert_eq!(cost, call.report.usage.cost_nano_usd, "the page is told what is booked: {words}");
        }
        lived
    }
}

/// A call, and what the page was told that does not work, or does again.
async fn call(options: Options) -> (Report, Vec<(Ability, bool)>) {
    let mut degraded = Vec::new();
    let report = run(options, |event| {
        if let Event::Degraded(told) = event {
            degraded.push((told.what, told.degraded));
        }
    })
    .await;
    (report, degraded)
}

async fn script(port: u16, wire: &str, act: &Value) {
    ask(port, "POST", "/script", &json!({ wire: [act] }).to_string()).await;
}

/// What they bill of this, request by request.
async fn billed(ports: &[u16], wire: &str, what: &str) -> Vec<f64> {
    let mut billed = Vec::new();
    for port in ports {
        let log: Value = serde_json::from_str(&ask(*port, "GET", "/log", "").await).expect("JSON");
        let requests = log["requests"].as_array().expect("a list").iter();
        let of = requests.filter(|request| request["wire"] == *wire);
        billed.extend(of.filter_map(|request| request["bill"][what].as_f64()));
    }
    billed
}

#[tokio::test(flavor = "multi_thread")]
async fn on_each_bad_day_of_a_recogniser_of_utterances_another_one_hears_or_the_user_is_told_and_nobody_pays_twice()
 {
    let deadlines = "connect_timeout_seconds = 2\ntimeout_seconds = 2";
    let own = Provider("openai-transcription", "whisper-1", "own/ears", deadlines);
    let other = Provider("openai-transcription", "whisper-1", "other/ears", "");
    let bench = Bench::start("stt", EARS, &own, &other, days_of_ears()).await;
    let (as_ever, well) = (bench.as_ever(), bench.well);
    let lived = bench
        .live(|options, is_alone| {
            // Whom nobody hears nobody answers: they hang up when they have been told that, which is when recognisers have failed for ten seconds.
            let quiet = if is_alone { 18.0 } else { 1.5 };
            let speech = [silence(0.5), voice(2.0), silence(quiet)].concat();
            Options { speech, waits_for_answer: !is_alone, ..options }
        })
        .await;
    let (mut by_own, mut by_other) = (0, 0);
    for call in &lived {
        let (comes, is_alone, words) = (call.comes, call.is_alone, call.words());
        let is_heard = comes == Comes::All || !is_alone;
        assert_eq!(call.said(Role::User).to_lowercase().starts_with("word one"), is_heard, "{words}");
        assert_eq!(call.said(Role::Agent).starts_with("You said: "), is_heard, "{words}");
        let told: &[(Ability, bool)] = if is_heard { &[] } else { &[(Ability::Hearing, true)] };
        assert_eq!(call.degraded, told, "{words}");
        let errors = call.report.errors.iter();
        let not_heard = errors.filter(|error| error.starts_with("not_heard: ")).count();
        let expected = usize::from(!is_heard);
        assert_eq!((not_heard, call.report.errors.len()), (expected, expected), "{words}");

        let own = call.quantity("own/ears", "utterance_sample");
        let other = call.quantity("other/ears", "utterance_sample");
        assert_eq!((own > 0, other > 0), (comes == Comes::All, is_heard && comes != Comes::All), "{words}");
        by_own += own;
        by_other += other;
        let again = call.quantity("own/ears", "repeated_sample");
        let may_be_billed = comes == Comes::NothingForMoney;
        assert_eq!((again > 0, again > 16_000), (may_be_billed, may_be_billed), "{words}");
        let mut repeated = call.rows.iter().filter(|row| row.unit == "repeated_sample");
        assert!(repeated.all(|row| row.cost.get() == 0), "{words}");
        assert!(call.rows.iter().all(|row| !row.estimated), "{words}");
    }
    // They bill whole seconds.
    for (heard, by) in [(by_own, as_ever), (by_other, vec![well])] {
        let seconds: f64 = billed(&by, EARS, "seconds").await.into_iter().map(f64::ceil).sum();
        assert!((heard as f64 / 16_000.0 - seconds).abs() < 0.01, "{heard} samples of {seconds} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_each_bad_day_of_a_voice_that_says_when_its_words_are_spoken_each_word_is_heard_once_or_is_text_and_is_booked()
 {
    let and_deadlines = "voice = \"Rachel\"\nconnect_timeout_seconds = 2\ntimeout_seconds = 2";
    let own = Provider("elevenlabs", "eleven_flash_v2_5", "elevenlabs/eleven_flash_v2_5", and_deadlines);
    let other = Provider("deepgram-aura", "aura-2-thalia-en", "deepgram/aura-2", "");
    let bench = Bench::start("tts", MOUTH, &own, &other, days_of_mouths()).await;
    let (as_ever, well) = (bench.as_ever(), bench.well);
    script(well, "openai.chat", &json!({ "times": FOR_EVER, "think": { "text": ANSWER } })).await;
    let lived = bench.live(|options, _| Options { texts: vec!["Count.".to_owned()], ..options }).await;
    let characters = ANSWER.chars().count() as u64;
    let (mut by_own, mut by_other) = (0, 0);
    for call in &lived {
        let (comes, is_alone, words) = (call.comes, call.is_alone, call.words());
        assert!(call.report.is_good() && call.report.errors.is_empty(), "{words}");
        assert_eq!(call.said(Role::Agent), ANSWER, "{words}");
        let is_mute = is_alone && comes != Comes::All;
        let told: &[(Ability, bool)] = if is_mute { &[(Ability::Speaking, true)] } else { &[] };
        assert_eq!(call.degraded, told, "{words}");

        // The voice with the bad day gives its sound in two pieces, and the one behind it in one.
        let own = match comes {
            Comes::Nothing | Comes::NothingForMoney => 0,
            Comes::Part => 1,
            Comes::All => 2,
        };
        let pieces = own + u32::from(!is_alone && comes != Comes::All);
        let (heard, said) = (loud_seconds(&call.report.heard), f64::from(pieces * SOUND_MS) / 1_000.0);
        assert!((heard - said).abs() < 0.25, "{heard} s were heard of {said} s: {words}");

        let own = call.quantity("elevenlabs/eleven_flash_v2_5", "character");
        let other = call.quantity("deepgram/aura-2", "character");
        // With the space behind the last word.
        let given = characters + 1;
        let expected = match comes {
            Comes::Nothing => (0, characters),
            Comes::NothingForMoney => (given, characters),
            // It was given all of it, and the stand-in what it has not spoken.
            Comes::Part => (given, LAST_WORD.len() as u64),
            Comes::All => (given, 0),
        };
        assert_eq!((own, other), (expected.0, if is_alone { 0 } else { expected.1 }), "{words}");
        let estimates = call.rows.iter().filter(|row| row.estimated);
        assert_eq!(estimates.count(), usize::from(own > 0 && comes != Comes::All), "{words}");
        by_own += if comes == Comes::All { own } else { 0 };
        by_other += other;
    }
    for (spoken, by, wire) in [(by_own, as_ever, MOUTH), (by_other, vec![well], "deepgram.speak")] {
        let billed: f64 = billed(&by, wire, "characters").await.into_iter().sum();
        assert!((spoken as f64 - billed).abs() < 0.5, "{spoken} characters of {billed}");
    }
}
