//! A call as the agent sees it: listening, thinking, speaking, interrupted; what to spend and when to stop.
//!
//! A machine like the link's: [`Call::handle_input`] with one thing that happened, [`Call::poll_output`] until it is empty, then one timer for
//! [`Call::poll_timeout`]. The session's driver carries its outputs to the link and to the store.

mod answer;
mod committing;
mod io;
mod speaking;
mod spending;
mod turn;

use std::collections::VecDeque;
use std::time::Duration;

pub use io::{Input, Output, Start};
pub use turn::{Latency, Turn};

use audio::decode_s16le_to_i16;
use protocol::relay::Saying;
use protocol::{
    AgentState, CloseCode, Degraded, ErrorCode, Gap, Mark, Role, Time, ToolCall, ToolCancel, Transcript,
    Upward, Usage,
};

use crate::NanoUsd;
use crate::agent::{Agent, AgentInput, AgentOutput};
use crate::money::bill::AtMost;
use crate::money::budget::Reserved;
use crate::money::purse::Purse;
use crate::money::tab::{RequestId, Spent, Tab};
use crate::provider::Ask;
use answer::Answer;
use committing::Open;

/// Usage is told to the page at most this often.
const USAGE_EVERY: Duration = Duration::from_secs(1);
/// What was metered is written to the store within this time.
const RECORD_EVERY: Duration = Duration::from_secs(5);
/// More than this that was metered is written at once: a client that sends much at a time and then goes to another relay finds there that it
/// was heard here. 10 s.
const RECORD_SAMPLES: u64 = 160_000;
/// Listening that is paid for in advance. While the database is away no more can be: so much longer than the call may go on without it.
pub const AHEAD: Duration = Duration::from_secs(90);
/// Outputs for which there is always room. What a burst of them took beyond that is given back.
const QUIET_OUTPUTS: usize = 8;
/// Turns of the user that can be corrected: the newest of them.
const CORRECTABLE: usize = 64;

/// A call.
pub struct Call {
    agent: Box<dyn Agent>,
    tab: Tab,
    metered_through: u32,
    /// Samples that may still be played again without being metered.
    replayable: u32,
    /// Samples of the frames in `open`, and those of them that were metered here.
    samples_open: u32,
    metered_open: u32,
    purse: Purse,
    /// Audio that waits for money, oldest first.
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Requests that wait for money, oldest first.
    wanted: VecDeque<Wanted>,
    /// The highest threshold that was told, of each budget.
    told_percent: [u32; 3],
    /// How the budgets stand is not known yet: what they have reached by then was told by the relay before.
    is_unsure: bool,
    told_usage: (Time, Usage),
    recorded: Time,
    /// Frames that are not committed, oldest first.
    open: VecDeque<Open>,
    expected: Mark,
    /// What was last handed to the store or committed.
    committable: Mark,
    /// What the last settlement says is committed, and may still be played again.
    told_committable: Mark,
    told_replayable: u32,
    /// Whether the store was told that what may be played again is being played again here.
    has_claimed: bool,
    /// Writes that were not answered yet.
    storing: u32,
    /// For each settlement that was not answered yet: what may be committed then. Before that, a crash would leave audio that neither the
    /// ledger knows nor the client sends again. And what is exposed then.
    settling: VecDeque<(Mark, NanoUsd)>,
    /// What was last committed.
    committed: Mark,
    next_turn: u32,
    /// The turn that the user seems to be taking, once its number was told.
    partial: Option<u32>,
    /// What the user has said lately, oldest first.
    understood: VecDeque<Understood>,
    /// How often the user has said something.
    sayings: u32,
    /// When the user had said something, and how long after its sound that was.
    said: Option<(Time, u32)>,
    state: AgentState,
    answer: Option<Answer>,
    /// Answers that were begun.
    answers: u32,
    /// Answers that are over and the agent does not know it yet: which one, and how much of its words was heard.
    over: VecDeque<(u32, usize)>,
    /// Samples of the agent that were sent: where its next answer begins.
    spoken: u32,
    played: u32,
    room: bool,
    outputs: VecDeque<Output>,
    ending: Option<CloseCode>,
    ended: bool,
    now: Time,
}

/// A turn of the user that can be corrected.
#[derive(Clone, Copy, Debug)]
struct Understood {
    turn: u32,
    /// Counts what the agent has understood.
    said: u32,
    start: u32,
    end: u32,
}

/// A request that waits for money.
#[derive(Debug)]
struct Wanted {
    request: RequestId,
    provider: usize,
    ask: Ask,
    at_most: AtMost,
}

