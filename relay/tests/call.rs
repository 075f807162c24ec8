//! The call's machine against a script, with an agent that does as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::relay::Saying;
use protocol::{
    Ability, AgentState, BudgetScope, CloseCode, Degraded, ErrorCode, Gap, Latency, Mark, Role, Time,
    ToolCall, ToolCancel, Upward, Usage,
};
use relay::NanoUsd;
use relay::agent::{Agent, AgentInput, AgentOutput};
use relay::call::Turn;
use relay::call::{Call, Input, Output, Start};
use relay::money::bill::{AtMost, ItemPrice, Quantity, TokenUsage};
use relay::money::budget::{Balance, Caps, Grant, Range, Reserved, Scope, Shortage, Standing};
use relay::money::ledger::LedgerRow;
use relay::money::meter::Meter;
use relay::money::price::PriceTable;
use relay::money::tab::{Earlier, RequestId, Tab};
use relay::provider::{Ask, Event};
use relay::records::store::Settled;

type Script = Arc<Mutex<VecDeque<AgentOutput>>>;

/// Does as the script says. What it says of sound comes when there is room for it.
struct Puppet {
    script: Script,
    told: Told,
    /// Samples of the answer that were not given yet.
    sound: Option<usize>,
}

type Told = Arc<Mutex<Vec<String>>>;

impl Agent for Puppet {
    fn rate(&self) -> u32 {
        24_000
    }

    fn handle_input(&mut self, _now: Time, input: AgentInput<'_>) {
        let mut script = self.script.lock().expect("one thread");
        match input {
            AgentInput::Room { samples } => {
                let Some(left) = self.sound else { return };
                let now = left.min(samples as usize);
                script.push_back(AgentOutput::Sound(vec![5; now]));
                self.sound = Some(left - now).filter(|left| *left > 0);
                if self.sound.is_none() {
                    script.push_back(AgentOutput::AnswerEnd);
                }
            }
            AgentInput::Audio { .. } => {}
            other => self.told.lock().expect("one thread").push(format!("{other:?}")),
        }
    }

