//! `voxrelay check --providers`: asks each configured provider the smallest question that it can be asked, and says in words what is wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::tell;
use crate::NanoUsd;
use crate::config::{Config, as_variable};
use crate::money::bill::{AtMost, Billing, ItemPrice};
use crate::money::price::PriceTable;
use crate::provider::{
    Answer, Ask, Chat, Connections, Event, Failure, FailureKind, Feed, Message, Provider, Request, Service,
};
use crate::records::store::unix_ms;

/// What a voice is to say, and what a language model is to answer.
const WORD: &str = "Yes.";
/// What a language model is asked.
const QUESTION: &str = "Answer with one word: yes.";
/// The longest answer of a language model, in tokens: enough for a word, and less than some models take for a limit.
const ANSWER_TOKENS: u32 = 16;
/// What a recogniser is to hear: half a second of silence at 16 kHz.
const SILENCE_SAMPLES: usize = 8_000;
/// Samples a second of what a recogniser hears.
const RATE: u64 = 16_000;
/// More tokens than any of these questions has beside its text.
const TOKENS: u64 = 100;
/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a provider is asked, and what that may use.
struct Question {
    ask: Ask,
    feeds: Vec<Feed>,
    at_most: AtMost,
    in_words: &'static str,
}

/// Says what it will cost, asks all providers, and says what came of it: a line for each, or what is wrong with those with which something is.
pub(super) async fn ask_all(config: &Config, prices: &PriceTable) -> Result<Vec<String>, Vec<String>> {
    if config.providers.is_empty() {
        return Ok(vec!["no provider is configured".to_owned()]);
    }
    let mut questions = Vec::new();
    let (mut lines, mut faults, mut in_all) = (Vec::new(), Vec::new(), NanoUsd::ZERO);
    for provider in config.providers.values() {
        match provider.price(prices, unix_ms()) {
            Ok(price) => {
                let question = question(provider, &price);
                let cost = cost(&price, &question.at_most);
                in_all += cost;
                lines.push(format!(
                    "  {} ({}, {}) at {}: {}, at most {cost}",
                    provider.name, provider.kind.name, provider.model, provider.base_url, question.in_words
                ));
                questions.push((provider, price, question));
            }
            Err(error) => faults.push(format!("providers.{}.price: {error}", provider.name)),
        }
    }
    tell(&format!(
        "Each provider is asked the smallest question there is, for at most {in_all} in all:\n{}",
        lines.join("\n")
    ));
    let mut said = Vec::new();
    for (provider, price, question) in questions {
        let began = Instant::now();
        match ask(provider, question).await {
            Ok(answer) => {
                let seconds = began.elapsed().as_secs_f64();
                said.push(format!(
                    "providers.{}: answered in {seconds:.1} s{}",
                    provider.name,
                    spent(&price, &answer)
                ));
            }
            Err(failure) => {
                let key = format!("providers.{}", provider.name);
                faults.push(format!(
                    "{key}: {} ({failure}){}",
                    remedy(provider, &failure),
                    config.place(&key)
                ));
            }
        }
    }
    if faults.is_empty() { Ok(said) } else { Err(faults) }
}

/// The smallest question that can be asked of a provider.
fn question(provider: &Provider, price: &ItemPrice) -> Question {
    let tokens = price.billing() == Billing::Tokens;
    match (provider.kind.service, provider.kind.is_fed) {
        (Service::LanguageModel, _) => Question {
            ask: Ask::Chat(Chat {
                messages: vec![Message::User(QUESTION.to_owned())],
                tools: Vec::new(),
                max_output_tokens: ANSWER_TOKENS,
            }),
            feeds: Vec::new(),
            at_most: AtMost::Tokens { prompt: QUESTION.len() as u64 + TOKENS, output: ANSWER_TOKENS.into() },
            in_words: "one word",
        },
        (Service::TextToSpeech, is_fed) => Question {
            ask: Ask::Speak(WORD.to_owned()),
            feeds: if is_fed { vec![Feed::Finish] } else { Vec::new() },
            at_most: match tokens {
                true => AtMost::Tokens { prompt: TOKENS, output: TOKENS },
                // A wire may want a space behind the last word.
                false => AtMost::Characters(WORD.len() as u64 + 1),
            },
            in_words: "one word to speak",
        },
        (Service::SpeechToText, true) => Question {
            ask: Ask::Listen,
            feeds: vec![Feed::Audio(Bytes::from(vec![0; 2 * SILENCE_SAMPLES])), Feed::Finish],
            at_most: AtMost::Samples(RATE),
            in_words: "half a second of silence",
        },
        (Service::SpeechToText, false) => Question {
            ask: Ask::Transcribe(vec![0; SILENCE_SAMPLES]),
            feeds: Vec::new(),
            at_most: match tokens {
                true => AtMost::Tokens { prompt: TOKENS, output: TOKENS },
                // A provider may bill whole seconds.
                false => AtMost::Samples(RATE),
            },
            in_words: "half a second of silence",
        },
    }
}

/// What a question costs at most.
fn cost(price: &ItemPrice, at_most: &AtMost) -> NanoUsd {
    match (price, at_most) {
        (ItemPrice::Stream(price), AtMost::Samples(samples)) => price.cost(samples.div_ceil(RATE)),
        _ => price.worst_case(at_most),
    }
}

