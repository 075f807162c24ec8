//! A recogniser of a muted call that takes messages which keep it.

use serde_json::json;
use tests::sound::{silence, voice};
use tests::stand_ins::{self, Provider, ask};
use tokio::time::{Duration, Instant};

use super::{Talk, check_bill, check_let_go, config, recognisers, started};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_muted_for_long_keeps_a_deepgram_recogniser_and_is_heard_from_the_first_word() {
    let stt = Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    // It closes what nothing comes over after six seconds, and not after ten.
    let script = json!({"deepgram.listen": [{"times": 99, "idle_ms": 6_000}]});
    ask(port, "POST", "/script", &script.to_string()).await;
    let (folder, relay) = started(&config(port, &stt, &llm, &tts)).await;
    let mut talk = Talk::begin(&relay).await;
    talk.ask().await;
    assert_eq!(recognisers(port).await, [false], "one hears the call");

    let muted = Instant::now();
    talk.mute(true).await;
    // More than one message has to keep it.
    while muted.elapsed() < Duration::from_secs(13) {
        talk.hear_until(Instant::now() + Duration::from_millis(200)).await;
    }
    assert_eq!(recognisers(port).await, [false], "it is still there");
    talk.mute(false).await;
    talk.begun += muted.elapsed();
    // There is no silence before the first word.
    talk.ask_by(&[voice(2.0), silence(1.0)].concat()).await;
    assert_eq!(recognisers(port).await, [false], "the same one hears the rest");

    let told = talk.hang_up().await;
    assert_eq!((told.closed, told.errors.as_slice(), told.user.len()), (1000, &[][..], 2), "{told:?}");
    assert_eq!(told.user[1], told.user[0], "the same was said before, and after it");
    relay.terminate().await;
    check_bill(folder.path(), port, &told, [&stt, &llm, &tts]).await;
    check_let_go(port).await;
}
