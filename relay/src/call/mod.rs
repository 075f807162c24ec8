//! A call as the agent sees it: listening, thinking, speaking, interrupted; what to spend and when to stop.
//!
//! A machine like the link's: [`Call::handle_input`] with one thing that happened, [`Call::poll_output`] until it is empty, then one timer
//! for [`Call::poll_timeout`]. The session's driver carries its outputs to the link and to the store.

mod answer;
mod begun;
mod commands;
mod committing;
mod farewell;
mod io;
mod leaving;
mod pace;
mod speaking;
mod spending;
mod tools;
mod transcript;
mod turn;

use std::collections::VecDeque;
use std::time::Duration;

pub use commands::{Command, CommandKind, NotTold};
pub use io::{Input, Output, Start};
pub use turn::{Latency, Turn};

use audio::decode_s16le_to_i16;
use protocol::relay::Saying;
use protocol::{Ability, AgentState, CloseCode, Degraded, Gap, Mark, Role, Time, Upward, Usage};

use crate::NanoUsd;
use crate::agent::tool::{Called, Runs, ToolNote};
use crate::agent::{Agent, AgentInput, AgentOutput};
use crate::money::bill::{AtMost, Quantity};
use crate::money::budget::Reserved;
use crate::money::purse::Purse;
use crate::money::tab::{Purpose, RequestId, Spent, Tab};
use crate::provider::{Ask, Event, Feed};
use answer::Answer;
use begun::Begun;
use committing::Uncommitted;
use farewell::{Farewell, LastWords};
use pace::Pace;
use transcript::Understood;

/// The shortest time between two messages that tell the page its usage.
const USAGE_EVERY: Duration = Duration::from_secs(1);
/// How much longer the page may wait for its usage while nothing comes from it. Whatever comes a second after the last time takes it along: where
/// a chunk comes every tenth of a second, no timer has to ring for it, and it goes out with what answers the chunk.
const USAGE_SLACK: Duration = Duration::from_millis(150);
/// How long it may take until what was used is written to the store.
const RECORD_EVERY: Duration = Duration::from_secs(5);
/// How many metered samples may wait until they are written: 10 s. More is written at once, because a client that sends much at a time and
/// then goes to another relay is to find there that it was heard here.
const RECORD_SAMPLES: u64 = 160_000;
/// How much listening is paid for in advance. It is longer than a call may go on without the database (`store_grace`), since nothing can be
/// set aside meanwhile.
pub const AHEAD: Duration = Duration::from_secs(90);
/// Outputs for which there is always room. What a burst of them took beyond that is given back.
const QUIET_OUTPUTS: usize = 8;

/// Answers at most of which the client may still say that they were heard. The store reads as many, and the one that is being given, for a relay
/// that goes on with the call.
const UNCONFIRMED_MAX: usize = 8;

/// How many samples the agent is handed at a time: the usual chunk. They are on the stack, so that a chunk costs no memory of its own.
const BLOCK: usize = 1_600;

