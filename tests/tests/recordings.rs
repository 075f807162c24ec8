//! Whole calls that are recorded in a bucket, and what the operator sees of them.

#[path = "../../relay/tests/support/s3.rs"]
#[expect(dead_code, reason = "each program of tests uses some of it")]
mod s3;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use protocol::client::{Event, State};
use protocol::{Bye, ClientMessage, Gap, Mark};
use relay::client::{Options, run};
use relay::operations::telemetry::{Kind, METRICS};
use relay::records::store::{SqlStore, Store};
use tempfile::TempDir;
use tests::ports::free_address;
use tests::postgres::shared;
use tests::sound::voice;
use tests::{AUDIENCE, ISSUER, Raw, Relay, SECRET, chunk, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

fn config(extra: &str) -> String {
    format!(
        "data_dir = \"data\"\n[auth]\nhs256_secret = {SECRET:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n{extra}"
    )
}

fn options(relay: &Relay, speech: Vec<i16>) -> Options {
    Options { longest: Duration::from_secs(60), ..Options::new(relay.url(), token(), speech) }
}

#[tokio::test]
async fn a_call_is_recorded_in_a_bucket_and_the_page_is_told() {
    let bucket = s3::Bucket::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let variables = bucket.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let config = config("[recording]\nurl = \"s3://calls/of/ours\"\n");
    let relay = Relay::start_in(folder.path(), "127.0.0.1:0", &config, &variables).await;
    let (raw, welcome) = Raw::welcomed(&relay, "bob").await;
    assert!(welcome.recording);
    drop(raw);

    let speech = [vec![0; 8_000], voice(1.5)].concat();
    let report = run(options(&relay, speech.clone()), |_| {}).await;
    assert!(report.is_good(), "{report:?}");
    let store =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let id = report.session_id.expect("there was a session");
    let key = store.session(&id).await.expect("readable").expect("stored").recording.expect("recorded");
    let object = timeout(Duration::from_secs(30), async {
        loop {
            match bucket.object(&format!("of/ours/{key}")) {
                Some(object) => break object,
                None => sleep(Duration::from_millis(50)).await,
            }
        }
    });
    let object = object.await.expect("it comes when the call has ended");
    let samples: Vec<i16> = hound::WavReader::new(&*object)
        .expect("a WAV file")
        .into_samples()
        .map(|sample| sample.expect("whole"))
        .collect();
    let left: Vec<i16> = samples.iter().step_by(2).copied().collect();
    assert_eq!(left[..speech.len()], speech, "to the sample");
    let loud = samples.chunks_exact(2).filter(|frame| frame[1].abs() > 1_000).count();
    assert!(loud > 8_000, "the echo is on the other side: {loud}");
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    timeout(Duration::from_secs(20), stream.read_to_string(&mut answer))
        .await
        .expect("in time")
        .expect("text");
    answer
}

/// The values of the series that begin so.
fn values<'a>(answer: &'a str, series: &'a str) -> impl Iterator<Item = u64> + 'a {
    let lines = answer.lines().filter(move |line| line.starts_with(series));
    lines.map(|line| line.rsplit_once(' ').expect("a value").1.parse().expect("a whole number"))
}

/// Everything that is served stands in the table, with its kind and no other labels, and the other way round but for what needs a provider. The
/// document, the dashboard and the alerts are held to the same table.
fn what_is_served_is_what_the_table_says(answer: &str) {
    let mut served = Vec::new();
    let body = answer.split_once("\r\n\r\n").expect("a head").1;
    for line in body.lines().filter(|line| !line.is_empty() && !line.starts_with("# HELP ")) {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let metric = METRICS.iter().find(|metric| metric.name == name);
            let metric = metric.unwrap_or_else(|| panic!("{name} is in no table"));
            assert_eq!(format!("{:?}", metric.kind).to_lowercase(), kind, "{name}");
            served.push(metric);
            continue;
        }
        // Samples follow the line with their kind.
        let metric = served.last().expect("a line with the kind comes first");
        let series = line.rsplit_once(' ').expect("a value").0;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let ending = name.strip_prefix(metric.name);
        let is_its = match metric.kind {
            Kind::Counter | Kind::Gauge => ending == Some(""),
            Kind::Histogram => matches!(ending, Some("_bucket" | "_sum" | "_count")),
        };
        assert!(is_its, "{line}");
        // No value of a label here has a quotation mark in it.
        let quoted = labels.split('"').step_by(2).map(|part| part.trim_matches([',', '=', '}']));
        let found: Vec<&str> = quoted.filter(|label| !label.is_empty() && *label != "le").collect();
        assert_eq!(found, metric.labels, "{line}");
    }
    let is_there = |name: &str| served.iter().any(|metric| metric.name == name);
    let missing: Vec<&str> =
        METRICS.iter().map(|metric| metric.name).filter(|name| !is_there(name)).collect();
    // On Linux alone the process is told of; a call to the echo agent asks no provider, and its answers have no stages.
    let needs_more = |name: &&str| {
        name.starts_with("voxrelay_provider_")
            || *name == "voxrelay_answer_seconds"
            || name.starts_with("process_") && cfg!(not(target_os = "linux"))
    };
    assert!(missing.iter().all(needs_more), "{missing:?}");
}