/// Something that waits for money, or behind what does.
#[derive(Debug)]
enum Held {
    Audio { mark: Mark, payload: Vec<u8> },
    Gap(Gap),
    Message { mark: Mark, message: Upward },
    Muted,
    Bye,
}

impl Held {
    /// What it takes in memory, as far as that is the client's to say.
    fn bytes(&self) -> usize {
        match self {
            Held::Audio { payload, .. } => payload.len(),
            Held::Message { message, .. } => message.length(),
            Held::Gap(_) | Held::Muted | Held::Bye => 0,
        }
    }
}

impl Call {
    /// A call that begins, or goes on after its relay was lost.
    #[must_use]
    pub fn new(now: Time, agent: Box<dyn Agent>, start: Start) -> Call {
        Call {
            agent,
            purse: Purse::new(start.caps, start.grant, start.tab.cost()),
            held: VecDeque::new(),
            held_bytes: 0,
            wanted: VecDeque::new(),
            told_percent: [0; 3],
            is_unsure: start.is_taken_over,
            told_usage: (now, Usage::default()),
            recorded: now,
            tab: start.tab,
            metered_through: start.metered_through,
            replayable: start.replayable,
            samples_open: 0,
            metered_open: 0,
            told_committable: start.mark,
            told_replayable: start.replayable,
            has_claimed: false,
            open: VecDeque::new(),
            expected: start.mark,
            committable: start.mark,
            storing: 0,
            settling: VecDeque::new(),
            committed: start.mark,
            next_turn: start.turn,
            partial: None,
            understood: VecDeque::new(),
            sayings: 0,
            said: None,
            state: AgentState::Listening,
            answer: None,
            answers: 0,
            over: VecDeque::new(),
            spoken: 0,
            played: 0,
            room: true,
            outputs: VecDeque::from([Output::Say(Saying::Agent(AgentState::Listening))]),
            ending: None,
            ended: false,
            now,
        }
    }

