//! The machine of a whole session: link, call, policy and journal, wired to each other. The relay drives it over sockets, the simulation
//! without.
//!
//! A driver gives [`Machine::handle_input`] one thing that happened, calls [`Machine::poll_output`] until it is `None`, and arms one timer
//! for [`Machine::poll_timeout`]. Inside, each machine is drained to its end before the next one is fed, and everything that follows from one
//! output is done before the next output.

mod io;
mod routes;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use protocol::relay::{self as link, Attachment, Link, Saying};
use protocol::{CloseCode, ErrorCode, Gap, Hello, Mark, Time, Upward, Usage};

pub use io::*;
use routes::{of_link, write};

use super::journal::{self, Journal};
pub use super::journal::{Entry, Failure, FailureKind, LineQuality, NextToken, Receipt, Settlement};
use super::policy::{self, Policy, ResumeToken};
pub use super::policy::{Checked, Departure, Moment, Note, Reservation, Visitor};
use super::wire::Incoming;
use crate::agent::tool::ToolOutput;
use crate::call::{self, Call, Command, NotTold};
use crate::money::NanoUsd;
use crate::money::budget::{Reserved, Standing};
use crate::money::tab::{Billed, RequestId};
use crate::provider;

/// Something that one of the machines, or the driver, is to be told.
#[derive(Debug)]
enum Step {
    Attach {
        hello: Box<Hello>,
        attachment: Attachment,
        token: String,
    },
    Incoming(Incoming),
    Closed,
    Say(Saying),
    Trouble(ErrorCode),
    Speak(Vec<i16>),
    Usage(Usage),
    Commit(Mark),
    TokenAccepted(Duration),
    TokenExpiring(Duration),
    TokenRefused(Duration),
    TellEnd(CloseCode),
    Move,
    Attached,
    Detached,
    RoundTrip(Duration),
    Audio(Mark, Bytes),
    Message(Mark, Upward),
    Gap(Gap),
    Muted(bool),
    HeldBack(bool),
    Played(u32),
    BargeIn,
    Room(bool),
    Bye,
    Stop(CloseCode),
    Checkpoint {
        sent_away: bool,
    },
    Stored(Mark),
    ToolStored(String),
    ToolResult(String, ToolOutput),
    LookForCommands,
    Commands(Vec<Command>),
    Command(Command),
    Listens {
        tell_page: bool,
    },
    ListensNoMore,
    Settled {
        cost: NanoUsd,
        standing: Standing,
    },
    Reserved(Reserved),
    Provider(RequestId, provider::Event),
    Billed(Billed),
    /// Each machine is told that its time may have come, one after another.
    Due(Due),
    Policy(policy::Input),
    /// The policy is told of a connection that wants to go on with the session, and whether the link takes its resume token for good.
    Resume(Box<Visitor>),
    Journal(journal::Input),
    WriteEnd(CloseCode),
    Out(Output),
}

/// Who is told next that a time has come.
#[derive(Clone, Copy, Debug)]
enum Due {
    Journal,
    Policy,
    Link,
    /// The call is told whether the link has room.
    Room,
    Call,
}

/// Steps for which there is always room. What a burst of them took beyond that is given back.
const QUIET_STEPS: usize = 4;

/// The machine of a whole session. A [`Beginning`](super::beginning::Beginning) makes it.
pub struct Machine {
    link: Link,
    call: Call,
    policy: Policy,
    journal: Journal,
    /// How many settlements the session has made, here and at relays before.
    settlements: u32,
    is_recorded: bool,
    /// Somebody listens in.
    is_listened: bool,
    /// The page was told so.
    is_page_told: bool,
    /// The user is muted, as the client last said over this connection.
    is_muted: bool,
    /// The call holds the answer.
    is_held: bool,
    /// The page holds the agent's sound back, as the client last said over this connection.
    is_held_back: bool,
    /// How far the user has heard the agent, or will hear nothing more of it.
    heard: u32,
    is_traced: bool,
    /// Commands are being taken.
    is_claiming: bool,
    quality: LineQuality,
    /// The steps that are to be done, in this order.
    steps: VecDeque<Step>,
    /// The steps that follow from the one that is being done. They go before all others.
    follow_ups: Vec<Step>,
    now: Time,
}

impl Machine {
    pub(super) fn new(
        now: Time,
        link: Link,
        call: Call,
        policy: Policy,
        journal: Journal,
        settlements: u32,
        is_recorded: bool,
    ) -> Machine {
        Machine {
            link,
            call,
            policy,
            journal,
            settlements,
            is_recorded,
            is_listened: false,
            is_page_told: false,
            is_muted: false,
            is_held: false,
            is_held_back: false,
            heard: 0,
            is_traced: false,
            is_claiming: false,
            quality: LineQuality::default(),
            steps: VecDeque::new(),
            follow_ups: Vec::new(),
            now,
        }
    }