#[tokio::test]
async fn the_operator_sees_what_happens_and_nobodys_name() {
    let address = free_address().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&format!("[metrics]\nlisten = {address:?}\n"));
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let report = run(options(&relay, voice(1.0)), |_| {}).await;
    assert!(report.is_good(), "{report:?}");
    let refused = run(Options { token: "no token".into(), ..options(&relay, voice(0.5)) }, |_| {}).await;
    assert!(!refused.is_good());
    assert!(Raw::connect(&relay, Some("https://evil.test")).await.is_err());
    for (path, status) in [("/livez", 200), ("/v1/sessions/of-somebody", 401), ("/nowhere/ada", 404)] {
        assert_eq!(relay.status(path).await, status);
    }

    let answer = get(&address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for line in [
        "voxrelay_sessions_opened_total 1",
        "voxrelay_sessions_ended_total{reason=\"normal\"} 1",
        "voxrelay_sessions_live 0",
        "voxrelay_store_away 0",
        "voxrelay_refusals_total{code=\"origin\"} 1",
        "voxrelay_store_seconds_count{operation=\"open_session\"} 1",
        "# TYPE voxrelay_store_seconds histogram",
        "voxrelay_ready 1",
        "voxrelay_spill_entries{place=\"disk\"} 0",
        "voxrelay_http_requests_total{route=\"/livez\",method=\"GET\",status=\"2xx\"} 1",
        "voxrelay_http_requests_total{route=\"/v1/sessions/{id}\",method=\"GET\",status=\"4xx\"} 1",
        "voxrelay_http_requests_total{route=\"none\",method=\"GET\",status=\"4xx\"} 1",
    ] {
        assert!(answer.lines().any(|found| found == line), "no {line} in {answer}");
    }
    assert!(answer.contains("voxrelay_refusals_total{code=\"unauthorized\"} "), "{answer}");
    assert!(answer.contains("voxrelay_tokens_refused_total{cause=\"malformed\"} "), "{answer}");
    let settled = format!("voxrelay_settled_nano_usd_total {}", report.usage.cost_nano_usd);
    assert!(answer.lines().any(|found| found == settled), "no {settled} in {answer}");
    let cost: u64 = values(&answer, "voxrelay_cost_nano_usd_total{provider=\"echo\"").sum();
    assert_eq!(cost, report.usage.cost_nano_usd, "{answer}");
    let calls = "voxrelay_http_requests_total{route=\"/v1/call\",method=\"GET\",status=\"1xx\"}";
    assert!(values(&answer, calls).sum::<u64>() >= 2, "one was good and one was not: {answer}");
    assert!(values(&answer, "voxrelay_chunks_total{direction=\"up\"}").sum::<u64>() >= 10, "{answer}");
    assert!(values(&answer, "voxrelay_acknowledgement_seconds_count").sum::<u64>() > 0, "{answer}");
    assert!(values(&answer, "voxrelay_store_connections{pool=\"reads\"").sum::<u64>() > 0, "{answer}");
    let id = report.session_id.expect("there was a session");
    assert!(!answer.contains("ada") && !answer.contains(&id));
    what_is_served_is_what_the_table_says(&answer);
    assert!(get(&address, "/").await.starts_with("HTTP/1.1 404"));
    assert!(
        get(&relay.address.to_string(), "/metrics").await.starts_with("HTTP/1.1 404"),
        "not for everybody"
    );
}

