//! Recognisers of a call that is muted, for long or for a moment.

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

#[tokio::test(flavor = "multi_thread")]
async fn who_unmutes_and_speaks_at_once_is_heard_whole_where_flux_has_nothing_to_say_of_the_mute() {
    let stt = Provider("deepgram-flux", "flux-general-en", "deepgram/flux-general-en", "");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    let said = ["Good evening.", "I would like a table for two please"];
    // Without the times of its words nobody can tell for certain that they are spoken after the mute.
    let script = json!({"deepgram.flux": [{"times": 99, "hear": {"texts": said, "untimed": true}}]});
    ask(port, "POST", "/script", &script.to_string()).await;
    let (_folder, relay) = started(&config(port, &stt, &llm, &tts)).await;
    let mut talk = Talk::begin(&relay).await;
    talk.ask().await;
    talk.mute(true).await;
    talk.mute(false).await;
    // They speak for longer than it is waited for an answer to the mute.
    talk.ask_by(&[voice(4.0), silence(1.0)].concat()).await;
    let told = talk.hang_up().await;
    assert_eq!((told.closed, told.errors.as_slice()), (1000, &[][..]), "{told:?}");
    assert_eq!(told.user, said, "{told:?}");
    relay.terminate().await;
}