/// A call.
pub struct Call {
    agent: Box<dyn Agent>,
    tab: Tab,
    /// The position up to which the user's audio is metered.
    metered_through: u32,
    /// How many samples may still be played again without being metered: the last ones before `metered_through` of an earlier relay.
    replayable: u32,
    /// Nobody hears the user, as the agent says: what they say is not metered.
    is_deaf: bool,
    is_muted: bool,
    /// The page holds the agent's sound back.
    is_held_back: bool,
    /// How many samples of the frames in `uncommitted` were metered, here or before a relay was lost.
    uncommitted_paid: u32,
    /// How many samples of the frames in `uncommitted` were metered here.
    uncommitted_metered: u32,
    purse: Purse,
    /// How far the money goes.
    pace: Pace,
    /// The agent's last words, if it has some.
    last_words: Option<LastWords>,
    /// The agent says its last words.
    farewell: Option<Farewell>,
    /// When the session's longest time is over.
    ends: Option<Time>,
    /// Audio that waits for money, and whatever came after it, oldest first.
    delayed: VecDeque<Delayed>,
    /// How many bytes `delayed` takes.
    delayed_bytes: usize,
    /// Requests that wait for money, and what they are fed, oldest first.
    wanted: VecDeque<Wanted>,
    /// What the requests may cost that the agent is likely to make soon.
    soon: NanoUsd,
    /// Calls of tools that are not stored yet, oldest first.
    calls: VecDeque<Called>,
    /// The highest threshold of each budget that the page was told.
    told_percent: [u32; 3],
    /// Whether this relay does not know yet how the budgets stand. The thresholds that they turn out to have reached by then were told by the
    /// relay that had the call before.
    is_standing_unknown: bool,
    /// When the page was last told its usage, and what it was told.
    told_usage: (Time, Usage),
    /// When what was used was last handed to the store.
    recorded: Time,
    /// Frames of the user that may not be committed yet, oldest first.
    uncommitted: VecDeque<Uncommitted>,
    /// The mark of the next frame of the user.
    expected: Mark,
    /// The mark of a text that the agent is being told of.
    reading: Option<Mark>,
    /// The mark before which everything may be committed, once it is written.
    committable: Mark,
    /// The committable mark of the last settlement.
    told_committable: Mark,
    /// `replayable` as the store was last told it.
    told_replayable: u32,
    /// Whether the client is sent to another relay, which does not meter again what was played again here.
    is_sent_away: bool,
    /// Whether the store was told that the replayable samples are being played again here.
    has_claimed: bool,
    /// How many writes are not answered yet.
    storing: u32,
    /// How often a turn was handed to the store.
    revisions: u32,
    /// For each settlement that is not answered yet, the mark that may be committed when it is, and what is exposed then. A commit before the
    /// answer would risk audio that, after a crash, the ledger does not know and the client does not send again.
    settling: VecDeque<(Mark, NanoUsd)>,
    /// The mark that was last committed.
    committed: Mark,
    /// The number of the next turn.
    next_turn: u32,
    /// Turns of the user that have begun and are not whole, oldest first.
    begun: VecDeque<Begun>,
    /// The number of a turn that had seemed to be whole, and goes on.
    goes_on: Option<u32>,
    /// The newest turn of the user that has words, be it still going on; in a call that was taken over the last one that is stored, until the
    /// user takes one.
    users_turn: Option<u32>,
    /// The turn of the user about which a model was asked last.
    answered: Option<u32>,
    /// The newest turns of the user, which can be corrected, oldest first.
    understood: VecDeque<Understood>,
    /// How many turns of the user the agent has understood.
    understood_count: u32,
    /// What the user said last, until the answer to it sounds.
    said: Option<Said>,
    /// What the page was last told that the agent is doing.
    state: AgentState,
    /// The answer that is being given.
    answer: Option<Answer>,
    /// Answers that are over for the agent, and of which the client has not said that they were heard, oldest first.
    unconfirmed: VecDeque<Answer>,
    /// How many answers were begun.
    answers: u32,
    /// Answers of which the agent does not know yet that they are over, or what is taken back of them.
    over: VecDeque<Over>,
    /// How many samples of the agent were sent. The agent's next answer begins there.
    spoken: u32,
    /// The position up to which the user has heard the agent.
    played: u32,
    /// Whether the link takes more of the agent's audio.
    has_room: bool,
    outputs: VecDeque<Output>,
    /// The user has hung up, and this long the agent may still need to understand the last of what they said.
    hung_up: Option<Time>,
    /// The agent wants the call to end.
    is_left: bool,
    /// Requests are being given up, and the audio that they are about is sent again.
    puts_off: bool,
    /// Why the call ends, once that is known.
    ending: Option<CloseCode>,
    /// Whether [`Output::End`] was given.
    has_ended: bool,
    now: Time,
}

/// When the user's last turn was understood, and what has come of it since.
#[derive(Clone, Copy, Debug)]
struct Said {
    at: Time,
    /// How many milliseconds after its sound that was.
    behind_ms: u32,
    /// When a model gave the first words of the answer.
    words_at: Option<Time>,
    /// When a voice gave the first sound of it.
    sound_at: Option<Time>,
}

/// What the agent is to be told of an answer that is over.
#[derive(Clone, Copy, Debug)]
struct Over {
    /// Which answer of the call it is, counted from 0.
    answer: u32,
    /// How many bytes of its words were heard.
    heard: usize,
    /// The agent knows that it is over, and takes more of it for heard.
    is_known: bool,
}

/// Something for a provider that waits for money, or behind what does.
#[derive(Debug)]
struct Wanted {
    request: RequestId,
    what: What,
}

#[derive(Debug)]
enum What {
    Open {
        provider: usize,
        ask: Ask,
        at_most: AtMost,
        purpose: Purpose,
    },
    /// What the request uses at most with it is more than before.
    Feed {
        feed: Feed,
        at_most: Option<AtMost>,
    },
}