    fn poll_output(&mut self) -> Option<AgentOutput> {
        let output = self.script.lock().expect("one thread").pop_front();
        match &output {
            Some(AgentOutput::Words { end, last: true, .. }) => self.sound = Some(*end as usize),
            Some(AgentOutput::Cut) => self.sound = None,
            _ => {}
        }
        output
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Did {
    Say(Saying),
    Speak(usize),
    Usage(Usage),
    Trouble(ErrorCode),
    Commit(Mark),
    Store(Vec<Turn>, Mark),
    Settle(Vec<LedgerRow>, u32, bool),
    Reserve(Range, NanoUsd, NanoUsd),
    Open(RequestId),
    Feed(RequestId),
    Cancel(RequestId),
    Exhausted(Shortage),
    End(CloseCode),
}

struct Bench {
    call: Call,
    script: Script,
    told: Told,
    now: Time,
    chunks: u32,
    caps: Caps,
    /// What the last settlement says to be exposed.
    exposed: NanoUsd,
    /// What it says may be played again.
    replayable: Option<u32>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(NanoUsd::new(5_000_000_000), 0)
    }

    fn with(authorised: NanoUsd, replayable: u32) -> Bench {
        let (session, user_day) = (authorised, NanoUsd::new(2 * authorised.get()));
        Bench::of(Caps { session, user_day, account_month: NanoUsd::MAX }, authorised, replayable)
    }

    fn of(caps: Caps, authorised: NanoUsd, replayable: u32) -> Bench {
        let price = PriceTable::shipped().price("echo/listening").expect("priced").clone();
        let tab = Tab::new(Meter::new(price, 16_000), Vec::new(), 0, Earlier::default());
        Bench::of_tab(caps, authorised, replayable, tab)
    }

    /// One that another relay had.
    fn taken_over() -> Bench {
        let caps = Caps { session: NanoUsd::MAX, user_day: NanoUsd::new(100), account_month: NanoUsd::MAX };
        let price = PriceTable::shipped().price("echo/listening").expect("priced").clone();
        let tab = Tab::new(Meter::new(price, 16_000), Vec::new(), 1, Earlier::default());
        Bench::start(caps, NanoUsd::ZERO, 0, tab, true)
    }

    fn of_tab(caps: Caps, authorised: NanoUsd, replayable: u32, tab: Tab) -> Bench {
        Bench::start(caps, authorised, replayable, tab, false)
    }

    fn start(caps: Caps, authorised: NanoUsd, replayable: u32, tab: Tab, is_taken_over: bool) -> Bench {
        let script = Script::default();
        let start = Start {
            mark: Mark::default(),
            turn: 0,
            tab,
            caps,
            grant: Grant { authorised, standing: Standing::unused(caps) },
            is_taken_over,
            replayable,
            metered_through: 0,
        };
        let now = Time::from_millis(1);
        let told = Told::default();
        let puppet = Puppet { script: script.clone(), told: told.clone(), sound: None };
        let mut bench = Bench {
            call: Call::new(now, Box::new(puppet), start),
            script,
            told,
            now,
            chunks: 0,
            caps,
            exposed: NanoUsd::ZERO,
            replayable: None,
        };
        assert_eq!(bench.drain(), [Did::Say(Saying::Agent(AgentState::Listening))]);
        bench
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Did> {
        self.call.handle_input(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Did> {
        let mut did = Vec::new();
        while let Some(output) = self.call.poll_output() {
            did.push(match output {
                Output::Say(saying) => Did::Say(saying),
                Output::Speak(samples) => Did::Speak(samples.len()),
                Output::Usage(usage) => Did::Usage(usage),
                Output::Trouble(code) => Did::Trouble(code),
                Output::Commit(mark) => Did::Commit(mark),
                Output::Store { turns, committed } => Did::Store(turns, committed),
                Output::Settle { rows, through, release, exposed, replayable, .. } => {
                    self.exposed = exposed;
                    self.replayable = Some(replayable);
                    Did::Settle(rows, through, release)
                }
                Output::Reserve { through, spent, exposed } => Did::Reserve(through, spent, exposed),
                Output::Open { request, .. } => Did::Open(request),
                Output::Feed { request, .. } => Did::Feed(request),
                Output::Cancel(request) => Did::Cancel(request),
                Output::Exhausted(shortage) => Did::Exhausted(shortage),
                Output::End { code } => Did::End(code),
            });
        }
        did
    }

    /// 100 ms of the user; the agent then does this.
    fn chunk(&mut self, does: impl IntoIterator<Item = AgentOutput>) -> Vec<Did> {
        self.script.lock().expect("one thread").extend(does);
        let mark = Mark { seq: self.chunks, position: self.chunks * 1_600 };
        self.chunks += 1;
        self.input(Input::Audio { mark, payload: &[0; 3_200] })
    }

    fn wait(&mut self, span: Duration) -> Vec<Did> {
        let (end, mut did) = (self.now + span, Vec::new());
        while let Some(due) = self.call.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            did.extend(self.input(Input::Timeout));
        }
        self.now = end;
        did
    }

    /// The user says something and the agent begins to answer for so long.
    fn answered(&mut self, seconds: usize) -> Vec<Did> {
        let mut did = self.chunk([said(0, 1_600), reply(seconds)]);
        did.retain(|did| !matches!(did, Did::Usage(_)));
        did
    }
}

fn settled(settled: &Settled) -> Input<'_> {
    Input::Settled { cost: settled.cost, standing: &settled.standing }
}

fn said(start: u32, end: u32) -> AgentOutput {
    AgentOutput::Said { text: "hello".into(), start, end }
}

fn reply(seconds: usize) -> AgentOutput {
    let end = u32::try_from(seconds * 24_000).expect("short");
    AgentOutput::Words { text: "hello yourself".into(), start: 0, end, last: true }
}

fn stored_heard(did: &[Did]) -> Option<u32> {
    did.iter().find_map(|did| match did {
        Did::Store(turns, _) => {
            turns.iter().find(|turn| turn.role == Role::Agent).and_then(|turn| turn.heard)
        }
        _ => None,
    })
}

fn spoken(did: &[Did]) -> usize {
    did.iter().map(|did| if let Did::Speak(samples) = did { *samples } else { 0 }).sum()
}

/// What the user typed.
fn typed(text: &str) -> Upward {
    Upward::Text { text: text.to_owned() }
}

#[test]
fn a_turn_is_told_stored_and_only_then_committed() {
    let mut bench = Bench::new();
    bench.chunk([]);
    let did = bench.chunk([said(0, 3_200)]);
    let committed = Mark { seq: 2, position: 3_200 };
    assert!(
        matches!(&did[0], Did::Say(Saying::Transcript(turn)) if turn.role == Role::User && turn.text == "hello")
    );
    assert!(
        matches!(&did[1], Did::Settle(rows, 3_200, false) if rows.len() == 1),
        "what is committed is in the ledger before: {did:?}"
    );
    assert!(matches!(&did[2], Did::Store(turns, mark) if turns.len() == 1 && *mark == committed), "{did:?}");
    assert_eq!(did[3], Did::Say(Saying::Agent(AgentState::Thinking)));
    assert_eq!(bench.input(settled(&Settled::default())), [], "its turn is not stored yet");
    assert_eq!(bench.input(Input::Stored { committed }), [Did::Commit(committed)]);
}

#[test]
fn what_belongs_to_no_turn_is_committed_when_it_is_in_the_ledger() {
    let mut bench = Bench::new();
    bench.chunk([]);
    bench.chunk([]);
    assert_eq!(bench.chunk([AgentOutput::Final { through: 3_300 }]), [], "it is not in the ledger yet");
    let did = bench.input(Input::Checkpoint { sent_away: true });
    assert!(matches!(did.as_slice(), [Did::Settle(rows, 4_800, true)] if rows.len() == 1), "{did:?}");
    assert_eq!(
        bench.input(settled(&Settled::default())),
        [Did::Commit(Mark { seq: 2, position: 3_200 })],
        "the frame that is only partly final stays"
    );
}

#[test]
fn an_answer_is_sent_two_seconds_ahead_and_no_further() {
    let mut bench = Bench::new();
    let did = bench.answered(10);
    assert_eq!(spoken(&did), 21 * 2_400);
    assert_eq!(spoken(&bench.wait(Duration::from_secs(3))), 30 * 2_400);
    let did = bench.wait(Duration::from_secs(6));
    assert_eq!(spoken(&did), 49 * 2_400);
    assert_eq!(did.last(), Some(&Did::Say(Saying::ReplyEnd)));
}

#[test]
fn without_a_connection_the_agent_waits_and_then_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.answered(10);
    bench.input(Input::Room(false));
    assert_eq!(spoken(&bench.wait(Duration::from_secs(30))), 0);
    let did = bench.input(Input::Room(true));
    assert_eq!(spoken(&did), 21 * 2_400, "two seconds ahead again, not thirty");
}

#[test]
fn an_answer_that_was_heard_ends_and_its_turn_says_so() {
    let mut bench = Bench::new();
    bench.answered(1);
    assert_eq!(stored_heard(&bench.input(Input::Played(12_000))), None);
    let did = bench.input(Input::Played(24_000));
    assert_eq!(stored_heard(&did), Some(24_000));
    assert!(did.contains(&Did::Say(Saying::Agent(AgentState::Listening))));
}

#[test]
fn a_client_that_never_says_what_it_played_leaves_nobody_stuck_in_speaking() {
    let mut bench = Bench::new();
    bench.answered(1);
    assert!(bench.wait(Duration::from_secs(5)).contains(&Did::Say(Saying::Agent(AgentState::Listening))));
}

#[test]
fn an_interrupted_answer_is_flushed_and_stored_as_far_as_it_was_heard() {
    let mut bench = Bench::new();
    bench.answered(10);
    bench.input(Input::Played(30_000));
    let did = bench.chunk([AgentOutput::Cut, AgentOutput::SpeechStarted { at: 1_600 }]);
    assert_eq!(did[0], Did::Say(Saying::Flush));
    assert_eq!(stored_heard(&did), Some(30_000));
    assert_eq!(spoken(&bench.wait(Duration::from_secs(20))), 0, "the rest is never sent");
    // The next answer begins where the sending stopped, not where the dropped one would have ended.
    let did = bench.chunk([said(1_600, 3_200), reply(1)]);
    let start = did.iter().find_map(|did| match did {
        Did::Say(Saying::Transcript(turn)) if turn.role == Role::Agent => Some(turn.start),
        _ => None,
    });
    assert_eq!(start, Some(21 * 2_400));
}

#[test]
fn usage_is_told_once_a_second_and_recorded_every_five() {
    let mut bench = Bench::new();
    let (mut told, mut recorded) = (0, 0);
    for _ in 0..100 {
        for did in bench.chunk([]).into_iter().chain(bench.wait(Duration::from_millis(100))) {
            match did {
                Did::Usage(_) => told += 1,
                Did::Settle(rows, through, false) => {
                    recorded += rows.first().expect("something was counted").quantity;
                    assert_eq!(u64::from(through), recorded);
                }
                _ => {}
            }
        }
    }
    assert!((9..=10).contains(&told), "{told}");
    assert!(recorded >= 5 * 16_000, "{recorded}");
}

#[test]
fn nothing_is_taken_that_would_cost_more_than_the_budget() {
    // A tenth of a second costs 8,000 nano-dollars.
    let mut bench = Bench::with(NanoUsd::new(20_000), 0);
    bench.chunk([]);
    let did = bench.chunk([]);
    let [.., Did::Settle(rows, _, false)] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!(rows[0].cost, NanoUsd::new(16_000), "four fifths are settled as soon as they are told");
    let needed = NanoUsd::new(24_000);
    assert_eq!(
        bench.chunk([]),
        [Did::Reserve(Range { at_least: needed, at_most: needed }, NanoUsd::new(16_000), NanoUsd::ZERO)]
    );
    let balance =
        Balance { limit: NanoUsd::new(20_000), spent: NanoUsd::ZERO, reserved: NanoUsd::new(20_000) };
    let shortage =
        Shortage { scope: Scope::Session, balance, contended: false, authorised: NanoUsd::new(20_000) };
    let did = bench.input(Input::Reserved(&Reserved::Short(shortage)));
    let [
        Did::Exhausted(told),
        Did::Say(words),
        Did::Store(turns, _),
        Did::Say(budget),
        Did::Settle(rows, _, true),
    ] = did.as_slice()
    else {
        panic!("{did:?}")
    };
    assert_eq!((*told, rows.len()), (shortage, 0));
    assert!(matches!(words, Saying::Transcript(turn) if turn.text.contains("budget") && turn.last));
    assert_eq!(turns[0].role, Role::Agent);
    assert!(matches!(budget, Saying::Budget(budget) if budget.percent == 100));
    assert_eq!(bench.call.usage().cost_nano_usd, 16_000, "two chunks and not the third");
    assert_eq!(bench.call.usage().left_nano_usd, 4_000);
    bench.input(Input::Stored { committed: Mark::default() });
    assert_eq!(bench.input(settled(&Settled::default())), []);
    assert_eq!(bench.input(settled(&Settled::default())), [Did::End(CloseCode::Budget)]);
}

#[test]
fn a_budget_that_is_used_up_in_one_jump_is_told_at_each_threshold_in_order() {
    // Less than the first tenth of a second costs.
    let mut bench = Bench::with(NanoUsd::new(7_000), 0);
    bench.chunk([]);
    let balance = Balance { limit: NanoUsd::new(7_000), spent: NanoUsd::ZERO, reserved: NanoUsd::new(7_000) };
    let shortage =
        Shortage { scope: Scope::Session, balance, contended: false, authorised: NanoUsd::new(7_000) };
    let did = bench.input(Input::Reserved(&Reserved::Short(shortage)));
    let told: Vec<_> = did
        .iter()
        .filter_map(|did| match did {
            Did::Say(Saying::Budget(budget)) => Some((budget.scope, budget.percent, budget.spent_nano_usd)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [50, 80, 100].map(|percent| (BudgetScope::Session, percent, 0)));
}

#[test]
fn audio_waits_for_money_in_its_order_and_then_goes_on() {
    let caps = Caps { session: NanoUsd::MAX, user_day: NanoUsd::MAX, account_month: NanoUsd::MAX };
    let mut bench = Bench::of(caps, NanoUsd::new(8_000), 0);
    assert!(matches!(bench.chunk([]).as_slice(), [Did::Reserve(..)]), "more is asked for ahead of time");
    assert_eq!(bench.chunk([]), [], "not paid for, so it waits");
    let gap = Gap { from: Mark { seq: 2, position: 3_200 }, to: Mark { seq: 3, position: 4_800 } };
    assert_eq!(bench.input(Input::Gap(gap)), []);
    bench.chunks += 1;
    assert_eq!(bench.chunk([]), []);
    assert_eq!(bench.input(Input::Bye), []);
    assert_eq!(bench.call.usage().cost_nano_usd, 8_000);
    let grant = Grant { authorised: NanoUsd::new(1_000_000), standing: Standing::unused(caps) };
    let did = bench.input(Input::Reserved(&Reserved::Granted(grant)));
    let [Did::Settle(rows, 6_400, true)] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!((rows[0].quantity, rows[0].cost), (4_800, NanoUsd::new(24_000)));
    assert_eq!(bench.input(settled(&Settled::default())), [Did::End(CloseCode::Normal)]);
}

#[test]
fn what_others_have_set_aside_is_asked_for_again_until_it_is_there() {
    let caps = Caps { session: NanoUsd::MAX, user_day: NanoUsd::new(100_000), account_month: NanoUsd::MAX };
    let mut bench = Bench::of(caps, NanoUsd::new(8_000), 0);
    bench.chunk([]);
    let balance = Balance { limit: caps.user_day, spent: NanoUsd::ZERO, reserved: NanoUsd::new(95_000) };
    let shortage = Shortage { scope: Scope::User, balance, contended: true, authorised: NanoUsd::new(8_000) };
    let short = Reserved::Short(shortage);
    assert_eq!(bench.input(Input::Reserved(&short)), []);
    bench.chunk([]);
    let mut asked = 0;
    for _ in 0..40 {
        let did = bench.wait(Duration::from_millis(100));
        if did.iter().any(|did| matches!(did, Did::Reserve(..))) {
            asked += 1;
            assert_eq!(bench.input(Input::Reserved(&short)), []);
        }
    }
    assert!((6..=8).contains(&asked), "twice a second: {asked}");
    for _ in 0..80 {
        let did = bench.wait(Duration::from_millis(100));
        if did.iter().any(|did| matches!(did, Did::Exhausted(_))) {
            return;
        }
        if did.iter().any(|did| matches!(did, Did::Reserve(..))) {
            bench.input(Input::Reserved(&short));
        }
    }
    panic!("it is given up in the end");
}

#[test]
fn each_threshold_of_each_budget_is_told_once() {
    let mut bench = Bench::new();
    bench.chunk([]);
    let standing = |session: u64, user: u64| {
        let balance =
            |spent| Balance { limit: NanoUsd::new(100), spent: NanoUsd::new(spent), reserved: NanoUsd::ZERO };
        Settled {
            standing: Standing { session: balance(session), user: balance(user), account: balance(0) },
            cost: NanoUsd::new(8_000),
            ..Settled::default()
        }
    };
    let mut told = |session, user| -> Vec<(BudgetScope, u32)> {
        let did = bench.input(settled(&standing(session, user)));
        let budget = |did: &Did| match did {
            Did::Say(Saying::Budget(budget)) => Some((budget.scope, budget.percent)),
            _ => None,
        };
        did.iter().filter_map(budget).collect()
    };
    assert_eq!(told(49, 0), []);
    assert_eq!(told(50, 85), [(BudgetScope::Session, 50), (BudgetScope::User, 50), (BudgetScope::User, 80)]);
    assert_eq!(told(79, 99), []);
    assert_eq!(told(81, 100), [(BudgetScope::Session, 80), (BudgetScope::User, 100)]);
}

#[test]
fn audio_that_was_metered_before_a_crash_is_not_metered_again() {
    let mut bench = Bench::with(NanoUsd::new(5_000_000_000), 2_400);
    bench.chunk([]);
    assert_eq!(bench.call.usage().cost_nano_usd, 0);
    bench.chunk([]);
    assert_eq!(bench.call.usage().cost_nano_usd, 4_000, "half of the second chunk");
}

#[test]
fn what_is_played_again_is_claimed_before_anybody_else_may_have_it_whatever_comes_before_it() {
    for before in 0..3 {
        let mut bench = Bench::with(NanoUsd::new(5_000_000_000), 24_000);
        let mut did = Vec::new();
        match before {
            1 => {
                let gap = Gap { from: Mark::default(), to: Mark { seq: 1, position: 0 } };
                did.extend(bench.input(Input::Gap(gap)));
            }
            2 => did.extend(bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") })),
            _ => {}
        }
        did.extend(bench.input(Input::Audio { mark: Mark { seq: 1, position: 0 }, payload: &[0; 3_200] }));
        assert_eq!(bench.replayable, Some(0), "after {before}: {did:?}");
    }
}

#[test]
fn hanging_up_ends_when_everything_is_written_and_not_before() {
    let mut bench = Bench::new();
    bench.chunk([]);
    bench.script.lock().expect("one thread").push_back(said(0, 1_600));
    let did = bench.input(Input::Bye);
    assert!(
        matches!(
            did.as_slice(),
            [Did::Say(_), Did::Settle(rows, _, false), Did::Store(..), Did::Settle(none, _, true)]
                if rows.len() == 1 && none.is_empty()
        ),
        "{did:?}"
    );
    let committed = Mark { seq: 1, position: 1_600 };
    assert_eq!(bench.input(settled(&Settled::default())), []);
    assert_eq!(bench.input(Input::Stored { committed }), [Did::Commit(committed)]);
    assert_eq!(bench.input(settled(&Settled::default())), [Did::End(CloseCode::Normal)]);
    assert_eq!(bench.input(settled(&Settled::default())), [], "once");
}

#[test]
fn a_gap_costs_nothing_and_can_be_committed() {
    let mut bench = Bench::new();
    let gap = Gap { from: Mark::default(), to: Mark { seq: 10, position: 16_000 } };
    bench.script.lock().expect("one thread").push_back(AgentOutput::Final { through: 16_000 });
    bench.input(Input::Gap(gap));
    bench.now = bench.now + Duration::from_secs(6);
    let did = bench.input(Input::Timeout);
    assert!(
        matches!(did.as_slice(), [.., Did::Settle(rows, ..)] if rows.is_empty()),
        "stored before it is told: {did:?}"
    );
    assert_eq!(bench.input(settled(&Settled::default())), [Did::Commit(gap.to)]);
    assert_eq!(bench.call.usage().cost_nano_usd, 0);
}

const MIND: RequestId = RequestId(0);

/// A call whose agent may ask a language model, at 1 dollar for a million tokens of the prompt and 5 for those of the answer.
fn thinking(authorised: u64) -> Bench {
    let toml = r#"
        version = "1"
        item = [
            { name = "acme/ear", unit = "second", usd = "0.0048", per = 60 },
            { name = "acme/mind", unit = "input_token", usd = "1", per = 1000000 },
            { name = "acme/mind", unit = "output_token", usd = "5", per = 1000000 },
        ]"#;
    let table = PriceTable::parse(toml).expect("a table");
    let ear = Meter::new(table.price("acme/ear").expect("priced").clone(), 16_000);
    let mind = ItemPrice::model(&table, "acme/mind", 0).expect("priced");
    let caps = Caps { session: NanoUsd::MAX, user_day: NanoUsd::MAX, account_month: NanoUsd::MAX };
    Bench::of_tab(caps, NanoUsd::new(authorised), 0, Tab::new(ear, vec![mind], 3, Earlier::default()))
}

fn ask() -> AgentOutput {
    AgentOutput::Ask {
        request: MIND,
        provider: 0,
        ask: Ask::Chat(relay::provider::Chat { messages: Vec::new(), max_output_tokens: 100 }),
        at_most: AtMost::Tokens { prompt: 1_000, output: 100 },
    }
}

fn spent(input: u64, output: u64) -> AgentOutput {
    AgentOutput::Spent {
        request: MIND,
        used: Some(Quantity::Tokens(TokenUsage { input, output, ..TokenUsage::default() })),
        estimated: false,
        provider_id: None,
    }
}

const WORST: NanoUsd = NanoUsd::new(1_500_000);

#[test]
fn a_request_is_made_when_its_worst_case_is_set_aside_and_the_store_knows_that_it_is_exposed() {
    let mut bench = thinking(100_000_000);
    let text = Input::Message { mark: Mark::default(), message: &typed("hello") };
    bench.script.lock().expect("one thread").extend([said(0, 0), ask()]);
    let did = bench.input(text);
    let exposed = did.iter().find_map(|did| match did {
        Did::Reserve(through, spent, exposed) => Some((*through, *spent, *exposed)),
        _ => None,
    });
    let (through, spent_so_far, exposed) = exposed.expect("it is asked for");
    assert_eq!((spent_so_far, exposed), (NanoUsd::ZERO, WORST));
    assert!(through.at_least >= WORST);
    let grant = Grant { authorised: through.at_least, standing: Standing::unused(bench.caps) };
    assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), [Did::Open(MIND)]);
    assert_eq!(bench.call.usage().cost_nano_usd, 0, "nothing is spent yet");
    // What it did cost is billed, and nothing of it is exposed any more.
    let words = AgentOutput::Words { text: "Hi.".into(), start: 0, end: 0, last: false };
    bench.script.lock().expect("one thread").extend([words, spent(900, 10), AgentOutput::AnswerEnd]);
    let did = bench.input(Input::Provider { request: MIND, event: &Event::Text("Hi.".into()) });
    assert_eq!(bench.call.usage().cost_nano_usd, 950_000);
    assert_eq!(bench.call.usage().tokens, 910);
    let rows: Vec<_> = did
        .iter()
        .filter_map(|did| match did {
            Did::Settle(rows, ..) => Some(rows.iter().map(|row| (row.key.clone(), row.cost.get()))),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(
        rows,
        [
            ("acme/mind@3.0/input_token".to_owned(), 900_000),
            ("acme/mind@3.0/output_token".to_owned(), 50_000)
        ]
    );
    assert_eq!(bench.exposed, NanoUsd::ZERO);
}

#[test]
fn no_request_is_made_while_a_settlement_is_on_its_way_that_takes_back_what_is_exposed() {
    let mut bench = thinking(100_000_000);
    bench.script.lock().expect("one thread").extend([said(0, 0), ask()]);
    bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
    let grant = Grant { authorised: NanoUsd::new(100_000_000), standing: Standing::unused(bench.caps) };
    assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), [Did::Open(MIND)]);
    let settlements = |did: &[Did]| did.iter().filter(|did| matches!(did, Did::Settle(..))).count();
    // The request is over, which is being written, with nothing exposed; and the user types again.
    bench.script.lock().expect("one thread").extend([spent(900, 10), said(0, 0)]);
    let failed = Event::Failed(relay::provider::Failure::new(relay::provider::FailureKind::Busy, "busy"));
    let first = bench.input(Input::Provider { request: MIND, event: &failed });
    let again = RequestId(MIND.0 + 1);
    let asks = match ask() {
        AgentOutput::Ask { provider, ask, at_most, .. } => {
            AgentOutput::Ask { request: again, provider, ask, at_most }
        }
        other => other,
    };
    bench.script.lock().expect("one thread").extend([asks]);
    let second =
        bench.input(Input::Message { mark: Mark { seq: 1, position: 0 }, message: &typed("hello?") });
    let is_opened = |did: &[Did]| did.iter().any(|did| matches!(did, Did::Open(_)));
    assert!(!is_opened(&second), "a relay that is killed now would leave nothing to charge: {second:?}");
    let mut did = Vec::new();
    // One for what was typed first is not answered yet, either.
    for _ in 0..1 + settlements(&first) + settlements(&second) {
        did.extend(bench.input(settled(&Settled::default())));
    }
    assert!(!is_opened(&did) && did.iter().any(|did| matches!(did, Did::Reserve(_, _, WORST))), "{did:?}");
    assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), [Did::Open(again)]);
}

