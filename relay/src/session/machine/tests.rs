//! Whole sessions without sockets, clocks and databases: the store is what the test says.

mod leaving;
mod listening;

use audio::synthetic::voice;
use std::time::Duration;

use audio::Hz;
use protocol::relay::{Attachment, Config, Handshake, Link};
use protocol::{AudioHeader, Codec, Hello, Limits, Mark, Prices};
use serde_json::{Value, json};

use super::*;
use crate::admission::auth::Identity;
use crate::agent::{Agent, Echo};
use crate::call::Start;
use crate::money::budget::{Balance, Caps, Grant, Scope, Shortage, TokenCaps};
use crate::money::meter::Meter;
use crate::money::price::PriceTable;
use crate::money::tab::{Earlier, Tab};
use crate::session::journal::{Failure, FailureKind, Receipt};
use crate::session::policy::Departure;
use crate::session::wire::Outgoing;

/// Samples of a chunk: 100 ms.
const CHUNK: u32 = 1_600;
/// A store's wait for an answer in these tests.
const SOON: Duration = Duration::from_millis(5);

fn identity() -> Identity {
    Identity::new("ada".into(), "acme".into(), 10_000)
}

fn hello(resume: Option<Value>) -> Hello {
    let mut hello = json!({
        "type": "hello", "token": "t", "client": "c", "codec": "pcm_s16le_16000",
        "start": { "seq": 0, "position": 0 },
    });
    if let Some(resume) = resume {
        hello["resume"] = resume;
    }
    Handshake::new(Time::ZERO).handle_text(&hello.to_string()).expect("a hello")
}

/// A session, and a store that answers whatever it is asked.
struct Bench {
    machine: Machine,
    now: Time,
    /// Whether the connection takes the agent's words.
    is_ready: bool,
    /// The store's failure, if it fails.
    failure: Option<FailureKind>,
    /// What was written, by kinds, in order.
    written: Vec<&'static str>,
    /// What the store is still to answer, and when it does.
    asked: VecDeque<(Time, Entry)>,
    chunks: u32,
    budget: NanoUsd,
    cost: NanoUsd,
}

impl Bench {
    /// A session with a budget of so much.
    fn with(budget: NanoUsd) -> Bench {
        let echo = Echo::new(Hz(24_000), 0).expect("it speaks at this rate");
        Bench::of(budget, Box::new(echo), 0)
    }

    /// One with this agent, of whose audio so many samples were metered by another relay.
    fn of(budget: NanoUsd, agent: Box<dyn Agent>, replayable: u32) -> Bench {
        let now = Time::from_millis(1);
        let caps = Caps {
            session: budget,
            user_day: NanoUsd::MAX,
            account_month: NanoUsd::MAX,
            token: TokenCaps::NONE,
        };
        let price = PriceTable::shipped().price("echo/listening").expect("priced").clone();
        let start = Start {
            mark: Mark::default(),
            turn: 0,
            tab: Tab::new(Meter::new(price, 16_000), Vec::new(), 0, Earlier::default()),
            caps,
            grant: Grant { authorised: budget, standing: Standing::unused(caps) },
            replayable,
            metered_through: 0,
            is_taken_over: false,
            ends: None,
            broken_off: Vec::new(),
        };
        let link = Config {
            session_id: "session".into(),
            conversation_id: "conversation".into(),
            limits: Limits {
                session_ms: 1_800_000,
                idle_ms: 600_000,
                chunk_min_bytes: 100,
                chunk_max_bytes: 100_000,
                burst_ms: 65_000,
                budget_nano_usd: budget.get(),
            },
            prices: Prices::default(),
            control_per_second: 20,
            agent_codec: Codec::PcmS16le24000,
            recording: true,
            heartbeat: Duration::from_secs(15),
            resume_window: Duration::from_secs(120),
            agent: None,
            features: &["playback"],
        };
        let policy = policy::Config {
            identity: identity(),
            left: Duration::from_secs(3_600),
            token_grace: Duration::from_secs(60),
            store_grace: Duration::from_secs(60),
            lease: now + Duration::from_secs(100_000),
            reconnects: 0,
            seed: 1,
        };
        let machine = Machine::new(
            now,
            Link::new(now, link, Mark::default()),
            Call::new(now, agent, start),
            Policy::new(now, policy),
            Journal::new(1),
            0,
            true,
        );
        Bench {
            machine,
            now,
            is_ready: true,
            failure: None,
            written: Vec::new(),
            asked: VecDeque::new(),
            chunks: 0,
            budget,
            cost: NanoUsd::ZERO,
        }
    }

