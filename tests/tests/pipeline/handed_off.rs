//! What a recogniser says that it bills when its call goes on at another relay: it is written before that one has the call.

use relay::records::store::{SqlStore, Store};
use serde_json::json;
use tests::Relay;
use tests::hopper::Hopper;
use tests::postgres::shared;
use tests::stand_ins::{self, PRICES, Provider, ask};
use tokio::time::{Duration, sleep};

use super::{config, recognisers};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_recogniser_bills_of_a_call_that_is_handed_off_is_written_before_another_relay_has_it() {
    let stt = Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    let script = json!({"deepgram.listen": [{"times": 99, "hear": {"says_ms": 120_000}}]});
    ask(port, "POST", "/script", &script.to_string()).await;
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    for folder in &folders {
        std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
    }
    let config = config(port, &stt, &llm, &tts);
    let relays = [
        Relay::start_on(&database, folders[0].path(), &config).await,
        Relay::start_on(&database, folders[1].path(), &config).await,
    ];
    let store = SqlStore::postgres(&database).await.expect("opened");
    let mut hopper = Hopper::begin(&relays[0], "ada").await;
    hopper.speak(30).await.expect("no limit is near");
    while recognisers(port).await != [false] {
        sleep(Duration::from_millis(100)).await;
    }
    let committed = store.session(&hopper.id).await.expect("readable").expect("there").committed;
    hopper.hop(&relays[1], committed).await.expect("it is theirs");
    let rows = store.ledger(&hopper.id).await.expect("readable");
    let late = rows.iter().find(|row| row.key.contains("@0.") && row.key.ends_with(".late/excess_sample"));
    assert!(late.is_some_and(|row| row.cost.get() == 0 && row.quantity > 16_000), "{rows:?}");
}
