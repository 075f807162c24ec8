//! What the conversations of a crowd are: who speaks, with which providers, and what their record has to say afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use protocol::client::{Event, State};
use protocol::{CloseCode, Role};
use relay::client::{Options, Report, run};
use relay::config::Secret;
use relay::money::ledger::LedgerRow;
use relay::records::store::{SqlStore, Store};
use serde_json::json;
use tempfile::TempDir;
use tests::postgres::shared;
use tests::sound::{silence, voice};
use tests::stand_ins::{self, PRICES, Provider};
use tests::{Relay, sharing, token_but};
use tokio::task::JoinHandle;

use crate::delivered::{CALLED_BY, Delivered, EARS, MODEL, Spoken, VOICE, check_answers, check_requests};

/// What each of them says in a round: so many words, and a pause in which that is answered.
const PHRASES: [usize; 6] = [2, 4, 1, 5, 3, 2];
const PAUSE_SECONDS: f64 = 4.0;
/// What the stand-in for a recogniser hears in 400 ms of loud sound, one after another.
const WORDS: [&str; 6] = ["word", "one", "two", "three", "four", "five"];

fn config(port: u16) -> String {
    let (before, behind) = CALLED_BY;
    let mut config = format!(
        "[network]\ntrusted_proxies = [\"127.0.0.1\"]\n[prices]\nfile = \"prices.toml\"\n[agents]\ndefault = \"host\"\n\
        [agents.host]\nstt = \"ears\"\nllm = \"mind\"\ntts = \"mouth\"\nvariables = [\"caller\"]\n\
        instructions = \"Be brief. {before}{{caller}}{behind}\"\n"
    );
    let english = "language = \"en\"";
    for (name, provider) in [
        ("ears", Provider("deepgram", "nova-3", EARS, english)),
        ("mind", Provider("openai-chat", "small", MODEL, english)),
        ("mouth", Provider("openai-speech", "tts-1", VOICE, english)),
    ] {
        config += &provider.table(name, port);
    }
    config
}

/// A place for two relays on one database.
pub(crate) struct Place {
    database: Secret,
    folders: [TempDir; 2],
    config: String,
    /// Where the stand-ins for the providers listen.
    providers: u16,
}

impl Place {
    /// With these lines of configuration on top of what a conversation needs.
    pub(crate) async fn new(more: &str) -> Place {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        for folder in &folders {
            std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
        }
        let providers = stand_ins::start().await;
        let config = config(providers) + more;
        Place { database: shared().database().await, folders, config, providers }
    }

    /// Starts one of the two relays, which listens there.
    pub(crate) async fn start(&self, relay: usize, listen: &str) -> Relay {
        let folder = self.folders[relay].path();
        Relay::start_with(folder, listen, &sharing(&self.database, folder, &self.config)).await
    }

    /// What is wrong with the records of these calls, if anything is: by the number of the caller, and behind all of them what is wrong with all together.
    /// A call that was connected again may have lost as many relays as were killed.
    pub(crate) async fn check(
        &self,
        calls: &[Call],
        rounds: usize,
        killed: usize,
    ) -> BTreeMap<usize, String> {
        let store = SqlStore::postgres(&self.database).await.expect("opened");
        let delivered = Delivered::by(self.providers).await;
        let said: Vec<String> = PHRASES.repeat(rounds).into_iter().map(text).collect();
        let (mut wrong, mut spoken) = (BTreeMap::new(), Spoken::default());
        for (caller, call) in calls.iter().enumerate() {
            let crashes = killed.min(call.report.reconnects as usize);
            let ledger = match check(&store, &call.report, &said, crashes).await {
                Ok(ledger) => ledger,
                Err(what) => {
                    wrong.insert(caller, what);
                    continue;
                }
            };
            if let Err(what) = check_requests(&ledger, delivered.answers(&name(caller)), crashes) {
                wrong.insert(caller, what);
            }
            spoken.add(&ledger, crashes);
        }
        store.close().await;
        if wrong.is_empty()
            && let Err(what) = spoken.check(&delivered)
        {
            wrong.insert(calls.len(), what);
        }
        wrong
    }
}

