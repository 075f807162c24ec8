//! The example with providers in the cloud, as it is in `examples/cloud`: with the addresses of stand-ins, and with their keys, it holds a
//! conversation.

use serde_json::json;
use tempfile::TempDir;
use tests::sound::silence;
use tests::stand_ins::{self, KEY, Provider, ask};
use tests::{Relay, alone};

use super::{Talk, Told, check_bill, check_let_go, get};

const EXAMPLE: &str = include_str!("../../../examples/cloud/voxrelay.toml");

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_cloud_holds_a_conversation_and_its_second_voice_stands_in() {
    let port = stand_ins::start().await;
    let (with_version, bare) = (format!("http://127.0.0.1:{port}/v1"), format!("http://127.0.0.1:{port}"));
    // Whoever has another address than the vendor's own has a price of their own as well: here it is the vendor's.
    let variables = [
        ("VOXRELAY_PROVIDERS__EARS__URL", &*bare),
        ("VOXRELAY_PROVIDERS__EARS__KEY", KEY),
        ("VOXRELAY_PROVIDERS__EARS__PRICE", "deepgram/flux-general-en"),
        ("VOXRELAY_PROVIDERS__CLAUDE__URL", &*with_version),
        ("VOXRELAY_PROVIDERS__CLAUDE__KEY", KEY),
        ("VOXRELAY_PROVIDERS__CLAUDE__PRICE", "anthropic/claude-haiku-5-5"),
        ("VOXRELAY_PROVIDERS__SECOND_CLAUDE__URL", &*with_version),
        ("VOXRELAY_PROVIDERS__SECOND_CLAUDE__KEY", KEY),
        ("VOXRELAY_PROVIDERS__SECOND_CLAUDE__PRICE", "anthropic/claude-sonnet-5-5"),
        ("VOXRELAY_PROVIDERS__VOICE__URL", &*bare),
        ("VOXRELAY_PROVIDERS__VOICE__KEY", KEY),
        ("VOXRELAY_PROVIDERS__VOICE__PRICE", "elevenlabs/eleven_flash_v2_5"),
        ("VOXRELAY_PROVIDERS__SECOND_VOICE__URL", &*bare),
        ("VOXRELAY_PROVIDERS__SECOND_VOICE__KEY", KEY),
        ("VOXRELAY_PROVIDERS__SECOND_VOICE__PRICE", "deepgram/aura-2"),
    ];
    let (told, folder) = converse(&variables).await;
    let provider = |kind, price| Provider(kind, "", price, "");
    let stt = provider("deepgram-flux", "deepgram/flux-general-en");
    let llm = provider("anthropic", "anthropic/claude-haiku-5-5");
    let tts = provider("elevenlabs", "elevenlabs/eleven_flash_v2_5");
    check_bill(folder.path(), port, &told, [&stt, &llm, &tts]).await;
    check_let_go(port).await;
    assert!(second_voice(port).await.abs() < 0.5, "it is not needed");

    let script = json!({"elevenlabs.stream_input": [{"times": 99, "refuse": {"status": 500}}]});
    ask(port, "POST", "/script", &script.to_string()).await;
    converse(&variables).await;
    assert!(second_voice(port).await > 60.0, "it stands in for one that takes nobody");
}

/// A call in which the agent greets and is asked once: what was told in it, and the relay's folder.
async fn converse(variables: &[(&str, &str)]) -> (Told, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = alone(folder.path(), EXAMPLE);
    let relay = Relay::start_in(folder.path(), "127.0.0.1:0", &config, variables).await;
    let mut talk = Talk::begin(&relay).await;
    // The greeting takes four seconds, and is not spoken over.
    talk.ask_by(&silence(6.0)).await;
    talk.ask().await;
    let told = talk.hang_up().await;
    relay.terminate().await;
    assert_eq!((told.closed, told.errors.as_slice(), told.user.len()), (1000, &[][..], 1), "{told:?}");
    let said = told.agent.first().zip(told.agent.last());
    let (greeting, answer) = said.unwrap_or_else(|| panic!("{told:?}"));
    assert!(greeting.starts_with("Hello, I am the guide of the house."), "{told:?}");
    assert!(answer.starts_with("You said"), "{told:?}");
    assert!(told.audio_bytes > 150_000, "greeting and answer sound: {told:?}");
    (told, folder)
}

/// How many characters the second voice has spoken.
async fn second_voice(port: u16) -> f64 {
    let log = get(port, "/log").await;
    let requests = log["requests"].as_array().expect("a list").iter();
    let spoke = requests.filter(|request| request["wire"] == "deepgram.speak");
    spoke.filter_map(|request| request["bill"]["characters"].as_f64()).sum()
}
