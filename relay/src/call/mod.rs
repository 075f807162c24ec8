//! A call as the agent sees it: listening, thinking, speaking, interrupted; what to spend and when to stop.
//!
//! A machine like the link's: [`Call::handle_input`] with one thing that happened, [`Call::poll_output`] until it is empty, then one timer
//! for [`Call::poll_timeout`]. The session's driver carries its outputs to the link and to the store.

mod agent;
mod answer;
mod begun;
mod commands;
mod committing;
mod farewell;
mod hearing;
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

use protocol::relay::Saying;
use protocol::{AgentState, CloseCode, Gap, Mark, Time, Upward, Usage};

use crate::NanoUsd;
use crate::agent::tool::{Called, Runs};
use crate::agent::{Agent, AgentInput};
use crate::money::bill::AtMost;
use crate::money::budget::Reserved;
use crate::money::purse::Purse;
use crate::money::tab::{Purpose, RequestId, Tab};
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

/// A call.
pub struct Call {
    agent: Box<dyn Agent>,
    tab: Tab,
    /// The position up to which the user's audio has come: that is metered as far as anybody hears it.
    metered_through: u32,
    /// Where the last of it ends that somebody has heard, so that it is paid for: that may be played again without being metered again.
    paid_through: u32,
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
    /// The same with samples that the client does not hold any more.
    uncommitted_counted: u32,
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
    /// Texts that are told and not stored, since what was said before them is still to be heard, and what the agent has said behind the first of
    /// them, oldest first.
    typed: VecDeque<(Mark, Turn)>,
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
            paid_through: start.metered_through,
            replayable: start.replayable,
            uncommitted_paid: 0,
            uncommitted_metered: 0,
            uncommitted_counted: 0,
            told_committable: start.mark,
            told_replayable: start.replayable,
            is_sent_away: false,
            has_claimed: false,
            uncommitted: VecDeque::new(),
            expected: start.mark,
            typed: VecDeque::new(),
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
            Input::Checkpoint { sent_away: true } if self.ending.is_some() && !self.has_ended => {
                self.let_play_again();
            }
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
                    self.note_listens(request);
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
                self.tell_agent(AgentInput::HandOver);
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
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