    fn begin() -> Bench {
        Bench::begin_as(&[])
    }

    /// A session of a client that names these features.
    fn begin_as(features: &[&str]) -> Bench {
        Bench::with(NanoUsd::new(5_000_000_000)).begun_as(features)
    }

    fn begun_as(mut self, features: &[&str]) -> Bench {
        let hello = Box::new(Hello { features: features.into(), ..hello(None) });
        let attachment = Attachment::New;
        let token = "resume-0".to_owned();
        let outputs = self.input(Input::Begin { hello, attachment, token });
        assert_eq!(
            kinds(&outputs),
            ["agent", "welcome"].map(str::to_owned).into_iter().rev().collect::<Vec<_>>()
        );
        self
    }

    /// One thing happens; the store does not answer yet.
    fn input(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle_input(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.machine.poll_output(self.is_ready) {
            if let Output::Write { entry, wait } = &output {
                self.written.push(kind(entry));
                self.asked.push_back((self.now + *wait + SOON, entry.clone()));
            }
            // There is no more than the session has.
            if let Output::Reserve { reservation, .. } = &output {
                let balance = Balance { limit: self.budget, spent: self.budget, reserved: NanoUsd::ZERO };
                let (scope, authorised) = (Scope::Session, reservation.spent);
                let short = Shortage { scope, balance, contended: false, authorised };
                self.machine.handle_input(self.now, Input::Reserved(Ok(Reserved::Short(short))));
            }
            outputs.push(output);
        }
        outputs
    }

    /// The store answers until nothing is asked of it any more, or not now.
    fn let_store_answer(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while self.asked.front().is_some_and(|(at, _)| *at <= self.now + SOON)
            && let Some((at, entry)) = self.asked.pop_front()
        {
            self.now = self.now.max(at);
            let answer = match (self.failure, entry) {
                (Some(kind), _) => Err(Failure { kind, why: "so".into() }),
                (None, Entry::Settlement(settlement)) => {
                    for row in settlement.rows {
                        self.cost += row.cost;
                    }
                    let caps = Caps {
                        session: NanoUsd::MAX,
                        user_day: NanoUsd::MAX,
                        account_month: NanoUsd::MAX,
                        token: TokenCaps::NONE,
                    };
                    Ok(Receipt::Settled { cost: self.cost, standing: Standing::unused(caps) })
                }
                (None, _) => Ok(Receipt::Done),
            };
            outputs.extend(self.input(Input::Written(answer)));
        }
        outputs
    }

    fn text(&mut self, message: &Value) -> Vec<Output> {
        self.input(Input::Incoming(Incoming::Text(message.to_string())))
    }

    /// So many chunks in real time, with everything that becomes due meanwhile.
    fn audio(&mut self, chunks: u32, sample: fn(u32) -> i16) -> Vec<Output> {
        let mut outputs = Vec::new();
        for _ in 0..chunks {
            let mut frame = Vec::new();
            AudioHeader::write(Codec::PcmS16le16000, self.chunks, self.chunks * CHUNK, &mut frame);
            let begin = self.chunks * CHUNK;
            frame.extend((begin..begin + CHUNK).flat_map(|n| sample(n).to_le_bytes()));
            self.chunks += 1;
            outputs.extend(self.input(Input::Incoming(Incoming::Binary(frame.into()))));
            outputs.extend(self.let_store_answer());
            outputs.extend(self.until(self.now + Duration::from_millis(100)));
        }
        outputs
    }

    /// Lets time pass.
    fn until(&mut self, end: Time) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            let answer = self.asked.front().map(|(at, _)| *at);
            let due = self.machine.poll_timeout().into_iter().chain(answer).min();
            let Some(due) = due.filter(|due| *due <= end && over(&outputs).is_none()) else { break };
            self.now = self.now.max(due);
            outputs.extend(self.let_store_answer());
            outputs.extend(self.input(Input::Timeout));
        }
        self.now = self.now.max(end);
        outputs
    }
}

fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry::Turns { .. } => "turns",
        Entry::Settlement(_) => "settlement",
        Entry::End { .. } => "end",
        Entry::Exhausted(_) => "exhausted",
        Entry::Attached(true) => "attached",
        Entry::Attached(false) => "detached",
        Entry::Resumed(_) => "resumed",
        Entry::Strikes(_) => "strikes",
        Entry::Tool(_) => "tool",
    }
}

/// What the client is sent, by kinds.
fn kinds(outputs: &[Output]) -> Vec<String> {
    let kind = |output: &Output| match output {
        Output::Send(Outgoing::Text(text)) => {
            let message: Value = serde_json::from_str(text).expect("JSON");
            Some(message["type"].as_str().expect("a type").to_owned())
        }
        Output::Send(Outgoing::Binary(_)) => Some("audio".into()),
        Output::Close(code) => Some(format!("close {}", code.name())),
        _ => None,
    };
    outputs.iter().filter_map(kind).collect()
}

fn over(outputs: &[Output]) -> Option<Departure> {
    outputs.iter().find_map(|output| match output {
        Output::Over(departure) => Some(*departure),
        _ => None,
    })
}

fn silence(_: u32) -> i16 {
    0
}

fn visitor(token: &str) -> Box<Visitor> {
    let resume = json!({ "session_id": "session", "epoch": 0, "resume_token": token, "received": 0 });
    Box::new(Visitor {
        number: 7,
        hello: hello(Some(resume)),
        identity: identity(),
        left: Duration::from_secs(3_600),
        token: "resume-1".into(),
        hash: [1; 32],
        replaced: [0; 32],
    })
}

#[test]
fn a_call_is_heard_answered_billed_stored_and_ended_in_this_order() {
    let mut bench = Bench::begin();
    let mut outputs = bench.audio(15, voice);
    outputs.extend(bench.audio(20, silence));
    let told = kinds(&outputs);
    let place =
        |kind: &str| told.iter().position(|told| told == kind).unwrap_or_else(|| panic!("{kind}: {told:?}"));
    assert!(place("transcript") < place("audio") && place("audio") < place("reply_end"), "{told:?}");
    let outputs = bench.text(&json!({ "type": "bye", "end": bench.chunks }));
    assert_eq!(over(&outputs), None, "it is not stored yet");
    let outputs = bench.let_store_answer();
    let mut told = kinds(&outputs);
    told.retain(|kind| kind != "agent" && kind != "usage");
    assert_eq!(told, ["ack", "ended", "close normal"]);
    assert_eq!(over(&outputs), Some(Departure::Ended(CloseCode::Normal)));
    assert_eq!(bench.written.last(), Some(&"end"));
    let turns = bench.written.iter().position(|kind| *kind == "turns").expect("a turn");
    assert_eq!(bench.written[turns - 1], "settlement", "what a turn cost is written before it");
    assert_eq!(bench.machine.usage().cost_nano_usd, bench.cost.get());
}

const DRAIN: Input = Input::Drain { within: Duration::from_secs(10) };
const MOVED: Departure = Departure::HandedOff { code: CloseCode::GoingAway, let_go: true };

/// How often a client is told to go on elsewhere.
fn moves(outputs: &[Output]) -> usize {
    kinds(outputs).iter().filter(|kind| *kind == "move").count()
}

#[test]
fn a_client_that_says_nothing_is_sent_elsewhere_and_its_session_lets_go_when_it_is_gone() {
    let mut bench = Bench::begin_as(&["move"]);
    let mut outputs = bench.input(DRAIN);
    while moves(&outputs) == 0 {
        assert!(bench.chunks < 81, "{:?}", kinds(&outputs));
        outputs.extend(bench.audio(1, silence));
    }
    assert_eq!(over(&outputs), None, "the client goes by itself");
    let outputs = bench.input(Input::Incoming(Incoming::Gone(None)));
    assert_eq!(over(&outputs), None, "what it owes is written first");
    assert_eq!(over(&bench.let_store_answer()), Some(MOVED));
    assert!(bench.written.contains(&"detached"), "{:?}", bench.written);
    assert_eq!(bench.written.last(), Some(&"settlement"), "{:?}", bench.written);
}