    /// Has the machine say what it records to the traces as well.
    pub fn trace(&mut self) {
        self.is_traced = true;
    }

    /// Takes one thing that happened. Drain [`Machine::poll_output`] afterwards, then arm one timer for [`Machine::poll_timeout`].
    pub fn handle_input(&mut self, now: Time, input: Input) {
        use policy::Input as P;
        self.now = self.now.max(now);
        let policy = Step::Policy;
        self.steps.push_back(match input {
            Input::Begin { hello, attachment, token } => Step::Attach { hello, attachment, token },
            Input::Incoming(incoming) => Step::Incoming(incoming),
            Input::Provider(request, event) => Step::Provider(request, event),
            Input::Billed(billed) => Step::Billed(billed),
            Input::ToolResult { call_id, output } => Step::ToolResult(call_id, output),
            Input::Resume(visitor) => Step::Resume(visitor),
            Input::Shutdown => policy(P::Shutdown),
            Input::Drain { within } => policy(P::Drain { within, is_attached: self.link.is_attached() }),
            Input::End(code) => policy(P::End(code)),
            Input::TakenOver => policy(P::TakenOver),
            Input::HandOff => policy(P::HandOff),
            Input::LookForCommands => Step::LookForCommands,
            Input::Commands(commands) => Step::Commands(commands),
            Input::Listens { tell_page } => Step::Listens { tell_page },
            Input::ListensNoMore => Step::ListensNoMore,
            Input::Forgotten => policy(P::Forgotten),
            Input::Lease(until) => policy(P::Lease(until)),
            Input::Written(answer) => Step::Journal(journal::Input::Written(answer)),
            Input::Kept(places) => Step::Journal(journal::Input::Kept(places)),
            Input::Reserved(answer) => policy(P::Reserved(answer)),
            Input::Checked(checked) => policy(P::Checked(Box::new(checked))),
            Input::Timeout => Step::Due(Due::Journal),
        });
    }

    /// The next thing that the driver has to do, or `None` until the next input. Unless the connection `is_ready`, the agent's words wait in
    /// the link, from where they can be resumed.
    pub fn poll_output(&mut self, is_ready: bool) -> Option<Output> {
        loop {
            while let Some(step) = self.steps.pop_front() {
                if let Step::Out(output) = step {
                    return Some(output);
                }
                self.do_step(step);
                self.queue_follow_ups();
            }
            if self.policy.is_over() {
                return None;
            }
            if self.policy.is_leaving() {
                let (is_empty, is_kept) = (self.journal.is_empty(), self.journal.is_kept());
                self.tell_policy(policy::Input::Owed { is_empty, is_kept });
            } else {
                // Acknowledgements and the end of the session are sent even if the connection is not ready.
                let output = if is_ready { self.link.poll_output() } else { self.link.poll_urgent() };
                if let Some(output) = output {
                    self.follow_ups.extend(of_link(output));
                    self.queue_follow_ups();
                    continue;
                }
                if self.link.is_over() || !self.link.is_attached() {
                    self.policy.finish();
                    self.drain_policy();
                } else if self.policy.wants_to_move() && self.call.is_between_turns() {
                    self.tell_policy(policy::Input::BetweenTurns);
                }
            }
            self.queue_follow_ups();
            if self.steps.is_empty() {
                self.steps.shrink_to(QUIET_STEPS);
                self.follow_ups.shrink_to(QUIET_STEPS);
                return None;
            }
        }
    }

    /// The session is over here, and recognisers have said since what they bill of requests that were given up: what is to be written for that. It
    /// is owed like anything else that the session has spent. Another relay that goes on with the session knows nothing of these requests; where the
    /// session was taken from this one, nothing that this one says is written any more.
    pub fn settle_late(&mut self, now: Time, billed: &[Billed]) -> Vec<Entry> {
        self.now = self.now.max(now);
        self.call.settle_late(billed);
        let mut entries = Vec::new();
        while let Some(output) = self.call.poll_output() {
            entries.extend(self.settlement(output).map(Entry::Settlement));
        }
        entries
    }

