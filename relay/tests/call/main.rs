//! The call's machine against a script, with an agent that does as it is told.

mod answers;
mod commands;
mod committing;
mod endings;
mod farewell;
mod heard;
mod money;
mod order;
mod requests;
mod rows;
mod turns;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::relay::Saying;
use protocol::{
    Ability, AgentState, BudgetScope, CloseCode, Degraded, ErrorCode, Gap, Latency, Mark, Role, Time,
    ToolCall, ToolCancel, Upward, Usage, Variables,
};
use relay::NanoUsd;
use relay::agent::tool::{Called, Runs, ToolNote};
use relay::agent::{Agent, AgentInput, AgentOutput};
use relay::call::Turn;
use relay::call::{Call, Command, CommandKind, Input, NotTold, Output, Start};
use relay::money::bill::{AtMost, ItemPrice, Quantity, TokenUsage};
use relay::money::budget::{Balance, Caps, Grant, Range, Reserved, Scope, Shortage, Standing, TokenCaps};
use relay::money::ledger::{LateCredit, LedgerRow};
use relay::money::meter::Meter;
use relay::money::price::PriceTable;
use relay::money::tab::{Billed, Earlier, RequestId, Tab};
use relay::provider::{Ask, Event, Feed};
use relay::records::store::Settled;

type Script = Arc<Mutex<VecDeque<AgentOutput>>>;

/// Does as the script says. What it says of sound comes when there is room for it.
struct Puppet {
    script: Script,
    told: Told,
    /// Samples of the answer that were not given yet.
    sound: Option<usize>,
    farewell: Option<Vec<(usize, AtMost)>>,
    room: Room,
}

type Told = Arc<Mutex<Vec<String>>>;
/// What the agent says of the room for what it is to say.
type Room = Arc<Mutex<Option<usize>>>;

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

    fn is_between_turns(&self) -> bool {
        self.script.lock().expect("one thread").is_empty() && self.sound.is_none()
    }

    fn room_to_say(&self) -> Option<usize> {
        *self.room.lock().expect("one thread")
    }

    fn farewell(&self) -> Option<Vec<(usize, AtMost)>> {
        self.farewell.clone()
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
    HoldBack(RequestId, bool),
    Cancel(RequestId),
    FalseInterruption,
    Note(ToolNote),
    Run(Called),
    CancelRun(String),
    NoteCommand(String, Result<(), NotTold>),
    Exhausted(Shortage),
    End(CloseCode),
}

struct Bench {
    call: Call,
    script: Script,
    told: Told,
    room: Room,
    now: Time,
    chunks: u32,
    /// Messages of the page, for those tests that count them.
    messages: u32,
    caps: Caps,
    /// What the last settlement says to be exposed.
    exposed: NanoUsd,
    /// What it says may be played again.
    replayable: Option<u32>,
    /// The mark that it commits.
    committed: Mark,
    /// What all settlements give back.
    credits: Vec<LateCredit>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(NanoUsd::new(5_000_000_000), 0)
    }

    fn with(authorised: NanoUsd, replayable: u32) -> Bench {
        let (session, user_day) = (authorised, NanoUsd::new(2 * authorised.get()));
        Bench::of(
            Caps { session, user_day, account_month: NanoUsd::MAX, token: TokenCaps::NONE },
            authorised,
            replayable,
        )
    }

    fn of(caps: Caps, authorised: NanoUsd, replayable: u32) -> Bench {
        let price = PriceTable::shipped().price("echo/listening").expect("priced").clone();
        let tab = Tab::new(Meter::new(price, 16_000), Vec::new(), 0, Earlier::default());
        Bench::of_tab(caps, authorised, replayable, tab)
    }

    /// One that another relay had.
    fn taken_over() -> Bench {
        let caps = Caps {
            session: NanoUsd::MAX,
            user_day: NanoUsd::new(100),
            account_month: NanoUsd::MAX,
            token: TokenCaps::NONE,
        };
        let price = PriceTable::shipped().price("echo/listening").expect("priced").clone();
        let tab = Tab::new(Meter::new(price, 16_000), Vec::new(), 1, Earlier::default());
        Bench::start(caps, NanoUsd::ZERO, 0, tab, true, None, None)
    }

    fn of_tab(caps: Caps, authorised: NanoUsd, replayable: u32, tab: Tab) -> Bench {
        Bench::start(caps, authorised, replayable, tab, false, None, None)
    }

    /// One whose agent has last words.
    fn parting(
        caps: Caps,
        authorised: NanoUsd,
        tab: Tab,
        farewell: Vec<(usize, AtMost)>,
        ends: Option<Time>,
    ) -> Bench {
        Bench::start(caps, authorised, 0, tab, false, Some(farewell), ends)
    }

    fn start(
        caps: Caps,
        authorised: NanoUsd,
        replayable: u32,
        tab: Tab,
        is_taken_over: bool,
        farewell: Option<Vec<(usize, AtMost)>>,
        ends: Option<Time>,
    ) -> Bench {
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
            ends,
            broken_off: Vec::new(),
        };
        let now = Time::from_millis(1);
        let told = Told::default();
        let room = Room::default();
        let puppet =
            Puppet { script: script.clone(), told: told.clone(), sound: None, farewell, room: room.clone() };
        let mut bench = Bench {
            call: Call::new(now, Box::new(puppet), start),
            script,
            told,
            room,
            now,
            chunks: 0,
            messages: 0,
            caps,
            exposed: NanoUsd::ZERO,
            replayable: None,
            committed: Mark::default(),
            credits: Vec::new(),
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
                Output::NoteTool(note) => Did::Note(note),
                Output::RunTool(called) => Did::Run(called),
                Output::CancelTool(call_id) => Did::CancelRun(call_id),
                Output::NoteCommand { id, told } => Did::NoteCommand(id, told),
                Output::Store { turns, committed, replayable } => {
                    self.replayable = Some(replayable);
                    Did::Store(turns, committed)
                }
                Output::Settle { rows, credits, through, release, exposed, replayable, committed } => {
                    self.credits.extend(credits);
                    self.exposed = exposed;
                    self.replayable = Some(replayable);
                    self.committed = committed;
                    Did::Settle(rows, through, release)
                }
                Output::Reserve { through, spent, exposed } => Did::Reserve(through, spent, exposed),
                Output::Open { request, .. } => Did::Open(request),
                Output::Feed { request, .. } => Did::Feed(request),
                Output::HoldBack { request, held_back } => Did::HoldBack(request, held_back),
                Output::Cancel(request) => Did::Cancel(request),
                Output::FalseInterruption => Did::FalseInterruption,
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
    AgentOutput::Said { text: "hello".into(), start, end, words_end: end }
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
