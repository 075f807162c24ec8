//! Answers that are prepared over the wire of Flux, which says that a turn may be over before it is sure.

use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use serde_json::json;
use tests::sound::{silence, voice};
use tests::stand_ins::{self, Provider, ask};
use tokio::time::{Duration, Instant};

use super::{CHUNK, Talk, config, get, started};

/// What the model was asked, request by request: the words that the user had said last.
async fn asked(port: u16) -> Vec<String> {
    let log = get(port, "/log").await;
    let requests = log["requests"].as_array().expect("a list").iter();
    let of_model = requests.filter(|request| request["wire"] == "openai.chat");
    // What has only begun to come has no body yet.
    let messages = of_model.filter_map(|request| request["body"]["messages"].as_array());
    messages.map(|all| all.last().expect("words")["content"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_prepared_while_flux_is_not_sure_and_billed_as_that_where_it_was_for_nothing() {
    let stt = Provider("deepgram-flux", "flux-general-en", "deepgram/flux-general-en", "eager = true");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    // It is sure so late that the model, which takes its time as well, has answered by then.
    let script = json!({
        "deepgram.flux": [{
            "times": 99,
            "hear": { "texts": ["Is there a table?", "A table for two, please."], "final_ms": 2_500 }
        }],
        "openai.chat": [{ "times": 99, "pace": { "first_ms": 1_000 }, "think": { "text": "There is one." } }],
    });
    ask(port, "POST", "/script", &script.to_string()).await;
    let (folder, relay) = started(&config(port, &stt, &llm, &tts)).await;
    let mut talk = Talk::begin(&relay).await;
    talk.ask().await;
    assert_eq!(talk.told.user, ["Is there a table?"]);
    assert_eq!(talk.told.agent, ["There is one."]);
    assert_eq!(asked(port).await, ["Is there a table?"], "what was prepared is given");

    // The user pauses so that the turn seems to be over, and goes on once an answer is being prepared.
    for chunk in [voice(1.0), silence(0.2)].concat().chunks(CHUNK) {
        talk.say(chunk).await;
    }
    let paused = Instant::now();
    while asked(port).await.len() < 2 {
        assert!(paused.elapsed() < Duration::from_secs(10), "no answer was prepared: {:?}", talk.told);
        talk.hear_until(Instant::now() + Duration::from_millis(20)).await;
    }
    talk.begun += paused.elapsed();
    talk.ask_by(&[voice(1.0), silence(1.0)].concat()).await;
    assert_eq!(talk.told.user[1..], ["A table for two, please."]);
    assert_eq!(asked(port).await[1..], ["A table for two, please.", "A table for two, please."]);

    let told = talk.hang_up().await;
    assert_eq!((told.closed, told.errors.as_slice(), told.agent.len()), (1000, &[][..], 2), "{told:?}");
    relay.terminate().await;
    // Nothing of an answer is heard before the turn is over, and its words are there at once.
    assert_eq!(told.sound_before[0], 0, "{told:?}");
    let waited: Vec<_> = told.latencies.iter().filter_map(|latency| latency.llm_ms).collect();
    assert!(waited.len() >= 2 && waited.iter().all(|ms| *ms < 900), "{told:?}");

    let log = get(port, "/log").await;
    let mut requests = log["requests"].as_array().expect("a list").iter();
    let listened = requests.find(|request| request["wire"] == "deepgram.flux").expect("it heard");
    assert!(listened["query"].to_string().contains("eager_eot_threshold="), "{listened}");
    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("it is there");
    let ledger = store.ledger(&told.session).await.expect("readable");
    let of = |unit: &str| ledger.iter().filter(|row| row.unit == unit).collect::<Vec<_>>();
    assert_eq!(of("output_token").len(), 2, "two answers were wanted: {ledger:?}");
    let for_nothing = of("eager_input_token");
    let [row] = for_nothing[..] else { panic!("{ledger:?}") };
    assert!(row.estimated && row.cost.get() > 0 && row.quantity > 0, "{row:?}");
}