#[tokio::test]
async fn a_disk_that_is_almost_full_is_left_to_calls_and_their_bills() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("[recording]\ndir = \"rec\"\nmin_free_mb = 100000000\n");
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let (raw, welcome) = Raw::welcomed(&relay, "bob").await;
    assert!(!welcome.recording, "and the page is told");
    drop(raw);
    let report = run(options(&relay, voice(1.0)), |_| {}).await;
    assert!(report.is_good(), "{report:?}");
}

/// Both sides of a recording, once it is in its place.
async fn sides(path: &Path) -> (Vec<i16>, Vec<i16>) {
    let there = timeout(Duration::from_secs(30), async {
        while !path.exists() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    there.await.expect("it comes to its place when the session has left");
    let reader = hound::WavReader::open(path).expect("a WAV file");
    let samples: Vec<i16> = reader.into_samples().map(|sample| sample.expect("whole")).collect();
    samples.chunks_exact(2).map(|frame| (frame[0], frame[1])).unzip()
}

#[tokio::test]
async fn deploys_in_mid_sentence_record_each_sample_once() {
    let address = free_address().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("[recording]\ndir = \"rec\"\n");
    let mut relay = Relay::start_with(folder.path(), &address, &config).await;
    let (connected, mut connections) = mpsc::channel(1);
    let speech = [vec![0; 8_000], voice(10.0)].concat();
    let call = tokio::spawn(run(options(&relay, speech.clone()), move |event| {
        if *event == Event::State(State::Connected) {
            let _ = connected.try_send(());
        }
    }));
    for _ in 0..2 {
        connections.recv().await.expect("connected");
        sleep(Duration::from_millis(3_300)).await;
        relay.terminate().await;
        relay = Relay::start_with(folder.path(), &address, &config).await;
    }
    let report = call.await.expect("no panic");
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.reconnects, report.missing()), (2, 0));

    let store =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let session = store.session(&report.session_id.expect("there was a session")).await.expect("readable");
    let session = session.expect("stored");
    assert_eq!(session.reconnects, 2, "as the client has counted");
    let mut user = Vec::new();
    for key in session.recording.expect("recorded").split(' ') {
        let (left, right) = sides(&folder.path().join("rec").join(key)).await;
        assert_eq!(left.len(), right.len());
        user.extend(left);
    }
    assert!(user.starts_with(&speech), "to the sample, and each once");
    assert_eq!(user.len() as u64, session.audio_samples, "what is recorded is what was metered");
}

/// The status and the body of the relay's answer to ada.
async fn ask(relay: &Relay, method: &str, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(relay.address).await.expect("connected");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        relay.address,
        token()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    read.expect("in time").expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_off(end + 4))
}