#[test]
fn a_client_that_speaks_is_sent_elsewhere_at_the_end_of_the_time() {
    let mut bench = Bench::begin_as(&["move"]);
    let mut outputs = bench.audio(5, voice);
    outputs.extend(bench.input(DRAIN));
    outputs.extend(bench.audio(79, voice));
    assert_eq!(moves(&outputs), 0, "{:?}", kinds(&outputs));
    assert_eq!(moves(&bench.audio(12, voice)), 1);
}

#[test]
fn a_client_that_does_not_know_how_to_go_is_closed_on_and_so_is_none_that_is_away() {
    let mut bench = Bench::begin();
    let mut outputs = bench.input(DRAIN);
    while over(&outputs).is_none() {
        assert!(bench.chunks < 81, "{:?}", kinds(&outputs));
        outputs.extend(bench.audio(1, silence));
    }
    assert_eq!((moves(&outputs), over(&outputs)), (0, Some(MOVED)), "{:?}", kinds(&outputs));
    assert!(kinds(&outputs).contains(&"close going_away".to_owned()));

    let mut bench = Bench::begin_as(&["move"]);
    bench.audio(1, silence);
    bench.input(Input::Incoming(Incoming::Gone(None)));
    bench.let_store_answer();
    bench.input(DRAIN);
    assert_eq!(over(&bench.let_store_answer()), Some(MOVED));
}

#[test]
fn while_the_connection_takes_no_more_the_agents_words_wait_and_the_user_is_heard() {
    let mut bench = Bench::begin();
    bench.audio(15, voice);
    bench.is_ready = false;
    let told = kinds(&bench.audio(20, silence));
    assert!(told.iter().all(|kind| kind == "ack" || kind == "usage"), "{told:?}");
    assert!(told.iter().any(|kind| kind == "ack"), "{told:?}");
    bench.is_ready = true;
    let told = kinds(&bench.drain());
    assert!(
        told.iter().any(|kind| kind == "transcript") && told.iter().any(|kind| kind == "audio"),
        "{told:?}"
    );
}

#[test]
fn an_answer_that_is_cut_off_is_noted_and_how_long_frames_waited_for_their_acknowledgement_is_told_once() {
    let mut bench = Bench::begin();
    bench.audio(40, voice);
    let mut outputs = bench.audio(15, silence);
    outputs.extend(bench.audio(10, voice));
    let flushes = kinds(&outputs).iter().filter(|kind| *kind == "flush").count();
    let noted = outputs.iter().filter(|output| matches!(output, Output::Log(Log::Interrupted))).count();
    assert_eq!((flushes, noted), (1, 1));
    let waited = bench.machine.take_acknowledged_after();
    assert!(waited.is_some_and(|waited| waited <= Duration::from_millis(200)), "{waited:?}");
    assert_eq!(bench.machine.take_acknowledged_after(), None);
}

#[test]
fn a_connection_with_a_good_resume_token_is_greeted_once_the_next_one_is_stored() {
    let mut bench = Bench::begin();
    let outputs = bench.input(Input::Resume(visitor("made up")));
    assert!(matches!(outputs[..], [Output::HandBack(7)]), "{outputs:?}");
    let outputs = bench.input(Input::Resume(visitor("resume-0")));
    assert_eq!(kinds(&outputs), [""; 0], "{outputs:?}");
    assert_eq!(bench.written, ["resumed"]);
    let outputs = bench.let_store_answer();
    let attached = outputs.iter().position(|output| matches!(output, Output::Attach(7))).expect("attached");
    assert_eq!(kinds(&outputs[..attached]), [""; 0], "nothing is said over the old one");
    assert_eq!(kinds(&outputs[attached..])[0], "resumed");
    assert_eq!(bench.machine.reconnects(), 1);
}

#[test]
fn a_lost_connection_is_noted_and_the_session_waits_for_another_one() {
    let mut bench = Bench::begin();
    bench.text(&json!({ "type": "ack", "received": 0, "played": 0 }));
    let outputs = bench.input(Input::Incoming(Incoming::Gone(None)));
    assert!(matches!(outputs[0], Output::Drop), "{outputs:?}");
    assert_eq!(bench.written, ["detached"]);
    bench.let_store_answer();
    let outputs = bench.until(bench.now + Duration::from_secs(119));
    assert_eq!(over(&outputs), None);
    let outputs = bench.until(bench.now + Duration::from_secs(2));
    assert_eq!(over(&outputs), Some(Departure::Ended(CloseCode::Abnormal)));
}