#[test]
fn a_request_that_costs_too_much_is_not_made_and_the_call_says_why() {
    let mut bench = thinking(1_000_000);
    bench.script.lock().expect("one thread").extend([said(0, 0), ask()]);
    let did = bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
    assert!(did.iter().any(|did| matches!(did, Did::Reserve(..))), "{did:?}");
    let balance = Balance { limit: NanoUsd::new(1_000_000), ..Balance::default() };
    let authorised = NanoUsd::new(1_000_000);
    let short = Reserved::Short(Shortage { scope: Scope::User, balance, contended: false, authorised });
    let did = bench.input(Input::Reserved(&short));
    assert!(!did.iter().any(|did| matches!(did, Did::Open(_))), "{did:?}");
    assert!(did.iter().any(|did| matches!(did, Did::Exhausted(_))), "{did:?}");
    assert_eq!(bench.call.usage().cost_nano_usd, 0);
}

#[test]
fn whoever_leaves_gives_up_what_is_under_way_and_what_nobody_accounts_for_is_billed_whole() {
    for accounted in [true, false] {
        let mut bench = thinking(100_000_000);
        bench.script.lock().expect("one thread").extend([ask()]);
        let did = bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
        assert!(matches!(did.as_slice(), [Did::Reserve(..)]), "{did:?}");
        let grant = Grant { authorised: NanoUsd::new(100_000_000), standing: Standing::unused(bench.caps) };
        assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), [Did::Open(MIND)]);
        if accounted {
            let cancel = AgentOutput::Cancel { request: MIND };
            bench.script.lock().expect("one thread").extend([cancel, spent(10, 1)]);
        }
        let did = bench.input(Input::Checkpoint { sent_away: true });
        assert_eq!(did.contains(&Did::Cancel(MIND)), accounted, "{did:?}");
        let cost = if accounted { 15_000 } else { WORST.get() };
        assert_eq!(bench.call.usage().cost_nano_usd, cost);
        let [.., Did::Settle(rows, _, true)] = did.as_slice() else { panic!("{did:?}") };
        assert!(rows.iter().all(|row| row.estimated != accounted), "{rows:?}");
        assert_eq!(bench.exposed, NanoUsd::ZERO, "nothing is under way where it goes on");
    }
}

