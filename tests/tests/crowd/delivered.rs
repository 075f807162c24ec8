//! What the stand-ins have delivered to a crowd, beside what its records and its ledger say: each sentence once, and each request paid once.

use std::collections::BTreeMap;
use std::fmt::Debug;

use relay::money::ledger::LedgerRow;
use serde_json::{Value, json};
use tests::stand_ins::ask;

/// What the recogniser, the model and the voice are in the price table.
pub(crate) const EARS: &str = "deepgram/nova-3";
pub(crate) const MODEL: &str = "openai/chat";
pub(crate) const VOICE: &str = "openai/tts-1";
/// What the agent is told of whoever calls stands between these in its instructions.
pub(crate) const CALLED_BY: (&str, &str) = ("You speak with ", ".");
/// What a killed relay may have exposed of one call, in nano-dollars: two questions of 2,000 bytes and of 500 tokens of an answer, and three sentences of
/// 200 characters, at the prices of the stand-ins.
const EXPOSED_MAX: u64 = 2 * (2_000 * 1_000 + 500 * 5_000) + 3 * 200 * 15_000;

/// Tokens of a question and of its answer.
type Tokens = (u64, u64);

/// What the stand-ins have delivered.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// The answers of the model, by the name of the caller that they were for.
    answers: BTreeMap<String, Vec<Tokens>>,
    /// The characters of each text that was spoken, to whomever.
    spoken: Vec<u64>,
}

impl Delivered {
    /// By the stand-ins at this port.
    pub(crate) async fn by(port: u16) -> Delivered {
        let log: Value = serde_json::from_str(&ask(port, "GET", "/log", "").await).expect("JSON");
        assert_eq!(log["left_off"], json!(0), "all of it is in the log");
        let mut delivered = Delivered { answers: BTreeMap::new(), spoken: Vec::new() };
        for request in log["requests"].as_array().expect("a list") {
            let billed = |what: &str| request["bill"][what].as_u64().expect("a number");
            if request["wire"] == "openai.chat" {
                let told = request["body"]["messages"][0]["content"].as_str().expect("instructions");
                let (_, rest) = told.split_once(CALLED_BY.0).expect("a name");
                let (name, _) = rest.split_once(CALLED_BY.1).expect("its end");
                let answers = delivered.answers.entry(name.to_owned()).or_default();
                answers.push((billed("input_tokens"), billed("output_tokens")));
            } else if request["wire"] == "openai.speech" {
                delivered.spoken.push(billed("characters"));
            }
        }
        delivered
    }

    /// What the model has answered this caller.
    pub(crate) fn answers(&self, caller: &str) -> &[Tokens] {
        self.answers.get(caller).map_or(&[], Vec::as_slice)
    }
}

/// What the voice was paid for all calls. Its stand-in does not know for whom it speaks.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    billed: Vec<u64>,
    given_up: usize,
    crashes: usize,
}