/// Audio that waits for money, or something that came after such audio and must not overtake it.
#[derive(Debug)]
enum Delayed {
    Audio { mark: Mark, payload: Vec<u8> },
    Gap(Gap),
    Message { mark: Mark, message: Upward },
    Muted,
    Bye,
}

impl Delayed {
    /// How many bytes it takes in memory, as far as the client decides that.
    fn bytes(&self) -> usize {
        match self {
            Delayed::Audio { payload, .. } => payload.len(),
            Delayed::Message { message, .. } => message.length(),
            Delayed::Gap(_) | Delayed::Muted | Delayed::Bye => 0,
        }
    }
}

impl Call {
    /// Makes a call that begins, or goes on after another relay had it.
    #[must_use]
    pub fn new(now: Time, agent: Box<dyn Agent>, start: Start) -> Call {
        let last_words = agent.farewell().map(|uses| {
            let worst_cases = uses.iter().map(|(provider, at_most)| start.tab.worst_case(*provider, at_most));
            LastWords::new(worst_cases.fold(NanoUsd::ZERO, |sum, one| sum + one))
        });
        let mut call = Call {
            agent,
            purse: Purse::new(start.caps, start.grant, start.tab.cost()),
            pace: Pace::new(start.tab.requests_cost()),
            last_words,
            farewell: None,
            ends: start.ends,
            delayed: VecDeque::new(),
            delayed_bytes: 0,
            wanted: VecDeque::new(),
            soon: NanoUsd::ZERO,
            calls: VecDeque::new(),
            told_percent: [0; 3],
            is_standing_unknown: start.is_taken_over,
            told_usage: (now, Usage::default()),
            recorded: now,
            tab: start.tab,
            metered_through: start.metered_through,
            replayable: start.replayable,
            uncommitted_paid: 0,
            uncommitted_metered: 0,
            told_committable: start.mark,
            told_replayable: start.replayable,
            is_sent_away: false,
            has_claimed: false,
            uncommitted: VecDeque::new(),
            expected: start.mark,
            reading: None,
            committable: start.mark,
            storing: 0,
            revisions: 0,
            settling: VecDeque::new(),
            committed: start.mark,
            next_turn: start.turn,
            begun: VecDeque::new(),
            goes_on: None,
            users_turn: start.turn.checked_sub(1),
            answered: None,
            understood: VecDeque::new(),
            understood_count: 0,
            said: None,
            state: AgentState::Listening,
            answer: None,
            unconfirmed: VecDeque::new(),
            answers: 0,
            over: VecDeque::new(),
            spoken: 0,
            played: 0,
            has_room: true,
            outputs: VecDeque::from([Output::Say(Saying::Agent(AgentState::Listening))]),
            hung_up: None,
            is_deaf: false,
            is_muted: false,
            is_held_back: false,
            is_left: false,
            puts_off: false,
            ending: None,
            has_ended: false,
            now,
        };
        for turn in start.broken_off {
            call.tell_turn(&turn, true);
            call.push_turn(turn);
        }
        call
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

    /// Takes one thing that happened. Drain [`Call::poll_output`] afterwards, then arm one timer for [`Call::poll_timeout`].
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
            Input::Command(command) => self.handle_command(command),
            Input::Billed(billed) => self.tab.correct(billed),
            _ if self.ending.is_some() => {}
            Input::Audio { mark, payload } if self.is_penniless() => self.skip_audio(mark, payload.len()),
            Input::Audio { mark, payload } => {
                if !self.delayed.is_empty() || !self.handle_audio(mark, payload) {
                    self.delay(Delayed::Audio { mark, payload: payload.to_vec() });
                }
            }
            Input::Gap(gap) if self.delayed.is_empty() => self.handle_gap(gap),
            Input::Gap(gap) => self.delay(Delayed::Gap(gap)),
            Input::Message { mark, message } if self.delayed.is_empty() => self.handle_message(mark, message),
            Input::Message { mark, message } => {
                self.delay(Delayed::Message { mark, message: message.clone() });
            }
            Input::Provider { request, event } => {
                self.note_came(event);
                if matches!(event, Event::Ready | Event::Heard(_) | Event::Turn(_)) {
                    self.tab.listens(request);
                }
                self.tell_agent(AgentInput::Event { request, event });
            }
            Input::ToolStored { call_id } => self.run_tool(call_id),
            Input::ToolResult { call_id, output } => {
                self.tell_result(call_id, Runs::Webhook, &output.output, output.is_error);
            }
            Input::Muted(muted) => {
                if muted && self.delayed.is_empty() {
                    self.pause();
                } else if muted {
                    self.delay(Delayed::Muted);
                }
                self.put_on_hold(muted, self.is_held_back);
            }
            Input::HeldBack(held_back) => self.handle_held_back(held_back),
            Input::Played(position) => self.handle_played(position),
            Input::BargeIn => self.handle_barge_in(),
            Input::Room(has_room) => self.handle_room(has_room),
            // Nothing that waits for money is heard any more.
            Input::Bye if self.is_penniless() => self.end_farewell(false),
            Input::Bye if self.delayed.is_empty() => self.hang_up(),
            Input::Bye => self.delay(Delayed::Bye),
            Input::Checkpoint { sent_away } => {
                // A client that goes from relay to relay by itself is not heard at the operator's cost each time.
                let is_first = self.uncommitted_paid == self.uncommitted_metered;
                self.puts_off = self.is_sent_again() && (sent_away || is_first);
                self.give_up_requests();
                self.is_sent_away = sent_away;
                self.settle_and_release();
            }
            Input::Stop(code) => self.stop(code),
            Input::Timeout if self.agent.poll_timeout().is_some_and(|due| due <= self.now) => {
                self.tell_agent(AgentInput::Timeout);
            }
            Input::Timeout => {}
        }
        if self.ending.is_none() {
            self.part_in_time();
        }
        if std::mem::take(&mut self.is_left) && self.ending.is_none() {
            self.hang_up_by_agent();
        }
        self.spend();
        self.leave_when_understood();
        self.speak();
        self.tell_usage();
        self.tell_means();
        if let (Some(code), 0, false) = (self.ending, self.storing, self.has_ended) {
            self.has_ended = true;
            self.outputs.push_back(Output::End { code });
        }
    }

    /// The next thing that the driver has to do, or `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        match output {
            // More may have been used since it was due, by whatever else came with the same frame.
            Some(Output::Usage(_)) => {
                self.told_usage.1 = self.usage();
                return Some(Output::Usage(self.told_usage.1));
            }
            Some(_) => {}
            None => self.outputs.shrink_to(QUIET_OUTPUTS),
        }
        output
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.ending.is_some() {
            return None;
        }
        let usage =
            (self.usage() != self.told_usage.1).then(|| self.told_usage.0 + USAGE_EVERY + USAGE_SLACK);
        let answer = self.answer.as_ref().and_then(|answer| answer.due(self.now, self.has_room));
        // Money is asked for again when the settlement is answered, and not before: its time may have come by then.
        let money = self.purse.due(self.needed()).filter(|_| !self.waits_for_settlement());
        let is_owed = self.tab.is_unrowed() || self.committable.seq > self.told_committable.seq;
        let record = is_owed.then(|| self.recorded + RECORD_EVERY);
        let due = usage.into_iter().chain(answer).chain(money).chain(record);
        let farewell = self.parts_at().into_iter().chain(self.parted_by());
        due.chain(farewell).chain(self.hung_up).chain(self.agent.poll_timeout()).min()
    }

    /// Meters audio and hands it to the agent if it is paid for. If it is not, nothing is changed and `false` is returned.
    fn handle_audio(&mut self, mark: Mark, payload: &[u8]) -> bool {
        let samples = (payload.len() / 2) as u32;
        let end = mark.position + samples;
        let (fresh, metered) = (self.fresh(payload.len()), self.to_meter(payload.len()));
        if !self.purse.allows(self.tab.reach_with(metered) + self.kept()) {
            return false;
        }
        self.tab.add_samples(metered);
        self.metered_through = self.metered_through.max(end);
        if fresh < samples && !self.has_claimed {
            self.claim();
        }
        self.tab.add_repeated(samples - fresh);
        self.replayable -= samples - fresh;
        self.add_uncommitted(Uncommitted { mark, paid: samples - fresh + metered, metered });
        self.expected = Mark { seq: mark.seq + 1, position: end };
        let (mut position, mut block) = (mark.position, [0; BLOCK]);
        for bytes in payload.chunks(2 * BLOCK) {
            let samples = &mut block[..bytes.len() / 2];
            decode_s16le_to_i16(bytes, samples);
            self.tell_agent(AgentInput::Audio { position, samples });
            position += samples.len() as u32;
        }
        true
    }

    fn handle_gap(&mut self, gap: Gap) {
        if gap.to.position > gap.from.position {
            // A client drops its oldest audio, so it holds none of what came before the gap, and plays nothing of it again. What was metered
            // and may still be played again is the end of what was metered.
            self.replayable = self.replayable.min(self.metered_through.saturating_sub(gap.to.position));
            self.uncommitted.iter_mut().for_each(Uncommitted::lose);
            (self.uncommitted_paid, self.uncommitted_metered) = (0, 0);
        }
        self.add_uncommitted(Uncommitted { mark: gap.from, paid: 0, metered: 0 });
        self.expected = gap.to;
        self.tell_agent(AgentInput::Gap { position: gap.from.position, end: gap.to.position });
    }

    /// Takes a message of the page. It has a number among the frames, so that it can be committed, and takes no place in the audio.
    fn handle_message(&mut self, mark: Mark, message: &Upward) {
        let position = mark.position;
        if let Upward::Text { text } = message {
            // What was said before it ends where it stands, and is stored first: the text is not committed by that.
            self.reading = Some(mark);
            self.tell_agent(AgentInput::Typed { position, text });
            return self.take_text();
        }
        self.take_message(mark);
        match message {
            Upward::Text { .. } => {}
            Upward::Say { text, interrupt } => {
                self.tell_agent(AgentInput::Say { position: Some(position), text, interrupt: *interrupt });
            }
            Upward::ToolResult { call_id, output, is_error } => {
                self.tell_result(call_id, Runs::Page, output, *is_error);
                // A result takes no place in the audio: where nothing waits before it, it can be committed.
                self.commit_alone();
            }
            Upward::Correction { turn, text } => self.correct(*turn, text),
            Upward::Context { text } => self.tell_agent(AgentInput::Context { position, text }),
            Upward::Variables { variables } => {
                self.tell_agent(AgentInput::Variables { position, values: &variables.0 });
            }
        }
    }

    /// A message has come. It may be committed with the frames before it from here on.
    fn take_message(&mut self, mark: Mark) {
        self.add_uncommitted(Uncommitted { mark, paid: 0, metered: 0 });
        self.expected = Mark { seq: mark.seq + 1, position: mark.position };
    }

    /// The agent has read a text that came, or does not want it.
    fn take_text(&mut self) {
        if let Some(mark) = self.reading.take() {
            self.take_message(mark);
        }
    }

    /// Tells the agent something, and does what the agent wants then.
    fn tell_agent(&mut self, input: AgentInput<'_>) {
        self.agent.handle_input(self.now, input);
        self.drain_agent();
    }

    /// Does what the agent wants, and then tells it which of its answers are over, until neither is left.
    fn drain_agent(&mut self) {
        loop {
            while let Some(output) = self.agent.poll_output() {
                self.handle_agent_output(output);
            }
            let Some(Over { answer, heard, is_known }) = self.over.pop_front() else { return };
            let over = match is_known {
                true => AgentInput::TakenBack { answer, heard },
                false => AgentInput::AnswerOver { answer, heard },
            };
            self.agent.handle_input(self.now, over);
        }
    }

    /// Does one thing that the agent wants.
    fn handle_agent_output(&mut self, output: AgentOutput) {
        match output {
            AgentOutput::SpeechStarted { .. } => self.change_state(AgentState::Listening),
            AgentOutput::TurnBegan { at } => self.begin_turn(at),
            AgentOutput::TurnDropped { at } => self.drop_turn(at),
            AgentOutput::Partial { text, start, end, final_through } => {
                let turn = Turn::new(self.worded_turn(start), Role::User, text, start, end);
                self.tell_turn(&turn, false);
                if let Some(through) = final_through {
                    self.settle_up();
                    self.raise_committable(through);
                    self.push_turn(turn);
                }
            }
            AgentOutput::TurnGoesOn => self.go_on_with_turn(),
            AgentOutput::Said { text, start, end, words_end } => {
                self.begin_to_answer(words_end);
                self.user_spoke(text, start, end);
                self.think();
            }
            AgentOutput::Typed { text, position } => {
                self.begin_to_answer(position);
                self.take_text();
                self.user_typed(text, position);
                self.think();
            }
            AgentOutput::Remarked { text, start, end } => self.user_spoke(text, start, end),
            AgentOutput::Final { through } => self.raise_committable(through),
            AgentOutput::Words { text, start, end, last } => self.add_words(&text, start, end, last),
            AgentOutput::Sound(samples) => {
                if let Some(answer) = &mut self.answer {
                    answer.add_sound(&samples);
                }
            }
            AgentOutput::Spoken { bytes, end } => {
                if let Some(answer) = &mut self.answer {
                    answer.note_spoken(bytes, end);
                }
            }
            AgentOutput::AnswerEnd => {
                if let Some(answer) = &mut self.answer {
                    answer.complete();
                }
            }
            AgentOutput::Hold(held) => self.hold(held),
            AgentOutput::Cut => self.cut(),
            AgentOutput::FalseInterruption => self.outputs.push_back(Output::FalseInterruption),
            // Nobody is there any more for whom it could be called.
            AgentOutput::CallTool(_) if self.hung_up.is_some() => {}
            AgentOutput::CallTool(called) => self.call_tool(called),
            AgentOutput::CancelTool { call_id, runs } => self.cancel_tool(call_id, runs),
            AgentOutput::ToolOutput { call_id, output } => {
                self.outputs.push_back(Output::NoteTool(ToolNote::Output { call_id, output }));
            }
            AgentOutput::Degraded { what, degraded } => {
                if what == Ability::Hearing {
                    self.is_deaf = degraded;
                }
                self.outputs.push_back(Output::Say(Saying::Degraded(Degraded { seq: 0, what, degraded })));
            }
            AgentOutput::Unsaid { text, position } => self.handle_unsaid(text, position),
            AgentOutput::HangUp => self.is_left = true,
            AgentOutput::Trouble(code) => self.outputs.push_back(Output::Trouble(code)),
            // Nobody is there any more who could be answered.
            AgentOutput::Ask { ask: Ask::Chat(_) | Ask::Speak(_), .. } if self.hung_up.is_some() => {}
            AgentOutput::Ask { request, provider, ask, at_most } => {
                let purpose = self.purpose(&ask);
                self.wanted
                    .push_back(Wanted { request, what: What::Open { provider, ask, at_most, purpose } });
            }
            AgentOutput::Feed { request, feed, at_most } => {
                if at_most.is_some() || self.wanted.iter().any(|wanted| wanted.request == request) {
                    self.wanted.push_back(Wanted { request, what: What::Feed { feed, at_most } });
                } else {
                    self.outputs.push_back(Output::Feed { request, feed });
                }
            }
            AgentOutput::Expect(requests) => {
                let costs =
                    requests.iter().map(|(provider, at_most)| self.tab.worst_case(*provider, at_most));
                self.soon = costs.fold(NanoUsd::ZERO, |sum, cost| sum + cost);
            }
            AgentOutput::HoldBack { request, held_back } => {
                self.outputs.push_back(Output::HoldBack { request, held_back });
            }
            AgentOutput::Cancel { request } => {
                self.wanted.retain(|wanted| wanted.request != request);
                self.outputs.push_back(Output::Cancel(request));
            }
            AgentOutput::Spent { request, used, estimated, provider_id } => {
                self.wanted.retain(|wanted| wanted.request != request);
                let spent = Spent { turn: self.users_turn, request_id: provider_id, estimated };
                // Whoever is sent the audio again understands it, and is paid for that by the user.
                let is_put_off = self.puts_off && self.tab.is_hearing(request);
                let used = if is_put_off { used.map(Quantity::repeated) } else { used };
                self.tab.settle(request, used, &spent);
            }
        }
    }

    /// The user waits for an answer from here on.
    fn begin_to_answer(&mut self, words_end: u32) {
        let behind_ms = self.expected.position.saturating_sub(words_end) / 16;
        self.said = Some(Said { at: self.now, behind_ms, words_at: None, sound_at: None });
        self.pace.next_answer(self.tab.requests_cost());
    }

    /// The agent thinks, unless it is giving an answer that may not be interrupted.
    fn think(&mut self) {
        if self.answer.is_none() {
            self.change_state(AgentState::Thinking);
        }
    }

    fn change_state(&mut self, state: AgentState) {
        if self.state != state && self.ending.is_none() && self.hung_up.is_none() {
            self.state = state;
            self.outputs.push_back(Output::Say(Saying::Agent(state)));
        }
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