#[test]
fn what_is_typed_is_committed_with_its_own_number_when_its_turn_is_stored() {
    let mut bench = Bench::new();
    bench.chunk([]);
    bench.script.lock().expect("one thread").push_back(said(1_600, 1_600));
    let mark = Mark { seq: 1, position: 1_600 };
    let did = bench.input(Input::Message { mark, message: &typed("hello") });
    let after = Mark { seq: 2, position: 1_600 };
    assert!(
        did.iter().any(|did| matches!(did, Did::Store(turns, mark) if turns.len() == 1 && *mark == after))
    );
    assert_eq!(*bench.told.lock().expect("one thread"), [r#"Typed { position: 1600, text: "hello" }"#]);
}

#[test]
fn what_the_user_seems_to_say_keeps_its_number_until_it_is_said() {
    let mut bench = Bench::new();
    let partial = AgentOutput::Partial { text: "hel".into(), start: 0, end: 800 };
    let did = bench.chunk([partial.clone(), partial, said(0, 1_600), reply(1)]);
    let told: Vec<_> = did
        .iter()
        .filter_map(|did| match did {
            Did::Say(Saying::Transcript(turn)) => Some((turn.turn, turn.text.as_str(), turn.last)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(0, "hel", false), (0, "hel", false), (0, "hello", true), (1, "hello yourself", true)]);
}

#[test]
fn words_are_told_as_they_come_but_seldom_and_stored_when_all_are_there() {
    let mut bench = Bench::new();
    let word = |last| AgentOutput::Words { text: "la ".into(), start: 0, end: 0, last };
    let mut did = bench.chunk([word(false)]);
    for _ in 0..50 {
        did.extend(bench.wait(Duration::from_millis(20)));
        bench.script.lock().expect("one thread").push_back(word(false));
        did.extend(bench.input(Input::Muted(true)));
    }
    let told = did.iter().filter(|did| matches!(did, Did::Say(Saying::Transcript(_)))).count();
    assert!((10..=12).contains(&told), "{told}");
    assert!(!did.iter().any(|did| matches!(did, Did::Store(..))));
    bench.script.lock().expect("one thread").push_back(word(true));
    let did = bench.input(Input::Muted(true));
    let stored = did.iter().find_map(|did| match did {
        Did::Store(turns, _) => Some(turns[0].text.len()),
        _ => None,
    });
    assert_eq!(stored, Some(52 * 3));
}

#[test]
fn the_agent_is_told_how_much_of_its_words_was_heard() {
    let mut bench = Bench::new();
    let words = |text: &str, start, last| AgentOutput::Words { text: text.into(), start, end: 0, last };
    let sound = AgentOutput::Sound(vec![5; 48_000]);
    let did = bench.chunk([words("One. ", 0, false), words("Two. ", 24_000, true), sound]);
    assert_eq!(spoken(&did), 48_000);
    bench.input(Input::Played(24_000));
    bench.chunk([AgentOutput::Cut]);
    let told = bench.told.lock().expect("one thread").clone();
    assert_eq!(told, ["AnswerOver { answer: 0, heard: 5 }"]);
}

#[test]
fn a_settlement_that_says_what_was_exposed_before_never_comes_after_what_is_exposed_now() {
    let mut bench = thinking(100_000_000);
    bench.chunk([]);
    bench.now = bench.now + Duration::from_secs(6);
    let did = bench.input(Input::Timeout);
    assert!(did.iter().any(|did| matches!(did, Did::Settle(..))), "{did:?}");
    let did = bench.chunk([ask()]);
    assert!(!did.iter().any(|did| matches!(did, Did::Reserve(..))), "it could be overtaken: {did:?}");
    let did = bench.input(settled(&Settled::default()));
    assert!(matches!(did.as_slice(), [Did::Reserve(_, _, WORST)]), "{did:?}");
    bench.now = bench.now + Duration::from_secs(6);
    bench.chunk([]);
    assert_eq!(bench.exposed, WORST, "what is asked for may be under way by then");
}

#[test]
fn what_another_relay_has_told_of_a_budget_is_not_told_again() {
    let mut bench = Bench::taken_over();
    let standing = |user: u64| Standing {
        user: Balance { limit: NanoUsd::new(100), spent: NanoUsd::new(user), reserved: NanoUsd::ZERO },
        ..Standing::default()
    };
    let mut told = |user| -> Vec<u32> {
        let standing = standing(user);
        let did = bench.input(Input::Settled { cost: NanoUsd::ZERO, standing: &standing });
        let percent = |did: &Did| match did {
            Did::Say(Saying::Budget(budget)) => Some(budget.percent),
            _ => None,
        };
        did.iter().filter_map(percent).collect()
    };
    assert_eq!(told(60), [0; 0], "half of it was told there");
    assert_eq!(told(79), [0; 0]);
    assert_eq!(told(80), [80]);
}

#[test]
fn texts_that_wait_for_money_are_bounded_like_audio() {
    let caps = Caps { session: NanoUsd::MAX, user_day: NanoUsd::MAX, account_month: NanoUsd::MAX };
    let mut bench = Bench::of(caps, NanoUsd::ZERO, 0);
    bench.chunk([]);
    let text = "x".repeat(16_000);
    let mut waiting = 0;
    for seq in 1..1_000 {
        let did = bench.input(Input::Message { mark: Mark { seq, position: 1_600 }, message: &typed(&text) });
        if did.iter().any(|did| matches!(did, Did::Settle(_, _, true))) {
            break;
        }
        waiting += text.len();
    }
    assert!((1 << 20..4 << 20).contains(&waiting), "{waiting}");
}

#[test]
fn a_tool_is_called_on_the_page_and_its_result_reaches_the_agent_in_its_place() {
    let mut bench = Bench::new();
    let call = AgentOutput::CallTool { call_id: "c1".into(), name: "tables".into(), arguments: "{}".into() };
    let did = bench.chunk([call, AgentOutput::CancelTool { call_id: "c0".into() }]);
    let called = ToolCall { seq: 0, call_id: "c1".into(), name: "tables".into(), arguments: "{}".into() };
    assert!(did.contains(&Did::Say(Saying::ToolCall(called))), "{did:?}");
    assert!(did.contains(&Did::Say(Saying::ToolCancel(ToolCancel { seq: 0, call_id: "c0".into() }))));
    bench.told.lock().expect("one thread").clear();
    let message = Upward::ToolResult { call_id: "c1".into(), output: "none".into(), is_error: true };
    bench.input(Input::Message { mark: Mark { seq: 1, position: 1_600 }, message: &message });
    let told = bench.told.lock().expect("one thread").clone();
    assert_eq!(told, [r#"ToolResult { call_id: "c1", output: "none", is_error: true }"#]);
}

#[test]
fn what_the_agent_cannot_do_is_told_to_the_page() {
    let mut bench = Bench::new();
    let degraded = |degraded| AgentOutput::Degraded { what: Ability::Thinking, degraded };
    let did = bench.chunk([degraded(true), AgentOutput::Trouble(ErrorCode::AgentUnavailable)]);
    let said = Degraded { seq: 0, what: Ability::Thinking, degraded: true };
    assert!(did.contains(&Did::Say(Saying::Degraded(said))), "{did:?}");
    assert!(did.contains(&Did::Trouble(ErrorCode::AgentUnavailable)));
}

#[test]
fn a_correction_takes_the_place_of_what_was_understood_on_the_page_and_in_the_record() {
    let mut bench = Bench::new();
    bench.chunk([said(0, 800), reply(1), said(800, 1_600)]);
    bench.told.lock().expect("one thread").clear();
    // Turn 0 is the user's, 1 the agent's, 2 the user's.
    let correct = |turn| Upward::Correction { turn, text: "hallo".into() };
    let mark = Mark { seq: 1, position: 1_600 };
    let did = bench.input(Input::Message { mark, message: &correct(2) });
    let transcripts = did.iter().filter_map(|did| match did {
        Did::Say(Saying::Transcript(turn)) => {
            Some((turn.turn, turn.text.as_str(), turn.start, turn.end, turn.last))
        }
        _ => None,
    });
    assert_eq!(transcripts.collect::<Vec<_>>(), [(2, "hallo", 800, 1_600, true)]);
    let stored = did.iter().filter_map(|did| match did {
        Did::Store(turns, _) => Some((turns[0].turn, turns[0].text.as_str())),
        _ => None,
    });
    assert_eq!(stored.collect::<Vec<_>>(), [(2, "hallo")]);
    let told = bench.told.lock().expect("one thread").clone();
    assert_eq!(told, [r#"Corrected { said: 1, text: "hallo" }"#]);
    for (seq, other) in [(2, 1), (3, 7)] {
        let mark = Mark { seq, position: 1_600 };
        let did = bench.input(Input::Message { mark, message: &correct(other) });
        assert_eq!(did, [Did::Trouble(ErrorCode::TurnUnknown)], "turn {other}");
    }
}

#[test]
fn how_long_an_answer_took_is_told_once_it_is_known() {
    let mut bench = Bench::new();
    let word = AgentOutput::Words { text: "yes".into(), start: 0, end: 0, last: true };
    let did = bench.chunk([said(0, 1_600), word, AgentOutput::AnswerEnd]);
    let latencies: Vec<_> = did
        .iter()
        .filter_map(|did| if let Did::Say(Saying::Latency(latency)) = did { Some(*latency) } else { None })
        .collect();
    let expected =
        Latency { seq: 0, turn: 1, stt_ms: Some(0), llm_ms: Some(0), tts_ms: None, total_ms: Some(0) };
    assert_eq!(latencies, [expected]);
}
