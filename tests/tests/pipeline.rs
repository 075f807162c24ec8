//! A spoken conversation through the relay with each kind of provider, against stand-ins that were built from the providers' documents and
//! are held to their official clients: what is said is heard, answered, spoken, stored, and billed as the providers would bill it.

#[path = "pipeline/cloud.rs"]
mod cloud;
#[path = "pipeline/collector.rs"]
mod collector;
#[path = "pipeline/eager.rs"]
mod eager;
#[path = "pipeline/handed_off.rs"]
mod handed_off;
#[path = "pipeline/muted.rs"]
mod muted;
#[path = "pipeline/taken_over.rs"]
mod taken_over;
#[path = "pipeline/unlogged.rs"]
mod unlogged;

use std::path::Path;

use collector::{Collected, attributes};
use protocol::{
    AudioHeader, Bye, ClientAck, ClientMessage, Codec, Latency, Mute, Playback, RelayMessage, Role,
};
use relay::money::ledger::LedgerRow;
use relay::records::store::{CREDITED_BY_RELAY, Credit, CreditFilter, DATABASE_FILE, SqlStore, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::http::metric;
use tests::ports::free_address;
use tests::sound::{silence, voice};
use tests::stand_ins::{self, PRICES, Provider, ask};
use tests::{Heard, Raw, Relay};
use tokio::time::{Duration, Instant, sleep_until, timeout_at};

const CHUNK: usize = 1_600;

async fn get(port: u16, path: &str) -> Value {
    serde_json::from_str(&ask(port, "GET", path, "").await).expect("JSON")
}

fn config(port: u16, stt: &Provider, llm: &Provider, tts: &Provider) -> String {
    let mut config =
        "[agents]\ndefault = \"host\"\n[agents.host]\nstt = \"ears\"\nllm = \"mind\"\ntts = \"mouth\"\n\
        instructions = \"Be brief.\"\n[prices]\nfile = \"prices.toml\"\n"
            .to_owned();
    for (name, provider) in [("ears", stt), ("mind", llm), ("mouth", tts)] {
        config += &provider.table(name, port);
    }
    config
}

/// A relay with this configuration, and its folder.
async fn started(config: &str) -> (TempDir, Relay) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", config).await;
    (folder, relay)
}

#[derive(Debug, Default)]
struct Told {
    session: String,
    user: Vec<String>,
    agent: Vec<String>,
    audio_bytes: usize,
    /// How much sound had come when each turn of the user was over.
    sound_before: Vec<usize>,
    latencies: Vec<Latency>,
    errors: Vec<String>,
    closed: u16,
}

/// A caller who speaks chunk by chunk, ten of them a second, and hears what comes meanwhile.
struct Talk {
    raw: Raw,
    told: Told,
    resume_token: String,
    begun: Instant,
    seq: u32,
    received: u32,
    played: u32,
    answered: Option<Instant>,
}

impl Talk {
    async fn begin(relay: &Relay) -> Talk {
        let (raw, welcome) = Raw::welcomed(relay, "ada").await;
        Talk {
            raw,
            told: Told { session: welcome.session_id, ..Told::default() },
            resume_token: welcome.resume_token,
            begun: Instant::now(),
            seq: 0,
            received: 0,
            played: 0,
            answered: None,
        }
    }

    /// Speaks for two seconds, and is silent until that is answered and the answer has been played.
    async fn ask(&mut self) {
        self.ask_by(&[silence(0.5), voice(2.0), silence(1.0)].concat()).await;
    }

    /// Says this, and is silent until that is answered and the answer has been played.
    async fn ask_by(&mut self, speech: &[i16]) {
        self.answered = None;
        for chunk in speech.chunks(CHUNK) {
            self.say(chunk).await;
        }
        let (quiet, asked) = (silence(0.1), self.seq);
        while self.answered.is_none_or(|answered| answered + Duration::from_secs(2) > Instant::now()) {
            self.say(&quiet).await;
            assert!(self.seq < asked + 265, "it was not answered in 26 s: {:?}", self.told);
        }
    }