    /// Whether there is something for [`Machine::settle_late`] that was said before.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.call.is_late()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = self.policy.poll_timeout().into_iter().chain(self.journal.poll_timeout());
        if self.policy.is_leaving() {
            return own.min();
        }
        own.chain(self.link.poll_timeout()).chain(self.call.poll_timeout()).min()
    }

    /// Whether the session goes on, as far as is known. Only then it has to be told of [`Input::Shutdown`].
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.policy.is_live()
    }

    /// Whether the session takes commands. While its end is being stored, they wait, so that a client that comes back finds the end in the
    /// store.
    #[must_use]
    pub fn takes_commands(&self) -> bool {
        self.policy.is_live() || self.policy.has_ended()
    }

    /// Whether the session listens to its connection and its providers.
    #[must_use]
    pub fn listens(&self) -> bool {
        !self.policy.is_leaving()
    }

    /// See [`Link::take_acknowledged_after`].
    pub fn take_acknowledged_after(&mut self) -> Option<Duration> {
        self.link.take_acknowledged_after()
    }

    /// How it stands with the sound of the call.
    #[must_use]
    pub fn sounding(&self) -> Sounding {
        let (is_connected, spoken) = (self.link.is_attached(), self.link.spoken());
        let is_held = self.is_held || self.is_held_back;
        Sounding { is_connected, is_muted: self.is_muted, is_held, spoken, heard: self.heard }
    }

    /// What the session has used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.call.usage()
    }

    /// How often the session was resumed.
    #[must_use]
    pub fn reconnects(&self) -> u32 {
        self.policy.reconnects()
    }

    /// Tells one machine that its time may have come. What follows from that is done before the next one is told.
    fn handle_due(&mut self, due: Due) {
        let next = match due {
            Due::Journal => {
                self.tell_journal(journal::Input::Timeout);
                Due::Policy
            }
            Due::Policy => {
                self.tell_policy(policy::Input::Timeout);
                Due::Link
            }
            // Who leaves writes what is owed, and nothing else.
            Due::Link | Due::Room | Due::Call if self.policy.is_leaving() => return,
            Due::Link => {
                self.tell_link(link::Input::Timeout);
                Due::Room
            }
            Due::Room => {
                self.tell_call(call::Input::Room(self.link.has_room()));
                Due::Call
            }
            Due::Call => return self.tell_call(call::Input::Timeout),
        };
        self.follow_ups.push(Step::Due(next));
    }

    /// Puts the steps that follow from the last one before all others.
    fn queue_follow_ups(&mut self) {
        for step in self.follow_ups.drain(..).rev() {
            self.steps.push_front(step);
        }
    }

    /// Does one step: feeds one machine, and drains it.
    fn do_step(&mut self, step: Step) {
        match step {
            Step::Out(_) => {}
            Step::Attach { hello, attachment, token } => {
                self.tell_link(link::Input::Attach { hello: &hello, attachment, resume_token: &token });
            }
            Step::Incoming(Incoming::Text(text)) => self.tell_link(link::Input::Text(&text)),
            Step::Incoming(Incoming::Binary(frame)) => self.tell_link(link::Input::Binary(frame)),
            Step::Incoming(Incoming::Control(_)) => self.tell_link(link::Input::Control),
            Step::Incoming(Incoming::Gone(None)) => {
                self.follow_ups.extend([Step::Out(Output::Drop), Step::Closed]);
            }
            Step::Incoming(Incoming::Gone(Some(code))) => self.follow_ups.extend([
                Step::Out(Output::Log(Log::Violation(code))),
                Step::Out(Output::Close(code)),
                Step::Stop(code),
                Step::Closed,
            ]),
            Step::Closed => self.tell_link(link::Input::Closed),
            Step::Say(saying) => {
                if saying == Saying::Flush {
                    self.heard = self.link.spoken();
                }
                self.tell_link(link::Input::Say(&saying));
            }
            Step::Trouble(code) => self.tell_link(link::Input::Error(&code.into())),
            Step::Speak(samples) => {
                self.tell_link(link::Input::Audio(&samples));
                self.record(Recorded::Agent(samples));
            }
            Step::Usage(usage) => self.tell_link(link::Input::Usage(usage)),
            Step::Commit(mark) => self.tell_link(link::Input::Commit(mark)),
            Step::TokenAccepted(expires_in) => self.tell_link(link::Input::TokenAccepted { expires_in }),
            Step::TokenExpiring(left) => self.tell_link(link::Input::TokenExpiring { left }),
            Step::TokenRefused(left) => self.tell_link(link::Input::TokenRefused { left }),
            Step::TellEnd(code) => {
                let usage = self.call.usage();
                self.tell_link(link::Input::End { code, usage });
            }
            Step::Move => self.tell_link(link::Input::Move { within: Duration::ZERO }),
            Step::Attached => {
                self.follow_ups.push(write(Entry::Attached(true)));
                self.is_muted = false;
                self.record(Recorded::Connected(true));
                // A client that holds the agent's sound back says so on each connection.
                self.follow_ups.extend([Step::HeldBack(false), Step::Room(true)]);
            }
            Step::Detached => {
                self.follow_ups
                    .extend([Step::Out(Output::Log(Log::ConnectionLost)), Step::Out(Output::Drop)]);
                self.follow_ups.push(write(Entry::Attached(false)));
                self.record(Recorded::Connected(false));
                self.follow_ups.extend([Step::Room(false), Step::Policy(policy::Input::Detached)]);
            }
            Step::RoundTrip(time) => {
                let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
                self.quality.rtt_max_us = self.quality.rtt_max_us.max(micros);
                self.quality.rtt_sum_us += u64::from(micros);
                self.quality.rtt_count += 1;
            }
            Step::Audio(mark, payload) => {
                self.record(Recorded::User(mark, payload.clone()));
                self.tell_call(call::Input::Audio { mark, payload: &payload });
            }
            Step::Message(mark, message) => {
                self.tell_call(call::Input::Message { mark, message: &message });
            }
            Step::Gap(gap) => {
                let lost = gap.to.position.saturating_sub(gap.from.position);
                self.quality.lost_samples += u64::from(lost);
                self.follow_ups.push(Step::Out(Output::Log(Log::Dropped(lost))));
                self.record(Recorded::Gap(gap));
                self.tell_call(call::Input::Gap(gap));
            }
            Step::Muted(muted) => {
                self.is_muted = muted;
                self.record(Recorded::Muted(muted));
                self.tell_call(call::Input::Muted(muted));
            }
            Step::HeldBack(held_back) => {
                self.record_hold(self.is_held, held_back);
                self.tell_call(call::Input::HeldBack(held_back));
            }
            Step::Played(position) => {
                self.heard = self.heard.max(position);
                self.record(Recorded::Played(position));
                self.tell_call(call::Input::Played(position));
            }
            Step::BargeIn => self.tell_call(call::Input::BargeIn),
            Step::Room(room) => self.tell_call(call::Input::Room(room)),
            Step::Bye => {
                self.record(Recorded::End);
                self.tell_call(call::Input::Bye);
            }
            Step::Stop(code) => self.tell_call(call::Input::Stop(code)),
            // A session whose end is to be written goes on nowhere, and nothing is written after its end.
            Step::Checkpoint { .. } if self.journal.is_ending() => {}
            Step::Checkpoint { sent_away } => self.tell_call(call::Input::Checkpoint { sent_away }),
            Step::Stored(committed) => self.tell_call(call::Input::Stored { committed }),
            Step::ToolStored(call_id) => self.tell_call(call::Input::ToolStored { call_id: &call_id }),
            Step::ToolResult(call_id, output) => {
                self.tell_call(call::Input::ToolResult { call_id: &call_id, output: &output });
            }
            // What waits for a session that ends is not told: the store says so once the end is there. What waits for one that goes elsewhere goes
            // with it.
            Step::LookForCommands
                if self.is_claiming || !self.policy.is_live() || self.policy.is_moving() => {}
            Step::LookForCommands => {
                self.is_claiming = true;
                self.follow_ups.push(Step::Out(Output::ClaimCommands));
            }
            Step::Commands(commands) => {
                self.is_claiming = false;
                self.follow_ups.extend(commands.into_iter().map(Step::Command));
            }
            // What the agent would be told now, nobody would know at the next relay.
            Step::Command(Command { id, .. }) if self.policy.is_leaving() || self.policy.is_moving() => {
                let told = Err(NotTold::CallMoved);
                self.follow_ups.push(Step::Out(Output::NoteCommand { id, told }));
            }
            Step::Command(command) => self.tell_call(call::Input::Command(&command)),
            Step::Listens { tell_page } => {
                self.is_listened = true;
                self.tell_listened(tell_page || self.is_page_told);
            }
            Step::ListensNoMore => {
                self.is_listened = false;
                self.tell_listened(false);
            }
            Step::Settled { cost, standing } => {
                self.tell_call(call::Input::Settled { cost, standing: &standing });
            }
            Step::Reserved(reserved) => self.tell_call(call::Input::Reserved(&reserved)),
            Step::Provider(request, event) => {
                self.tell_call(call::Input::Provider { request, event: &event });
            }
            Step::Billed(billed) => self.tell_call(call::Input::Billed(&billed)),
            Step::Due(due) => self.handle_due(due),
            Step::Policy(input) => self.tell_policy(input),
            Step::Resume(visitor) => {
                let resume = visitor.hello.resume.as_ref();
                let token = match resume.map(|resume| &*resume.resume_token) {
                    Some(token) if self.link.is_newest(token) => ResumeToken::Newest,
                    Some(token) if self.link.accepts(token) => ResumeToken::Older,
                    Some(_) | None => ResumeToken::Unknown,
                };
                self.tell_policy(policy::Input::Resume { visitor, token });
            }
            Step::Journal(input) => self.tell_journal(input),
            Step::WriteEnd(code) => {
                let entry = Entry::End { code, quality: self.quality, at: self.now };
                self.tell_journal(journal::Input::Entry(entry));
            }
        }
    }
}

#[cfg(test)]
mod tests;
