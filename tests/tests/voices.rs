//! What voices send is heard as long and as high as it was made, whatever its rate and its header, and after a change from one voice to another.

use std::f64::consts::TAU;
use std::io::Cursor;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use relay::client::{HEARD_RATE, Options, Report, run};
use serde_json::json;
use tests::stand_ins::{self, KEY, PRICES};
use tests::{Relay, token_but};
use tokio::net::TcpListener;
use tokio::time::Duration;

/// The tone of the first voice, and of the one that stands in for it.
const FIRST_HZ: f64 = 440.0;
const SECOND_HZ: f64 = 660.0;
/// What each of them says, whatever the text: a second of its tone.
const SECONDS: f64 = 1.0;
/// The rate of the first voice.
const FIRST_RATE: u32 = 24_000;
/// A piece of what was heard: 50 ms, in which a tone of 440 Hz rises 22 times above nothing, and one of 660 Hz 33 times.
const PIECE: usize = HEARD_RATE as usize / 20;
/// What is softer than this is no tone.
const SOFT: f32 = 0.05;

/// How a voice sends its samples.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Without a header; the media type says the rate.
    Samples,
    /// A file whose header says it.
    Wav,
}

/// A tone of this height at this rate.
fn tone(hz: f64, rate: u32) -> Vec<i16> {
    let samples = (SECONDS * f64::from(rate)) as u32;
    (0..samples).map(|i| (11_000.0 * (TAU * hz * f64::from(i) / f64::from(rate)).sin()) as i16).collect()
}

/// The answer of a voice.
fn sound(hz: f64, rate: u32, form: Form) -> Response {
    let samples = tone(hz, rate);
    match form {
        Form::Samples => {
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            ([(CONTENT_TYPE, format!("audio/pcm; rate={rate}"))], bytes).into_response()
        }
        Form::Wav => {
            let spec = hound::WavSpec {
                channels: 1,
                sample_rate: rate,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            };
            let mut bytes = Cursor::new(Vec::new());
            let mut wav = hound::WavWriter::new(&mut bytes, spec).expect("begun");
            for sample in samples {
                wav.write_sample(sample).expect("written");
            }
            wav.finalize().expect("written");
            ([(CONTENT_TYPE, "audio/wav")], bytes.into_inner()).into_response()
        }
    }
}

/// A voice that speaks once and fails from then on, and one that stands in for it; where they are, and how often the second one has spoken.
async fn voices(rate: u32, form: Form) -> (u16, Arc<AtomicUsize>) {
    let (first, second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let spoken = second.clone();
    let speaks_once = async move || match first.fetch_add(1, Ordering::SeqCst) {
        0 => sound(FIRST_HZ, FIRST_RATE, Form::Samples),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let stands_in = async move || {
        second.fetch_add(1, Ordering::SeqCst);
        sound(SECOND_HZ, rate, form)
    };
    let app = Router::new()
        .route("/first/audio/speech", post(speaks_once))
        .route("/second/audio/speech", post(stands_in));
    (serve(app).await, spoken)
}

/// Serves this on a port of its own.
async fn serve(app: Router) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

/// A call in which two texts are typed and answered, at a relay whose agents speak at this rate.
async fn talk(folder: &Path, agent_rate: &str, voices: u16) -> Report {
    let fakes = stand_ins::start().await;
    std::fs::write(folder.join("prices.toml"), PRICES).expect("ours");
    let mut config = format!(
        "[echo]\nrate = \"{agent_rate}\"\n[prices]\nfile = \"prices.toml\"\n[agents]\ndefault = \"host\"\n\
        [agents.host]\nllm = \"mind\"\ntts = [\"first\", \"second\"]\n\
        [providers.mind]\nurl = \"http://127.0.0.1:{fakes}/v1\"\nkey = \"{KEY}\"\nmodel = \"small\"\n\
        price = \"openai/chat\"\n"
    );
    for name in ["first", "second"] {
        config += &format!(
            "[providers.{name}]\nkind = \"openai-speech\"\nurl = \"http://127.0.0.1:{voices}/{name}\"\n\
            model = \"tts-1\"\nprice = \"openai/tts-1\"\n"
        );
    }
    let relay = Relay::start(folder, "127.0.0.1:0", &config).await;
    let options = Options {
        texts: ["one", "two"].map(str::to_owned).to_vec(),
        longest: Duration::from_secs(60),
        ..Options::new(relay.url(), token_but(&json!({})), Vec::new())
    };
    let report = run(options, |_| {}).await;
    relay.terminate().await;
    report
}

/// How many seconds of what was heard had the tone of the first voice, of the second one, and another.
fn tones(heard: &[f32]) -> [f64; 3] {
    let mut seconds = [0.0; 3];
    for piece in heard.chunks_exact(PIECE) {
        if piece.iter().filter(|sample| sample.abs() > SOFT).count() < PIECE / 2 {
            continue;
        }
        let rises = piece.windows(2).filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0).count();
        let tone = match rises {
            21..=23 => 0,
            32..=34 => 1,
            _ => 2,
        };
        seconds[tone] += 0.05;
    }
    seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_stands_in_at_another_rate_is_heard_as_long_and_as_high_as_it_speaks() {
    for (agent_rate, rate, form) in [
        ("24000", 16_000, Form::Samples),
        ("24000", 44_100, Form::Wav),
        ("16000", 48_000, Form::Samples),
        ("16000", 16_000, Form::Wav),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, spoken) = voices(rate, form).await;
        let report = talk(folder.path(), agent_rate, port).await;
        let case = format!("{rate} Hz as {form:?} at {agent_rate}");
        assert!(report.is_good(), "{case}: {report:?}");
        let spoken = spoken.load(Ordering::SeqCst) as f64 * SECONDS;
        assert!(spoken > 0.0, "{case}: the first voice has failed");
        let [first, second, other] = tones(&report.heard);
        let heard = format!(
            "{case}: {SECONDS} s and {spoken} s were said, heard were {first}, {second}, and {other} of another tone"
        );
        assert!((first - SECONDS).abs() < 0.15 && (second - spoken).abs() < 0.15 * spoken, "{heard}");
        assert!((first + second + other - SECONDS - spoken).abs() < 0.1 * (SECONDS + spoken), "{heard}");
    }
}