    async fn say(&mut self, chunk: &[i16]) {
        let due = self.begun + Duration::from_millis(u64::from(self.seq) * 100);
        sleep_until(due).await;
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le16000, self.seq, self.seq * CHUNK as u32, &mut frame);
        frame.extend(chunk.iter().flat_map(|sample| sample.to_le_bytes()));
        self.raw.send(tokio_tungstenite::tungstenite::Message::binary(frame)).await;
        self.seq += 1;
        self.hear_until(due + Duration::from_millis(90)).await;
    }

    /// Hears what the relay says until then, and acknowledges it.
    async fn hear_until(&mut self, until: Instant) {
        while let Ok(heard) = timeout_at(until, self.raw.next()).await {
            match heard {
                Heard::Said(RelayMessage::Transcript(turn)) => {
                    self.received += 1;
                    if turn.last && turn.role == Role::User {
                        self.told.user.push(turn.text);
                        self.told.sound_before.push(self.told.audio_bytes);
                    } else if turn.last {
                        self.told.agent.push(turn.text);
                        self.answered = Some(Instant::now());
                    }
                }
                Heard::Said(RelayMessage::ErrorMessage(error)) => self.told.errors.push(error.code),
                Heard::Said(RelayMessage::Latency(latency)) => {
                    self.received += 1;
                    self.told.latencies.push(latency);
                }
                Heard::Said(message) => self.received += u32::from(is_numbered(&message)),
                Heard::Audio(bytes) => {
                    self.received += 1;
                    let payload = bytes - protocol::HEADER_LEN;
                    self.told.audio_bytes += payload;
                    self.played += (payload / 2) as u32;
                }
                Heard::Closed(code) => panic!("closed with {code}: {:?}", self.told),
                Heard::Other => {}
            }
        }
        let ack = ClientAck { received: self.received, played: self.played };
        self.raw.say(&ClientMessage::from(ack).to_json()).await;
    }

    async fn mute(&mut self, muted: bool) {
        self.raw.say(&ClientMessage::from(Mute { muted }).to_json()).await;
    }

    /// Puts the call on hold as the SDK does, or goes on.
    async fn hold(&mut self, held: bool) {
        self.mute(held).await;
        self.raw.say(&ClientMessage::from(Playback { held }).to_json()).await;
    }

    async fn hang_up(mut self) -> Told {
        self.raw.say(&ClientMessage::from(Bye { end: self.seq }).to_json()).await;
        let (errors, closed) = self.raw.end().await;
        self.told.errors.extend(errors);
        self.told.closed = closed;
        self.told
    }
}

/// Asks once, and hangs up.
async fn talk(relay: &Relay) -> Told {
    let mut talk = Talk::begin(relay).await;
    talk.ask().await;
    talk.hang_up().await
}

fn is_numbered(message: &RelayMessage) -> bool {
    matches!(
        message,
        RelayMessage::AgentStateMessage(_)
            | RelayMessage::ReplyEnd(_)
            | RelayMessage::Flush(_)
            | RelayMessage::Degraded(_)
            | RelayMessage::Budget(_)
    )
}

async fn holds(stt: Provider, llm: Provider, tts: Provider) {
    let port = stand_ins::start().await;
    let metrics = free_address();
    let config = config(port, &stt, &llm, &tts) + &format!("[metrics]\nlisten = \"{metrics}\"\n");
    let (folder, relay) = started(&config).await;
    let told = talk(&relay).await;
    assert_eq!((told.closed, told.errors.as_slice()), (1000, &[][..]), "{told:?}");
    assert_eq!(told.user.len(), 1, "{told:?}");
    for stage in ["llm", "tts", "total"] {
        let count = metric(metrics, &format!("voxrelay_answer_seconds_count{{stage=\"{stage}\"}}")).await;
        assert_eq!(count, 1.0, "{stage} of one answer: {told:?}");
    }
    assert!(told.user[0].to_lowercase().contains("one"), "{told:?}");
    let answer = told.agent.last().expect("answered");
    assert!(answer.starts_with("You said"), "{told:?}");
    assert!(told.audio_bytes > 24_000, "half a second of sound at least: {told:?}");
    relay.terminate().await;
    check_bill(folder.path(), port, &told, [&stt, &llm, &tts]).await;
    check_let_go(port).await;
}

/// Each recogniser that was fed was told at last that nothing more comes, and has ended as its wire has it.
async fn check_let_go(port: u16) {
    for request in heard(port).await {
        let last = request["feeds"].as_array().and_then(|feeds| feeds.last()).expect("it was fed");
        assert_eq!(last["message"], json!({"type": "CloseStream"}), "{request}");
        assert_eq!(request["ended"], json!("done"), "{request}");
    }
}