/// Waits until there is no such file any more.
async fn gone(file: &Path) {
    let gone = timeout(Duration::from_secs(30), async {
        while file.exists() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    gone.await.unwrap_or_else(|_| panic!("{} stays", file.display()));
}

/// The configuration of relays that share this folder of recordings.
fn in_one_folder(folder: &TempDir) -> String {
    format!("[recording]\ndir = {:?}\nshared = true\nmin_free_mb = 0\n", folder.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_relay_recorded_is_played_and_erased_by_another_one_that_shares_its_folder() {
    let database = shared().database().await;
    let [here, there, place] = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let config = in_one_folder(&place);
    let first = Relay::start_on(&database, here.path(), &config).await;
    let second = Relay::start_on(&database, there.path(), &config).await;
    let speech = voice(1.0);
    let report = run(options(&first, speech.clone()), |_| {}).await;
    assert!(report.is_good(), "{report:?}");
    let id = report.session_id.expect("there was a session");
    let store = SqlStore::postgres(&database).await.expect("opened");
    let key = store.session(&id).await.expect("readable").expect("stored").recording.expect("recorded");
    let file = place.path().join(key);
    assert!(sides(&file).await.0.starts_with(&speech), "to the sample");
    let (status, played) = ask(&second, "GET", &format!("/v1/sessions/{id}/recording")).await;
    assert_eq!(status, 200);
    assert!(played == std::fs::read(&file).expect("it is there"), "all of it, at the other relay");
    assert_eq!(ask(&second, "DELETE", &format!("/v1/sessions/{id}")).await.0, 204);
    gone(&file).await;
    assert_eq!(ask(&first, "GET", &format!("/v1/sessions/{id}/recording")).await.0, 404);
    Store::close(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_relay_had_on_its_way_does_not_come_back_once_another_one_has_erased_it() {
    let database = shared().database().await;
    let [here, there, place] = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let config = in_one_folder(&place);
    let first = Relay::start_on(&database, here.path(), &config).await;
    let second = Relay::start_on(&database, there.path(), &config).await;
    let on_its_way = || -> Option<PathBuf> {
        let folder = here.path().join("data/recordings-on-their-way");
        let mut files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("read").path());
        files.find(|file| file.extension().is_some_and(|extension| extension == "wav"))
    };
    let (mut raw, welcome) = Raw::welcomed(&first, "ada").await;
    let has_audio = |file: PathBuf| file.metadata().is_ok_and(|file| file.len() > 44);
    for seq in 0.. {
        assert!(seq < 300, "nothing is written in 30 s");
        raw.send(Message::binary(chunk(seq))).await;
        sleep(Duration::from_millis(100)).await;
        if on_its_way().is_some_and(has_audio) {
            break;
        }
    }
    first.kill().await;
    let file = on_its_way().expect("a killed relay leaves what it has recorded");
    let key = file.file_name().and_then(|name| name.to_str()).expect("UTF-8").replace('_', "/");
    let session = format!("/v1/sessions/{}", welcome.session_id);
    assert_eq!(ask(&second, "DELETE", &session).await.0, 204);
    assert!(file.exists(), "nobody else reaches it there");
    let _first = Relay::start_on(&database, here.path(), &config).await;
    gone(&file).await;
    assert!(!place.path().join(key).exists());
}

#[tokio::test]
async fn gaps_of_many_minutes_are_recorded_for_as_long_as_they_took() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay =
        Relay::start_with(folder.path(), "127.0.0.1:0", &config("[recording]\ndir = \"rec\"\n")).await;
    let began = Instant::now();
    let (mut raw, welcome) = Raw::welcomed(&relay, "mallory").await;
    // As long as frames can be: a minute in twenty of the longest chunks, as often as control messages may come at once.
    let mark = |minute: u32| Mark { seq: minute * 20, position: minute * 60 * 16_000 };
    for minute in 0..35 {
        raw.say(&ClientMessage::from(Gap { from: mark(minute), to: mark(minute + 1) }).to_json()).await;
    }
    sleep(Duration::from_millis(300)).await;
    raw.say(&ClientMessage::from(Bye { end: 35 * 20 }).to_json()).await;
    assert_eq!(raw.end().await, (Vec::new(), 1000));
    let took = began.elapsed();

    let store =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let session = store.session(&welcome.session_id).await.expect("readable").expect("stored");
    let (left, _) = sides(&folder.path().join("rec").join(session.recording.expect("recorded"))).await;
    assert!((left.len() as u128) <= took.as_millis() * 16, "{} samples in {took:?}", left.len());
    assert_eq!(session.audio_samples, 0);
}