#[test]
fn a_client_that_breaks_the_rules_of_its_transport_is_told_how_and_ends_its_session() {
    let mut bench = Bench::begin();
    let outputs = bench.input(Input::Incoming(Incoming::Gone(Some(CloseCode::TooBig))));
    assert_eq!(kinds(&outputs), ["close too_big"]);
    let outputs = bench.let_store_answer();
    assert_eq!(over(&outputs), Some(Departure::Ended(CloseCode::TooBig)));
}

#[test]
fn a_used_up_budget_is_noted_after_what_was_spent() {
    // Three seconds of listening.
    let price = PriceTable::shipped().price("echo/listening").expect("priced").clone();
    let budget = Meter::new(price, 16_000).price_of(Duration::from_secs(3));
    let mut bench = Bench::with(budget);
    let hello = Box::new(hello(None));
    bench.input(Input::Begin { hello, attachment: Attachment::New, token: "resume-0".into() });
    let mut outputs = bench.audio(40, silence);
    outputs.extend(bench.until(bench.now + Duration::from_secs(15)));
    assert_eq!(over(&outputs), Some(Departure::Ended(CloseCode::Budget)), "{:?}", bench.written);
    let of = |kind| bench.written.iter().rposition(|written| *written == kind);
    assert!(of("settlement") < of("exhausted") && of("exhausted") < of("end"), "{:?}", bench.written);
    assert_eq!(bench.cost, budget, "no more is heard than is paid for");
}

#[test]
fn a_relay_that_stops_writes_what_was_heard_before_it_says_that_nobody_is_connected() {
    let mut bench = Bench::begin();
    bench.audio(3, silence);
    bench.written.clear();
    let outputs = bench.input(Input::Shutdown);
    assert_eq!(over(&outputs), None);
    assert!(!bench.machine.listens() && !bench.machine.takes_commands());
    let outputs = bench.let_store_answer();
    assert_eq!(bench.written, ["settlement", "detached"]);
    let departure = Departure::HandedOff { code: CloseCode::GoingAway, let_go: true };
    assert_eq!(over(&outputs), Some(departure));
}

#[test]
fn what_a_session_that_leaves_cannot_write_is_kept_and_then_held() {
    let mut bench = Bench::begin();
    bench.audio(3, silence);
    bench.input(Input::Shutdown);
    let mut outputs = Vec::new();
    while over(&outputs).is_none() {
        bench.now = bench.machine.poll_timeout().expect("it does not wait for ever");
        outputs.extend(bench.input(Input::Timeout));
        if outputs.iter().any(|output| matches!(output, Output::Keep(_))) {
            outputs.extend(bench.input(Input::Kept(vec![None])));
        }
    }
    let held = outputs.iter().any(|output| matches!(output, Output::Hold(entries) if entries.len() == 1));
    assert!(held, "{outputs:?}");
}

#[test]
fn a_session_that_another_relay_has_is_gone_with_its_first_fenced_write() {
    let mut bench = Bench::begin();
    bench.failure = Some(FailureKind::Fenced);
    let outputs = bench.audio(60, silence);
    assert_eq!(over(&outputs), Some(Departure::TakenOver));
    assert_eq!(bench.written.len(), 1, "nothing more is written");
}

#[test]
fn while_the_database_is_away_the_call_goes_on_and_leaves_after_the_grace() {
    let mut bench = Bench::begin();
    bench.failure = Some(FailureKind::Away);
    let begun = bench.now;
    let mut outputs = Vec::new();
    while over(&outputs).is_none() {
        outputs.extend(bench.audio(1, silence));
        if outputs.iter().any(|output| matches!(output, Output::Keep(_))) {
            outputs.extend(bench.input(Input::Kept(vec![Some(1); 9])));
        }
        assert!(bench.now.since(begun) < Duration::from_secs(120), "it leaves");
    }
    assert!(bench.now.since(begun) > Duration::from_secs(60));
    assert!(matches!(
        over(&outputs),
        Some(Departure::HandedOff { code: CloseCode::TryLater, let_go: false })
    ));
}