impl Spoken {
    /// And for this call, whose relay was killed so often.
    pub(crate) fn add(&mut self, ledger: &[LedgerRow], crashes: usize) {
        self.crashes += crashes;
        for request in requests(ledger, VOICE).values() {
            if request.estimated {
                self.given_up += 1;
            } else {
                self.billed.push(request.of("character"));
            }
        }
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn check(&self, delivered: &Delivered) -> Result<(), String> {
        once(&self.billed, self.given_up, &delivered.spoken, self.crashes)
    }
}

/// What is wrong with what the agent has said, if anything is: each question has one answer, in their order and word for word as the model gave it, and
/// nothing else was said. As many of them as relays were killed may end before their last word: of such an answer that stands which was heard,
/// which may be nothing.
pub(crate) fn check_answers(asked: &[&str], answered: &[&str], crashes: usize) -> Result<(), String> {
    let expected: Vec<String> = asked.iter().map(|question| format!("You said: {question}")).collect();
    let wrong = || format!("the model has said {expected:#?}, and these are the answers: {answered:#?}");
    let mut answered = answered.iter().peekable();
    let mut cut = 0;
    for whole in &expected {
        let whole: Vec<&str> = whole.split_whitespace().collect();
        let said = answered.next_if(|said| {
            let said: Vec<&str> = said.split_whitespace().collect();
            !said.is_empty() && whole.starts_with(&said)
        });
        cut += usize::from(said.is_none_or(|said| said.split_whitespace().count() < whole.len()));
    }
    if cut > crashes || answered.next().is_some() { Err(wrong()) } else { Ok(()) }
}

/// What is wrong with what the ledger of a call says of its model and its voice, if anything is. The model has answered it so, and its relay was killed so
/// often.
pub(crate) fn check_requests(ledger: &[LedgerRow], answers: &[Tokens], crashes: usize) -> Result<(), String> {
    let (asked, spoken) = (requests(ledger, MODEL), requests(ledger, VOICE));
    let reported = asked.values().filter(|request| !request.estimated);
    let billed: Vec<Tokens> =
        reported.map(|request| (request.of("input_token"), request.of("output_token"))).collect();
    once(&billed, asked.len() - billed.len(), answers, crashes)?;
    // An answer is one sentence here, which one request speaks.
    for (key, request) in &spoken {
        let there = |requests: &BTreeMap<String, Request>| {
            requests.values().filter(|other| other.answers() == request.answers()).count()
        };
        if there(&spoken) > there(&asked) {
            return Err(format!("{key} is spoken more often than it was answered: {ledger:#?}"));
        }
    }
    let is_known = |row: &&LedgerRow| match row.item.as_str() {
        EARS => true,
        MODEL => ["input_token", "output_token"].contains(&row.unit.as_str()),
        VOICE => row.unit == "character",
        item => item == LedgerRow::LOST,
    };
    if let Some(row) = ledger.iter().find(|row| !is_known(row)) {
        return Err(format!("nobody has delivered {row:?}"));
    }
    let lost: Vec<&LedgerRow> = ledger.iter().filter(|row| row.item == LedgerRow::LOST).collect();
    if lost.len() > crashes || lost.iter().any(|row| row.cost.get() > EXPOSED_MAX) {
        return Err(format!("{crashes} crashes have cost more than they may: {lost:?}"));
    }
    Ok(())
}

/// What a ledger says of a request.
#[derive(Debug, Default)]
struct Request {
    /// The epoch of the relay that made it, and the turn that is answered.
    epoch: String,
    turn: Option<u32>,
    /// It was given up, and how much it has used is the relay's own guess.
    estimated: bool,
    used: BTreeMap<String, u64>,
}

impl Request {
    fn of(&self, unit: &str) -> u64 {
        self.used.get(unit).copied().unwrap_or_default()
    }

    fn answers(&self) -> (&str, Option<u32>) {
        (&self.epoch, self.turn)
    }
}

/// The requests of this item in a ledger, by their keys, such as `openai/chat@0.4`.
fn requests(ledger: &[LedgerRow], item: &str) -> BTreeMap<String, Request> {
    let mut requests: BTreeMap<String, Request> = BTreeMap::new();
    for row in ledger.iter().filter(|row| row.item == item) {
        let (key, unit) = row.key.rsplit_once('/').expect("a request and a unit");
        let epoch = key.rsplit_once('@').and_then(|(_, rest)| rest.split('.').next());
        let request = requests.entry(key.to_owned()).or_default();
        request.epoch = epoch.expect("an epoch").to_owned();
        request.turn = row.turn;
        request.estimated |= row.estimated;
        *request.used.entry(unit.to_owned()).or_default() += row.quantity;
    }
    requests
}

/// What is wrong if not each thing that is billed was delivered, and is billed once. What was delivered beside that was given up, and is billed by a guess,
/// or a crash has left it to nobody: one request for each crash.
fn once<T: PartialEq + Debug>(
    billed: &[T],
    given_up: usize,
    delivered: &[T],
    crashes: usize,
) -> Result<(), String> {
    let mut left: Vec<&T> = delivered.iter().collect();
    for one in billed {
        let Some(place) = left.iter().position(|other| *other == one) else {
            return Err(format!(
                "{one:?} is billed more often than it was delivered: {billed:?} of {delivered:?}"
            ));
        };
        left.swap_remove(place);
    }
    if (given_up..=given_up + crashes).contains(&left.len()) {
        return Ok(());
    }
    Err(format!("{given_up} were given up in {crashes} crashes, and these were delivered beside: {left:?}"))
}

mod checks {
    use std::collections::BTreeMap;

    use relay::NanoUsd;
    use relay::money::ledger::LedgerRow;