/// What an answer has cost, if the provider says so.
fn spent(price: &ItemPrice, answer: &Answer) -> String {
    let Some(used) = answer.usage.filter(|used| price.counts(used)) else { return String::new() };
    let mut cost = NanoUsd::ZERO;
    price.rows("check", &used, false).iter().for_each(|row| cost += row.cost);
    format!(", for {cost}")
}

async fn ask(provider: &Provider, question: Question) -> Result<Answer, Failure> {
    let Question { ask, feeds, .. } = question;
    let Some(codec) = provider.codec(&ask) else {
        return Err(Failure::new(FailureKind::Request, "it cannot be asked this"));
    };
    let bounds = provider.bounds(&ask);
    let connections = Connections::new(&provider.name, provider.deadlines.connect)
        .map_err(|error| Failure::new(FailureKind::Connection, super::config::sources(&error)))?;
    let mut request =
        Request::open(&TaskTracker::new(), Arc::new(connections).into(), Instant::now(), codec, bounds);
    feeds.into_iter().for_each(|feed| request.feed(feed));
    let end = async {
        loop {
            match request.next().await {
                Event::Finished(answer) => return Ok(answer),
                Event::Failed(failure) => return Err(failure),
                _ => {}
            }
        }
    };
    let late = || Err(Failure::new(FailureKind::Timeout, format!("no end in {} s", PATIENCE.as_secs())));
    timeout(PATIENCE, end).await.unwrap_or_else(|_| late())
}

/// What an operator can do about a failure.
fn remedy(provider: &Provider, failure: &Failure) -> String {
    let Provider { name, kind, base_url, model, .. } = provider;
    let variable = as_variable(name);
    // Two of them end a section, so that no variable spells such a name.
    let key = if format!("_{variable}_").contains("__") {
        format!("providers.{name}.key in the file")
    } else {
        format!("providers.{name}.key, best as the variable VOXRELAY_PROVIDERS__{variable}__KEY")
    };
    let said = failure.message.to_lowercase();
    match failure.kind {
        FailureKind::Key | FailureKind::Permission if provider.key.is_none() => {
            format!("it wants a key: give {key}")
        }
        FailureKind::Key => format!("it refuses the key: check {key}, and what the key may do"),
        FailureKind::Permission => {
            format!(
                "it forbids that: check what the key may do ({key}), and what lies between this machine and url = \"{base_url}\""
            )
        }
        FailureKind::Payment => "it wants to be paid: look at your account there".to_owned(),
        FailureKind::Busy | FailureKind::CircuitOpen | FailureKind::AtLimit => {
            "it takes no more of this account just now: try again later, or raise the limit there".to_owned()
        }
        FailureKind::Request => {
            let voice =
                provider.voice.as_ref().map(|voice| format!(", voice = {voice:?}")).unwrap_or_default();
            format!(
                "it does not know what it is asked: check model = {model:?}{voice}, kind = {:?} and url = \"{base_url}\"",
                kind.name
            )
        }
        FailureKind::Provider => {
            format!("it fails, or is no {}: try again later, or check url = \"{base_url}\"", kind.name)
        }
        FailureKind::Timeout => {
            format!("it is silent: check url = \"{base_url}\", or give it longer with timeout_seconds")
        }
        FailureKind::Connection
            if said.contains("expired") || said.contains("not valid yet") || said.contains("notvalidyet") =>
        {
            format!(
                "its certificate is not good at the time of this machine, which is {:.0}: set the clock",
                Timestamp::now()
            )
        }
        FailureKind::Connection => {
            format!("it cannot be reached: check url = \"{base_url}\", and what lets this machine out")
        }
        FailureKind::BrokeOff => {
            format!(
                "its answer breaks off: try again later, and look at what lies between this machine and url = \"{base_url}\""
            )
        }
        FailureKind::Clogged => {
            format!("its connection is not there in time for what it is given: check url = \"{base_url}\"")
        }
        FailureKind::Flood => {
            format!("it says more than any answer: check url = \"{base_url}\" and kind = {:?}", kind.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_told_from_a_server_that_is_away() {
        let (config, _) =
            Config::examine(None, [("VOXRELAY_PROVIDERS__CLAUDE__MODEL".to_owned(), "small".to_owned())])
                .expect("a configuration");
        let provider = &config.providers["claude"];
        for (message, says) in [
            ("invalid peer certificate: certificate expired: verification time 1 (UNIX)", "set the clock"),
            ("invalid peer certificate: certificate not valid yet", "set the clock"),
            ("invalid peer certificate: UnknownIssuer", "it cannot be reached"),
            ("connection refused", "it cannot be reached"),
        ] {
            let said = remedy(provider, &Failure::new(FailureKind::Connection, message));
            assert!(said.contains(says), "{message}: {said}");
        }
        for kind in FailureKind::ALL {
            assert!(remedy(provider, &Failure::new(kind, "why")).len() > 20, "{kind:?}");
        }
        let said = |provider: &Provider| remedy(provider, &Failure::new(FailureKind::Key, "why"));
        assert_eq!(
            said(provider),
            "it wants a key: give providers.claude.key, best as the variable VOXRELAY_PROVIDERS__CLAUDE__KEY"
        );
        let provider = Provider { name: "my-GPT.4".to_owned(), ..provider.clone() };
        assert!(
            said(&provider).ends_with("as the variable VOXRELAY_PROVIDERS__MY_GPT_4__KEY"),
            "{}",
            said(&provider)
        );
    }
}