#[test]
fn a_goodbye_is_said_to_its_end_even_if_the_connection_fills_up_in_the_middle_of_it() {
    let mut bench = Bench::begin();
    bench.audio(3, silence);
    bench.is_ready = false;
    bench.text(&json!({ "type": "bye", "end": bench.chunks }));
    let outputs = bench.let_store_answer();
    assert_eq!(over(&outputs), None, "the connection takes nothing");
    let mut outputs = vec![bench.machine.poll_output(true).expect("it goes on")];
    while kinds(&outputs).last().is_none_or(|kind| kind != "ack") {
        outputs.push(bench.machine.poll_output(true).expect("it goes on"));
    }
    let outputs = bench.drain();
    assert_eq!(kinds(&outputs), ["ended", "close normal"]);
    assert_eq!(over(&outputs), Some(Departure::Ended(CloseCode::Normal)));
}

fn command(id: &str) -> Command {
    let kind = call::CommandKind::Say { interrupt: false };
    Command { id: id.into(), kind, text: "We close soon.".into() }
}

/// What has become of commands, in order.
fn noted(outputs: &[Output]) -> Vec<(&str, Result<(), NotTold>)> {
    let noted = outputs.iter().filter_map(|output| match output {
        Output::NoteCommand { id, told } => Some((id.as_str(), *told)),
        _ => None,
    });
    noted.collect()
}

fn claims(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::ClaimCommands)).count()
}

#[test]
fn commands_are_taken_once_at_a_time_and_each_is_noted_and_the_page_hears_nothing_of_one_that_is_refused() {
    let mut bench = Bench::begin();
    assert_eq!(claims(&bench.input(Input::LookForCommands)), 1);
    assert_eq!(claims(&bench.input(Input::LookForCommands)), 0, "they are being taken");
    let outputs = bench.input(Input::Commands(vec![command("c-1"), command("c-2")]));
    let refused = Err(NotTold::AgentCannot);
    assert_eq!(noted(&outputs), [("c-1", refused), ("c-2", refused)], "the echo says what it heard");
    assert_eq!(kinds(&outputs), [""; 0]);
    assert_eq!(claims(&bench.input(Input::LookForCommands)), 1, "there may be more");
    assert!(noted(&bench.input(Input::Commands(Vec::new()))).is_empty());
}

#[test]
fn what_comes_for_a_session_that_ends_or_leaves_is_not_told_and_nothing_more_is_taken_for_it() {
    for (input, why) in [
        (Input::End(CloseCode::EndedByOperator), NotTold::CallEnded),
        (Input::Shutdown, NotTold::CallMoved),
        (Input::HandOff, NotTold::CallMoved),
    ] {
        let mut bench = Bench::begin();
        bench.audio(1, silence);
        bench.input(Input::LookForCommands);
        bench.input(input);
        assert_eq!(claims(&bench.input(Input::LookForCommands)), 0);
        let outputs = bench.input(Input::Commands(vec![command("c-1")]));
        assert_eq!(noted(&outputs), [("c-1", Err(why))]);
        bench.let_store_answer();
        assert_eq!(claims(&bench.input(Input::LookForCommands)), 0);
    }
}

#[test]
fn what_comes_for_a_session_that_is_to_go_elsewhere_is_for_the_next_relay_also_once_its_client_is_told() {
    let mut bench = Bench::begin_as(&["move"]);
    bench.audio(5, voice);
    assert_eq!(claims(&bench.input(Input::LookForCommands)), 1);
    bench.input(DRAIN);
    while !bench.machine.policy.is_moving() {
        assert!(bench.chunks < 90, "its moment comes");
        bench.audio(1, voice);
    }
    let outputs = bench.input(Input::Commands(vec![command("c-1")]));
    assert_eq!(noted(&outputs), [("c-1", Err(NotTold::CallMoved))]);
    assert_eq!(claims(&bench.input(Input::LookForCommands)), 0, "what waits is for the next one");
    let mut outputs = Vec::new();
    while moves(&outputs) == 0 {
        assert!(bench.chunks < 100, "{:?}", kinds(&outputs));
        outputs.extend(bench.audio(1, voice));
    }
    assert!(bench.machine.is_live(), "the client has not gone yet");
    assert_eq!(claims(&bench.input(Input::LookForCommands)), 0);
    let outputs = bench.input(Input::Commands(vec![command("c-2")]));
    assert_eq!(noted(&outputs), [("c-2", Err(NotTold::CallMoved))]);
}