    use super::{Delivered, EXPOSED_MAX, MODEL, Spoken, VOICE, check_answers, check_requests};

    fn row(item: &str, request: u32, unit: &str, quantity: u64) -> LedgerRow {
        LedgerRow {
            key: format!("{item}@0.{request}/{unit}"),
            provider: "test".to_owned(),
            item: item.to_owned(),
            unit: unit.to_owned(),
            quantity,
            price: NanoUsd::new(1),
            per: 1,
            price_version: "test".to_owned(),
            cost: NanoUsd::new(quantity),
            estimated: false,
            turn: Some(0),
            request_id: None,
        }
    }

    /// A question that was answered by the request of this number.
    fn answer(request: u32) -> [LedgerRow; 2] {
        [row(MODEL, request, "input_token", 40), row(MODEL, request, "output_token", 5)]
    }

    #[test]
    fn an_answer_that_is_missing_doubled_or_in_other_words_is_seen() {
        let asked = ["word one", "word"];
        let good = ["You said: word one", "You said: word "];
        assert_eq!(check_answers(&asked, &good, 0), Ok(()));
        for bad in [
            &["You said: word one", "You said: word one", "You said: word"][..],
            &["You said: word", "You said: word one"],
            &["You said: word one one", "You said: word"],
            &["You said: word one", "You said: word You said: word"],
            &["", "You said: word"],
        ] {
            assert!(check_answers(&asked, bad, 1).is_err(), "{bad:?}");
        }
        for cut in [&["You said: word", "You said: word"][..], &["You said: word one"]] {
            assert_eq!(check_answers(&asked, cut, 1), Ok(()), "{cut:?}");
            assert!(check_answers(&asked, cut, 0).is_err(), "nothing was killed that could have cut it");
        }
        assert!(
            check_answers(&asked, &["You said: word"], 1).is_err(),
            "one is cut, and another one is missing"
        );
    }

    #[test]
    fn a_request_that_is_billed_twice_is_seen_and_so_is_one_that_is_not_billed() {
        let ledger = [&answer(1)[..], &[row(VOICE, 2, "character", 18)]].concat();
        assert_eq!(check_requests(&ledger, &[(40, 5)], 0), Ok(()));

        let twice = [&ledger[..], &answer(3)].concat();
        assert!(check_requests(&twice, &[(40, 5)], 1).is_err());
        assert_eq!(check_requests(&twice, &[(40, 5), (40, 5)], 0), Ok(()), "it was asked twice");
        let said_twice = [&ledger[..], &[row(VOICE, 4, "character", 18)]].concat();
        assert!(check_requests(&said_twice, &[(40, 5)], 1).is_err());

        assert!(check_requests(&ledger, &[(40, 5), (50, 5)], 0).is_err(), "an answer is not billed");
        assert_eq!(check_requests(&ledger, &[(40, 5), (50, 5)], 1), Ok(()), "its relay was killed");
        assert!(check_requests(&ledger, &[(40, 5), (50, 5), (60, 5)], 1).is_err());
        let excess = [&ledger[..], &[row(VOICE, 2, "excess_character", 1)]].concat();
        assert!(check_requests(&excess, &[(40, 5)], 0).is_err());
    }

    #[test]
    fn what_a_crash_may_cost_is_bounded() {
        let lost = |cost| vec![LedgerRow::lost(0, NanoUsd::new(cost))];
        assert_eq!(check_requests(&lost(EXPOSED_MAX), &[], 1), Ok(()));
        assert!(check_requests(&lost(EXPOSED_MAX), &[], 0).is_err());
        assert!(check_requests(&lost(EXPOSED_MAX + 1), &[], 1).is_err());
    }

    #[test]
    fn what_the_voice_is_paid_for_twice_is_seen_over_all_calls() {
        let delivered = |spoken: &[u64]| Delivered { answers: BTreeMap::new(), spoken: spoken.to_vec() };
        let mut all = Spoken::default();
        all.add(&[row(VOICE, 1, "character", 18), row(VOICE, 2, "character", 20)], 0);
        assert_eq!(all.check(&delivered(&[20, 18])), Ok(()));
        assert!(all.check(&delivered(&[18, 18])).is_err());
        assert!(all.check(&delivered(&[18])).is_err() && all.check(&delivered(&[18, 20, 20])).is_err());
    }
}