    /// What the session has used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            audio_ms: self.tab.samples() / 16,
            tokens: self.tab.tokens(),
            characters: self.tab.characters(),
            cost_nano_usd: self.tab.cost().get(),
            left_nano_usd: self.purse.left(self.tab.cost()).get(),
        }
    }

    /// One thing happened. Drain [`Call::poll_output`] afterwards, then arm one timer for [`Call::poll_timeout`].
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Stored { committed } => {
                self.storing = self.storing.saturating_sub(1);
                self.commit(committed);
            }
            Input::Settled { cost, standing } => {
                self.storing = self.storing.saturating_sub(1);
                self.purse.handle_standing(standing, cost);
                self.learn_standing();
                if let Some((mark, exposed)) = self.settling.pop_front() {
                    self.purse.handle_exposed(exposed);
                    self.commit(mark);
                }
            }
            Input::Reserved(reserved) => {
                let settled = self.tab.rowed_cost();
                self.purse.handle_reserved(self.now, reserved, settled);
                if matches!(reserved, Reserved::Granted(_)) {
                    self.learn_standing();
                }
            }
            _ if self.ending.is_some() => {}
            Input::Audio { mark, payload } => {
                if !self.held.is_empty() || !self.handle_audio(mark, payload) {
                    self.hold(Held::Audio { mark, payload: payload.to_vec() });
                }
            }
            Input::Gap(gap) if self.held.is_empty() => self.handle_gap(gap),
            Input::Gap(gap) => self.hold(Held::Gap(gap)),
            Input::Message { mark, message } if self.held.is_empty() => self.handle_message(mark, message),
            Input::Message { mark, message } => self.hold(Held::Message { mark, message: message.clone() }),
            Input::Provider { request, event } => self.ask(AgentInput::Event { request, event }),
            Input::Muted(true) if self.held.is_empty() => self.pause(),
            Input::Muted(true) => self.hold(Held::Muted),
            Input::Muted(false) => {}
            Input::Played(position) => self.handle_played(position),
            Input::Room(room) => self.room = room,
            Input::Bye if self.held.is_empty() => self.stop(CloseCode::Normal),
            Input::Bye => self.hold(Held::Bye),
            Input::Checkpoint { sent_away } => {
                self.leave();
                self.settle_all(if sent_away { self.samples_open } else { self.metered_open });
            }
            Input::Stop(code) => self.stop(code),
            Input::Timeout if self.agent.poll_timeout().is_some_and(|due| due <= self.now) => {
                self.ask(AgentInput::Timeout);
            }
            Input::Timeout => {}
        }
        self.spend();
        self.speak();
        self.tell_usage();
        if let (Some(code), 0, false) = (self.ending, self.storing, self.ended) {
            self.ended = true;
            self.outputs.push_back(Output::End { code });
        }
    }

    /// The next thing to do; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            self.outputs.shrink_to(QUIET_OUTPUTS);
        }
        output
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.ending.is_some() {
            return None;
        }
        let usage = (self.usage() != self.told_usage.1).then(|| self.told_usage.0 + USAGE_EVERY);
        let answer = self.answer.as_ref().and_then(|answer| answer.due(self.now, self.room));
        let money = self.purse.due(self.needed());
        let is_owed = self.tab.is_unrowed() || self.committable.seq > self.told_committable.seq;
        let record = is_owed.then(|| self.recorded + RECORD_EVERY);
        usage.into_iter().chain(answer).chain(money).chain(record).chain(self.agent.poll_timeout()).min()
    }

    /// Hands audio to the agent if it is paid for. `false` leaves it as if it had not come.
    fn handle_audio(&mut self, mark: Mark, payload: &[u8]) -> bool {
        let samples = (payload.len() / 2) as u32;
        let end = mark.position + samples;
        let fresh = self.fresh(payload.len());
        if !self.purse.allows(self.tab.reach_with(fresh)) {
            return false;
        }
        self.tab.add_samples(fresh);
        self.metered_through = self.metered_through.max(end);
        if fresh < samples && !self.has_claimed {
            self.claim();
        }
        self.replayable -= samples - fresh;
        self.open(Open { mark, samples, metered: fresh });
        self.expected = Mark { seq: mark.seq + 1, position: end };
        // Given back at once: the next call's chunk takes the same place in memory, where one of each call's own would be kept by all of them.
        let samples: Vec<i16> = decode_s16le_to_i16(payload).collect();
        self.ask(AgentInput::Audio { position: mark.position, samples: &samples });
        true
    }

    fn handle_gap(&mut self, gap: Gap) {
        // What is declared as lost is not played again.
        let lost = gap.to.position.saturating_sub(gap.from.position);
        self.replayable = self.replayable.saturating_sub(lost);
        self.open(Open { mark: gap.from, samples: 0, metered: 0 });
        self.expected = gap.to;
        self.ask(AgentInput::Gap { position: gap.from.position, end: gap.to.position });
    }

    /// What the page says has a number, so it can be committed, and no place in the audio.
    fn handle_message(&mut self, mark: Mark, message: &Upward) {
        self.open(Open { mark, samples: 0, metered: 0 });
        self.expected = Mark { seq: mark.seq + 1, position: mark.position };
        let position = mark.position;
        match message {
            Upward::Text { text } => self.ask(AgentInput::Typed { position, text }),
            Upward::Say { text, interrupt } => {
                self.ask(AgentInput::Say { position, text, interrupt: *interrupt });
            }
            Upward::ToolResult { call_id, output, is_error } => {
                self.ask(AgentInput::ToolResult { call_id, output, is_error: *is_error });
            }
            Upward::Correction { turn, text } => self.correct(*turn, text),
            // No agent takes these, and a session's features do not name them.
            Upward::Context { .. } | Upward::Variables { .. } => {}
        }
    }

    /// What the user really said takes the place of what was understood, in the record as well.
    fn correct(&mut self, turn: u32, text: &str) {
        let understood = self.understood.iter().find(|understood| understood.turn == turn);
        if let Some(&Understood { said, start, end, .. }) = understood {
            let turn = Turn::new(turn, Role::User, text.to_owned(), start, end);
            self.tell_turn(&turn, true);
            self.store_turn(turn);
            self.ask(AgentInput::Corrected { said, text });
        } else {
            self.outputs.push_back(Output::Trouble(ErrorCode::TurnUnknown));
        }
        // With what the agent has not done with before it, it is final later.
        if self.open.len() == 1 {
            self.finalise(self.expected.position);
        }
    }

    /// Tells the agent, and does what it wants.
    fn ask(&mut self, input: AgentInput<'_>) {
        self.agent.handle_input(self.now, input);
        self.drain_agent();
    }

    /// Does what the agent wants, and tells it what became of its answers when it wants nothing more.
    fn drain_agent(&mut self) {
        loop {
            while let Some(output) = self.agent.poll_output() {
                self.act(output);
            }
            let Some((answer, heard)) = self.over.pop_front() else { return };
            self.agent.handle_input(self.now, AgentInput::AnswerOver { answer, heard });
        }
    }

    fn act(&mut self, output: AgentOutput) {
        match output {
            AgentOutput::SpeechStarted { .. } => self.change_state(AgentState::Listening),
            AgentOutput::Partial { text, start, end } => {
                let turn = self.user_turn();
                self.partial = Some(turn);
                self.tell_turn(&Turn::new(turn, Role::User, text, start, end), false);
            }
            AgentOutput::Said { text, start, end } => {
                let turn = Turn::new(self.user_turn(), Role::User, text, start, end);
                self.partial = None;
                self.remember(turn.turn, start, end);
                self.tell_turn(&turn, true);
                let behind = self.expected.position.saturating_sub(end) / 16;
                self.said = Some((self.now, behind));
                self.settle_up();
                self.committable = self.mark_before(end);
                self.push_turn(turn);
                self.change_state(AgentState::Thinking);
            }
            AgentOutput::Final { through } => self.finalise(through),
            AgentOutput::Words { text, start, end, last } => self.add_words(&text, start, end, last),
            AgentOutput::Sound(samples) => {
                if let Some(answer) = &mut self.answer {
                    answer.add_sound(&samples);
                }
            }
            AgentOutput::AnswerEnd => {
                if let Some(answer) = &mut self.answer {
                    answer.complete();
                }
            }
            AgentOutput::Cut => self.cut(),
            AgentOutput::CallTool { call_id, name, arguments } => {
                self.outputs.push_back(Output::Say(Saying::ToolCall(ToolCall {
                    seq: 0,
                    call_id,
                    name,
                    arguments,
                })));
            }
            AgentOutput::CancelTool { call_id } => {
                self.outputs.push_back(Output::Say(Saying::ToolCancel(ToolCancel { seq: 0, call_id })));
            }
            AgentOutput::Degraded { what, degraded } => {
                self.outputs.push_back(Output::Say(Saying::Degraded(Degraded { seq: 0, what, degraded })));
            }
            AgentOutput::Trouble(code) => self.outputs.push_back(Output::Trouble(code)),
            AgentOutput::Ask { request, provider, ask, at_most } => {
                self.wanted.push_back(Wanted { request, provider, ask, at_most });
            }
            AgentOutput::Feed { request, feed } => {
                self.outputs.push_back(Output::Feed { request, feed });
            }
            AgentOutput::Cancel { request } => {
                self.wanted.retain(|wanted| wanted.request != request);
                self.outputs.push_back(Output::Cancel(request));
            }
            AgentOutput::Spent { request, used, estimated, provider_id } => {
                self.wanted.retain(|wanted| wanted.request != request);
                // The answer that it was for, or what the user has said as long as there is none.
                let answer = self.answer.as_ref().map(|answer| answer.turn.turn);
                let turn = answer.or(self.next_turn.checked_sub(1));
                self.tab.settle(request, used, &Spent { turn, request_id: provider_id, estimated });
            }
        }
    }

    /// A turn of the user can be corrected for a while.
    fn remember(&mut self, turn: u32, start: u32, end: u32) {
        if self.understood.len() == CORRECTABLE {
            self.understood.pop_front();
        }
        self.understood.push_back(Understood { turn, said: self.sayings, start, end });
        self.sayings += 1;
    }

    /// The number of the turn that the user is taking.
    fn user_turn(&mut self) -> u32 {
        self.partial.unwrap_or_else(|| self.take_turn())
    }

    fn take_turn(&mut self) -> u32 {
        let turn = self.next_turn;
        self.next_turn += 1;
        turn
    }

    fn tell_turn(&mut self, turn: &Turn, last: bool) {
        self.outputs.push_back(Output::Say(Saying::Transcript(Transcript {
            seq: 0,
            turn: turn.turn,
            role: turn.role,
            text: turn.text.clone(),
            last,
            start: turn.start,
            end: turn.end,
        })));
    }

    fn store_turn(&mut self, turn: Turn) {
        self.settle_up();
        self.push_turn(turn);
    }

    /// What its transcript ends with may be committed with it, if it is in the ledger before.
    fn push_turn(&mut self, turn: Turn) {
        self.storing += 1;
        self.outputs.push_back(Output::Store { turns: vec![turn], committed: self.committable });
    }

    fn change_state(&mut self, state: AgentState) {
        if self.state != state && self.ending.is_none() {
            self.state = state;
            self.outputs.push_back(Output::Say(Saying::Agent(state)));
        }
    }

    fn pause(&mut self) {
        self.ask(AgentInput::Pause);
    }

    /// Whatever is asked of providers is given up, and accounted for.
    fn leave(&mut self) {
        self.ask(AgentInput::Leave);
        self.wanted.clear();
        self.tab.settle_rest();
    }

    /// Finishes what was said, and ends as soon as it is stored.
    fn stop(&mut self, code: CloseCode) {
        self.ending = Some(code);
        self.pause();
        self.finish_answer();
        self.leave();
        self.settle_all(self.metered_open);
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