/// The ledger is what the stand-ins would bill.
async fn check_bill(folder: &Path, port: u16, told: &Told, [stt, llm, tts]: [&Provider; 3]) {
    let store = SqlStore::sqlite(&folder.join("data").join(DATABASE_FILE)).await.expect("it is there");
    let ledger = store.ledger(&told.session).await.expect("readable");
    let sum = |item: &str, unit: &str| -> u64 {
        ledger.iter().filter(|row| row.item == item && row.unit == unit).map(|row| row.quantity).sum()
    };
    let log = get(port, "/log").await;
    // A voice may be billed by tokens, too; these are by the character.
    let is_model =
        |request: &Value| ["openai.chat", "anthropic.messages"].iter().any(|wire| request["wire"] == *wire);
    let of = |field: &str| -> f64 {
        let requests = log["requests"].as_array().expect("a list").iter();
        let counted = requests.filter(|request| !field.ends_with("tokens") || is_model(request));
        counted.map(|request| request["bill"][field].as_f64().unwrap_or_default()).sum()
    };
    assert!(
        log["requests"].as_array().expect("a list").iter().all(|request| request["key"] == json!("right")),
        "{log}"
    );
    let characters = sum(tts.2, "character") as f64;
    assert!((characters - of("characters")).abs() < 0.5, "{characters} of {log}");
    let output = sum(llm.2, "output_token") as f64;
    assert!((output - of("output_tokens")).abs() < 0.5, "{output} of {log}");
    let input = (sum(llm.2, "input_token") + sum(llm.2, "cached_token") + sum(llm.2, "written_token")) as f64;
    let asked = of("input_tokens") + of("cache_read_input_tokens") + of("cache_creation_input_tokens");
    assert!((input - asked).abs() < 0.5, "{input} of {log}");
    let unit = if stt.0 == "openai-transcription" { "utterance_sample" } else { "sample" };
    let seconds = sum(stt.2, unit) as f64 / 16_000.0;
    // What an utterance cost is the turn's that was said with it.
    let utterances = ledger.iter().filter(|row| row.unit == "utterance_sample");
    assert!(utterances.clone().all(|row| row.turn == Some(0)), "{ledger:?}");
    // Transcriptions say whole seconds.
    let most = if unit == "sample" { 0.25 } else { 1.0 };
    assert!((seconds - of("seconds")).abs() < most, "{seconds} s of {log}");
    assert!(ledger.iter().all(|row| !row.estimated), "everything was told: {ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_deepgram_an_openai_compatible_model_and_an_openai_compatible_voice() {
    holds(
        Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\""),
        Provider("openai-chat", "small", "openai/chat", ""),
        Provider("openai-speech", "tts-1", "openai/tts-1", ""),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_flux_anthropic_and_aura() {
    holds(
        Provider("deepgram-flux", "flux-general-en", "deepgram/flux-general-en", ""),
        Provider("anthropic", "claude-haiku-5-5", "anthropic/claude-haiku-5-5", ""),
        Provider("deepgram-aura", "aura-2-thalia-en", "deepgram/aura-2", ""),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_transcribed_utterances_anthropic_and_elevenlabs() {
    holds(
        Provider("openai-transcription", "whisper-1", "openai/whisper", ""),
        Provider("anthropic", "claude-haiku-5-5", "anthropic/claude-haiku-5-5", ""),
        Provider("elevenlabs", "eleven_flash_v2_5", "elevenlabs/eleven_flash_v2_5", "voice = \"Rachel\""),
    )
    .await;
}

/// The connections to recognisers that are fed and were given sound.
async fn heard(port: u16) -> Vec<Value> {
    let log = get(port, "/log").await;
    let is_fed =
        |request: &&Value| request["wire"] == "deepgram.listen" || request["wire"] == "deepgram.flux";
    let requests = log["requests"].as_array().expect("a list").iter().filter(is_fed);
    requests.filter(|request| request["bill"]["seconds"] != json!(0.0)).cloned().collect()
}

/// Whether each of them is over.
async fn recognisers(port: u16) -> Vec<bool> {
    heard(port).await.iter().map(|request| !request["ended"].is_null()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_on_hold_lets_its_recogniser_go_and_another_one_hears_what_is_said_after_it() {
    let stt = Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    let (folder, relay) = started(&config(port, &stt, &llm, &tts)).await;
    let mut talk = Talk::begin(&relay).await;
    talk.ask().await;
    assert_eq!(recognisers(port).await, [false], "one hears the call");

    let held = Instant::now();
    talk.hold(true).await;
    while recognisers(port).await != [true] {
        assert!(held.elapsed() < Duration::from_secs(20), "it is kept: {:?}", talk.told);
        talk.hear_until(Instant::now() + Duration::from_millis(200)).await;
    }
    talk.hold(false).await;
    talk.begun += held.elapsed();
    talk.ask().await;
    assert_eq!(recognisers(port).await, [true, false], "another one hears the rest");

    let told = talk.hang_up().await;
    assert_eq!((told.closed, told.errors.as_slice(), told.user.len()), (1000, &[][..], 2), "{told:?}");
    assert!(told.user.iter().all(|text| text.to_lowercase().contains("one")), "{told:?}");
    relay.terminate().await;
    check_bill(folder.path(), port, &told, [&stt, &llm, &tts]).await;
    check_let_go(port).await;
}

/// The rows of the ledger by which a call was heard, what they come to in samples, and the credits, of a call whose recogniser says at its end that
/// it has heard so much.
async fn billed_late(says_ms: u64) -> (Vec<LedgerRow>, u64, Vec<Credit>) {
    let stt = Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    let script = json!({"deepgram.listen": [{"times": 99, "hear": {"says_ms": says_ms}}]});
    ask(port, "POST", "/script", &script.to_string()).await;
    let (folder, relay) = started(&config(port, &stt, &llm, &tts)).await;
    let told = talk(&relay).await;
    assert_eq!((told.closed, told.errors.as_slice()), (1000, &[][..]), "{told:?}");
    relay.terminate().await;
    check_let_go(port).await;
    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("it is there");
    let mut rows = store.ledger(&told.session).await.expect("readable");
    rows.retain(|row| row.item == "deepgram/nova-3");
    let heard = rows.iter().filter(|row| row.unit == "sample").map(|row| row.quantity).sum();
    let credits = store.list_credits(&CreditFilter::default(), None, 10).await.expect("readable").rows;
    for credit in &credits {
        assert!(credit.key.starts_with(&format!("{}/deepgram/nova-3@", told.session)), "{credit:?}");
    }
    (rows, heard, credits)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_deepgram_says_after_a_call_that_it_bills_is_a_row_of_the_operators_a_credit_or_nothing() {
    let (more, less, nothing) = tokio::join!(billed_late(120_000), billed_late(500), billed_late(0));
    let excess = |rows: &[LedgerRow]| -> Vec<LedgerRow> {
        rows.iter().filter(|row| row.unit == "excess_sample").cloned().collect()
    };
    let (rows, heard, credits) = more;
    let beyond = excess(&rows);
    let [row] = &beyond[..] else { panic!("{rows:?}") };
    assert!(row.key.ends_with(".late/excess_sample") && row.request_id.is_some(), "{row:?}");
    assert_eq!(
        (row.cost.get(), credits),
        (0, Vec::new()),
        "nobody is charged, and nobody gets anything back"
    );
    assert!((row.quantity + heard).abs_diff(120 * 16_000) <= 4_000, "{row:?} beside {heard}");

    let (rows, heard, credits) = less;
    assert_eq!(excess(&rows), []);
    let [credit] = &credits[..] else { panic!("{credits:?} {rows:?}") };
    assert!(credit.key.ends_with(".late"), "{credit:?}");
    assert_eq!((credit.user_sub.as_deref(), &*credit.created_by), (Some("ada"), CREDITED_BY_RELAY));
    let worth = |samples: u64| samples * rows[0].price.get() / rows[0].per;
    let amount = credit.amount.get();
    let due = worth(heard - 8_000 - 4_000)..=worth(heard - 8_000);
    assert!(due.contains(&amount), "{credit:?} of {rows:?}");

    let (rows, _, credits) = nothing;
    assert_eq!((excess(&rows), credits), (Vec::new(), Vec::new()), "a server that says 0 does not count");
}

/// A call in which each turn of the user but the first is words that the agent has just said, so long after the agent.
async fn answers_in_its_words(stt: Provider) -> Told {
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    let (_folder, relay) = started(&config(port, &stt, &llm, &tts)).await;
    let mut talk = Talk::begin(&relay).await;
    for pause in [0.5, 0.1, 1.0, 2.2] {
        talk.ask_by(&[silence(pause), voice(0.9), silence(1.0)].concat()).await;
    }
    let told = talk.hang_up().await;
    relay.terminate().await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_in_the_agents_own_words_is_answered_whichever_recogniser_hears_them() {
    let (listen, flux, utterances) = tokio::join!(
        answers_in_its_words(Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"")),
        answers_in_its_words(Provider("deepgram-flux", "flux-general-en", "deepgram/flux-general-en", "")),
        answers_in_its_words(Provider("openai-transcription", "whisper-1", "openai/whisper", "")),
    );
    for told in [listen, flux, utterances] {
        assert_eq!((told.closed, told.errors.as_slice()), (1000, &[][..]), "{told:?}");
        assert_eq!((told.user.len(), told.agent.len()), (4, 4), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_muted_for_longer_than_flux_waits_is_not_told_that_nobody_hears_them_and_is_heard_afterwards()
{
    let stt = Provider("deepgram-flux", "flux-general-en", "deepgram/flux-general-en", "");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    // It closes what nothing comes over after four seconds, and not after ten.
    let script = json!({"deepgram.flux": [{"times": 99, "idle_ms": 4_000}]});
    ask(port, "POST", "/script", &script.to_string()).await;
    let (folder, relay) = started(&config(port, &stt, &llm, &tts)).await;
    let mut talk = Talk::begin(&relay).await;
    talk.ask().await;
    assert_eq!(recognisers(port).await.last(), Some(&false), "one hears the call");

    let muted = Instant::now();
    talk.mute(true).await;
    while recognisers(port).await.last() != Some(&true) {
        assert!(muted.elapsed() < Duration::from_secs(20), "it is kept: {:?}", talk.told);
        talk.hear_until(Instant::now() + Duration::from_millis(200)).await;
    }
    talk.mute(false).await;
    talk.begun += muted.elapsed();
    talk.ask().await;
    assert_eq!(recognisers(port).await.last(), Some(&false), "another one hears the rest");

    let told = talk.hang_up().await;
    assert_eq!((told.closed, told.errors.as_slice(), told.user.len()), (1000, &[][..], 2), "{told:?}");
    relay.terminate().await;
    check_bill(folder.path(), port, &told, [&stt, &llm, &tts]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_a_trace_at_the_collector_with_the_figures_of_the_ledger_and_without_words() {
    let stt = Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"");
    let llm = Provider("anthropic", "claude-haiku-5-5", "anthropic/claude-haiku-5-5", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let (port, (endpoint, collected)) = (stand_ins::start().await, Collected::start().await);
    let traces = format!("[traces]\nendpoint = {endpoint:?}\nheaders = \"authorization=Bearer hunter2\"\n");
    let config = config(port, &stt, &llm, &tts) + &traces;
    let (folder, relay) = started(&config).await;
    let told = talk(&relay).await;
    relay.terminate().await;

    let spans = collected.spans();
    let roots: Vec<_> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    let [root] = roots[..] else { panic!("one turn: {spans:?}") };
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id), "{spans:?}");
    let below = spans.iter().filter(|span| !span.parent_span_id.is_empty());
    assert!(below.clone().all(|span| span.parent_span_id == root.span_id), "{spans:?}");
    assert!(below.clone().all(|span| root.start_time_unix_nano <= span.start_time_unix_nano), "{spans:?}");
    assert!(below.clone().all(|span| span.end_time_unix_nano <= root.end_time_unix_nano), "{spans:?}");

    let of_root = attributes(root);
    assert_eq!(of_root["session.id"], told.session);
    assert_eq!(of_root["voxrelay.interrupted"], "false");
    assert!(of_root.contains_key("voxrelay.latency.total_ms"), "{of_root:?}");
    let named = |operation: &str| -> Vec<_> {
        let all = below.clone().map(attributes);
        all.filter(|attributes| attributes["gen_ai.operation.name"] == operation).collect()
    };
    let (heard, chats, spoken) = (named("speech_to_text"), named("chat"), named("text_to_speech"));
    assert_eq!((heard.len(), chats.len()), (1, 1), "{spans:?}");
    assert_eq!(chats[0]["gen_ai.request.model"], "claude-haiku-5-5");
    assert_eq!(chats[0]["openinference.span.kind"], "LLM");

    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("it is there");
    let ledger = store.ledger(&told.session).await.expect("readable");
    let sum =
        |unit: &str| -> u64 { ledger.iter().filter(|row| row.unit == unit).map(|row| row.quantity).sum() };
    let input = sum("input_token") + sum("cached_token") + sum("written_token");
    assert_eq!(chats[0]["gen_ai.usage.input_tokens"], input.to_string(), "{ledger:?}");
    assert_eq!(chats[0]["gen_ai.usage.output_tokens"], sum("output_token").to_string(), "{ledger:?}");
    let characters =
        spoken.iter().map(|span| span["voxrelay.usage.character"].parse::<u64>().expect("a number"));
    assert_eq!(characters.sum::<u64>(), sum("character"), "{ledger:?}");

    assert!(collected.header("authorization").iter().all(|said| said == "Bearer hunter2"));
    assert!(collected.header("content-type").iter().all(|said| said == "application/x-protobuf"));
    let text = collected.text();
    let words = told.user.iter().chain(&told.agent);
    assert!(words.clone().all(|words| !words.is_empty() && !text.contains(&**words)), "{told:?}");
    assert!(!text.contains("hunter2") && !text.contains("You said") && !text.contains("\u{3}ada"));
}
