//! A relay that reads its configuration again while it runs: what it shows of itself before and after, and what is different then.

#[path = "reload/changed.rs"]
mod changed;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use protocol::{AudioHeader, Bye, ClientMessage, CloseCode, Codec};
use relay::operations::telemetry::{Kind, METRICS};
use serde_json::json;
use tests::http::get;
use tests::ports::free_address;
use tests::sound::voice;
use tests::stand_ins::{self, PRICES, Provider, ask};
use tests::{Raw, Relay};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

/// Gauges of what goes up and down by itself.
const MOVES: [&str; 7] = [
    "process_",
    "voxrelay_data_free_bytes",
    "voxrelay_lease_margin_seconds",
    "voxrelay_spill_bytes",
    "voxrelay_store_connections",
    // Sockets come and go with what is heard. When the call is over there is none.
    IN_USE,
    AHEAD,
];
const IN_USE: &str = "voxrelay_provider_in_use";
const AHEAD: &str = "voxrelay_provider_sockets_ahead";

/// The series of every gauge, with their labels.
async fn gauges(metrics: SocketAddr) -> BTreeMap<String, f64> {
    let text = get(metrics, "/metrics").await;
    let is_gauge = |series: &str| {
        let name = series.split('{').next().unwrap_or_default();
        METRICS.iter().any(|metric| metric.kind == Kind::Gauge && metric.name == name)
    };
    let series = text.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(series, _)| is_gauge(series));
    series.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect()
}

/// Waits until it holds of the gauges, and returns them.
async fn until(
    metrics: SocketAddr,
    what: &str,
    holds: impl Fn(&BTreeMap<String, f64>) -> bool,
) -> BTreeMap<String, f64> {
    let since = Instant::now();
    loop {
        let gauges = gauges(metrics).await;
        if holds(&gauges) {
            return gauges;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{what}: {gauges:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn of(gauge: &str, provider: &str) -> String {
    format!("{gauge}{{provider=\"{provider}\"}}")
}

/// Those that stay as they are where nothing happens.
fn still(mut gauges: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    gauges.retain(|series, _| !MOVES.iter().any(|name| series.starts_with(name)));
    gauges
}

#[tokio::test(flavor = "multi_thread")]
async fn every_gauge_is_what_it_was_after_an_unchanged_configuration_is_read_again() {
    let port = stand_ins::start().await;
    // A key that is refused keeps the breaker open for minutes.
    let script = json!({ "openai.chat": [{ "times": 99, "refuse": { "status": 401 } }] });
    ask(port, "POST", "/script", &script.to_string()).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
    let metrics = free_address();
    let mut config = format!(
        "[metrics]\nlisten = \"{metrics}\"\n[prices]\nfile = \"prices.toml\"\n[agents]\ndefault = \"host\"\n\
        [agents.host]\nstt = \"ears\"\nllm = \"mind\"\ntts = \"mouth\"\n"
    );
    for (name, provider) in [
        ("ears", Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"")),
        ("mind", Provider("openai-chat", "small", "openai/chat", "")),
        ("mouth", Provider("deepgram-aura", "aura-2-thalia-en", "deepgram/aura-2", "")),
    ] {
        config += &provider.table(name, port);
    }
    let path = folder.path().join("log");
    let log = std::fs::File::create(&path).expect("ours");
    let relay = Relay::start_logging(folder.path(), "127.0.0.1:0", &config, Stdio::from(log)).await;
    let (mut raw, _) = Raw::welcomed(&relay, "ada").await;
    for (seq, samples) in (0..).zip(voice(1.0).chunks(1_600)) {
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le16000, seq, seq * 1_600, &mut frame);
        frame.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        raw.send(Message::binary(frame)).await;
    }
    let typed = json!({ "type": "text", "seq": 10, "position": 16_000, "text": "Is anybody there?" });
    raw.say(&typed.to_string()).await;
    let is_as_wanted = |gauges: &BTreeMap<String, f64>| {
        let value = |series: String| gauges.get(&series).copied();
        value(of("voxrelay_provider_circuit", "mind")) == Some(2.0) && value(of(IN_USE, "ears")) >= Some(1.0)
    };
    let before =
        still(until(metrics, "the model is not asked, and the recogniser listens", is_as_wanted).await);

    relay.signal("-HUP").await;
    let since = Instant::now();
    while !std::fs::read_to_string(&path).expect("ours").contains("read again, and applies") {
        assert!(since.elapsed() < Duration::from_secs(30), "it is not read again");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(still(gauges(metrics).await), before);
    assert!(
        before.contains_key("voxrelay_sessions_live") && before.contains_key("voxrelay_ready"),
        "{before:?}"
    );

    // What a call has given back is not counted twice: where a gauge was set to 0 meanwhile, it is below that now.
    raw.say(&ClientMessage::from(Bye { end: 11 }).to_json()).await;
    assert_eq!(raw.end().await.1, CloseCode::Normal.code());
    until(metrics, "nothing is in use", |gauges| {
        let mut used = gauges.iter().filter(|(name, _)| name.starts_with(IN_USE) || name.starts_with(AHEAD));
        used.all(|(_, value)| *value == 0.0)
    })
    .await;
    relay.terminate().await;
}