/// A conversation that is over.
pub(crate) struct Call {
    pub(crate) report: Report,
    /// Since when its connection was in which state.
    pub(crate) states: Vec<(Instant, State)>,
}

/// So many conversations that begin now, each of so many rounds.
pub(crate) struct Crowd(Vec<JoinHandle<Call>>);

impl Crowd {
    pub(crate) fn call(url: &str, calls: usize, rounds: usize) -> Crowd {
        let call = |caller| {
            let name = name(caller);
            let token =
                token_but(&json!({ "sub": name, "app_metadata": { "variables": { "caller": name } } }));
            let options = Options {
                longest: Duration::from_secs(180),
                ..Options::new(url.to_owned(), token, speech(caller, rounds))
            };
            tokio::spawn(async move {
                let mut states = Vec::new();
                let report = run(options, |event| {
                    if let Event::State(state) = event {
                        states.push((Instant::now(), *state));
                    }
                });
                let report = report.await;
                Call { report, states }
            })
        };
        Crowd((0..calls).map(call).collect())
    }

    /// Waits until all of them are over.
    pub(crate) async fn over(self) -> Vec<Call> {
        join_all(self.0).await.into_iter().map(|call| call.expect("no panic")).collect()
    }
}

/// What one of them is called.
fn name(caller: usize) -> String {
    format!("caller {caller}")
}

/// What one of them says. They do not speak in step.
fn speech(caller: usize, rounds: usize) -> Vec<i16> {
    let mut speech = silence(0.3 + (caller % 20) as f64 / 10.0);
    for words in PHRASES.repeat(rounds) {
        speech.extend(voice(0.4 * words as f64 + 0.2));
        speech.extend(silence(PAUSE_SECONDS));
    }
    speech
}

/// The words of a phrase, as the recogniser's stand-in hears them.
fn text(words: usize) -> String {
    WORDS[..words].join(" ")
}

/// The ledger of a call in which this was said and whose relay was killed so often, or what is wrong with its record.
async fn check(
    store: &SqlStore,
    report: &Report,
    said: &[String],
    crashes: usize,
) -> Result<Vec<LedgerRow>, String> {
    if report.ended != Some(CloseCode::Normal) || report.missing() > 0 {
        return Err(format!(
            "it ended with {:?}, {} samples are missing: {:?}",
            report.ended,
            report.missing(),
            report.errors
        ));
    }
    let id = report.session_id.as_deref().ok_or("there was no session")?;
    let session = store.session(id).await.map_err(|error| error.to_string())?.ok_or("it is not stored")?;
    let turns = store.turns(id).await.map_err(|error| error.to_string())?;
    // A turn that nobody has heard a word of says nothing.
    let of = |role: Role| -> Vec<&str> {
        let of_role = turns.iter().filter(|row| row.turn.role == role).map(|row| row.turn.text.as_str());
        of_role.filter(|text| !text.trim().is_empty()).collect()
    };
    let (asked, answered) = (of(Role::User), of(Role::Agent));
    let heard: Vec<String> = asked.iter().map(|text| text.to_lowercase()).collect();
    if heard != said {
        return Err(format!("{said:?} was said, and {heard:?} stands in the transcript"));
    }
    check_answers(&asked, &answered, crashes)?;
    let ledger = store.ledger(id).await.map_err(|error| error.to_string())?;
    let cost: u64 = ledger.iter().map(|row| row.cost.get()).sum();
    if cost != session.cost.get() || report.usage.cost_nano_usd != cost {
        return Err(format!(
            "the ledger says {cost}, the session {}, the page was told {}",
            session.cost, report.usage.cost_nano_usd
        ));
    }
    let heard = ledger.iter().filter(|row| row.unit == "sample");
    let heard: u64 = heard.map(|row| row.quantity).sum();
    if (heard, session.audio_samples) != (report.spoken, report.spoken) {
        return Err(format!(
            "{} samples were said, {} are metered, {heard} stand in the ledger",
            report.spoken, session.audio_samples
        ));
    }
    Ok(ledger)
}
