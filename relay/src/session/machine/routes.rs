//! Which machine is told what another one says.

use protocol::Listened;
use protocol::relay::{self as link, Attachment, Saying};

use super::{Log, Machine, Output, Recorded, Step, Traced};
use crate::agent::tool::ToolNote;
use crate::call;
use crate::session::journal::{self, Entry, Receipt, Settlement};
use crate::session::policy::{self, Reservation, Written};
use crate::session::resume::resume_hash;
use crate::session::wire::Outgoing;

impl Machine {
    /// Feeds the link, and takes what cannot wait. The agent's words wait in the link until the connection is ready.
    pub(super) fn tell_link(&mut self, input: link::Input<'_>) {
        self.link.handle_input(self.now, input);
        while let Some(output) = self.link.poll_urgent() {
            self.follow_ups.extend(of_link(output));
        }
    }

    pub(super) fn tell_call(&mut self, input: call::Input<'_>) {
        self.call.handle_input(self.now, input);
        // The used-up budget is written after what was spent: its alert names the sum in the ledger, and has to come after the alerts of
        // lower thresholds, which come with the settlement.
        let mut exhausted = None;
        while let Some(output) = self.call.poll_output() {
            use call::Output as C;
            let step = match output {
                C::Say(saying) => {
                    match saying {
                        Saying::ReplyEnd => self.record(Recorded::ReplyEnd),
                        Saying::Flush => {
                            self.is_held = false;
                            self.record(Recorded::Flush);
                            self.follow_ups.push(Step::Out(Output::Log(Log::Interrupted)));
                        }
                        Saying::Latency(latency) => {
                            self.follow_ups.push(Step::Out(Output::Log(Log::Answered(latency))));
                        }
                        Saying::Hold(held) => self.record_hold(held, self.is_held_back),
                        Saying::Agent(_)
                        | Saying::Transcript(_)
                        | Saying::Budget(_)
                        | Saying::ToolCall(_)
                        | Saying::ToolCancel(_)
                        | Saying::Degraded(_)
                        | Saying::Listened(_) => {}
                    }
                    Step::Say(saying)
                }
                C::Speak(samples) => Step::Speak(samples),
                C::Trouble(code) => Step::Trouble(code),
                C::FalseInterruption => Step::Out(Output::Log(Log::FalseInterruption)),
                C::Usage(usage) => Step::Usage(usage),
                C::Commit(mark) => Step::Commit(mark),
                C::Open { request, provider, ask } => Step::Out(Output::Open { request, provider, ask }),
                C::Feed { request, feed } => Step::Out(Output::Feed { request, feed }),
                C::HoldBack { request, held_back } => Step::Out(Output::HoldBack { request, held_back }),
                C::Cancel(request) => Step::Out(Output::Cancel(request)),
                C::Store { turns, committed, replayable } => {
                    if self.is_traced {
                        self.follow_ups.push(Step::Out(Output::Trace(Traced::Turns(turns.clone()))));
                    }
                    write(Entry::Turns { turns, committed, replayable })
                }
                C::NoteTool(note) => {
                    if self.is_traced {
                        self.follow_ups.push(Step::Out(Output::Trace(Traced::Tool(note.clone()))));
                    }
                    write(Entry::Tool(Box::new(note)))
                }
                C::NoteCommand { id, told } => Step::Out(Output::NoteCommand { id, told }),
                C::RunTool(called) => Step::Out(Output::RunTool(Box::new(called))),
                C::CancelTool(call_id) => Step::Out(Output::CancelTool(call_id)),
                settle @ C::Settle { .. } => {
                    let Some(settlement) = self.settlement(settle) else { continue };
                    if self.is_traced && !settlement.rows.is_empty() {
                        let rows = settlement.rows.clone();
                        self.follow_ups.push(Step::Out(Output::Trace(Traced::Rows(rows))));
                    }
                    write(Entry::Settlement(settlement))
                }
                C::Reserve { through, spent, exposed } => {
                    Step::Policy(policy::Input::Reserve(Reservation { through, spent, exposed }))
                }
                C::Exhausted(shortage) => {
                    exhausted = Some(write(Entry::Exhausted(shortage)));
                    continue;
                }
                C::End { code } => Step::Policy(policy::Input::CallEnded(code)),
            };
            self.follow_ups.push(step);
        }
        self.follow_ups.extend(exhausted);
    }

    /// What the call says that it has spent, with its number; nothing of what else it says.
    pub(super) fn settlement(&mut self, said: call::Output) -> Option<Box<Settlement>> {
        use call::Output as C;
        let C::Settle { rows, credits, through, committed, replayable, exposed, release } = said else {
            return None;
        };
        self.settlements += 1;
        let (number, at) = (self.settlements, self.now);
        Some(Box::new(Settlement {
            number,
            rows,
            credits,
            through,
            committed,
            replayable,
            exposed,
            release,
            at,
        }))
    }

    pub(super) fn tell_policy(&mut self, input: policy::Input) {
        self.policy.handle_input(self.now, input);
        self.drain_policy();
    }

    pub(super) fn drain_policy(&mut self) {
        while let Some(output) = self.policy.poll_output() {
            use policy::Output as P;
            let step = match output {
                P::Stop(code) => Step::Stop(code),
                P::Stored(mark) => Step::Stored(mark),
                P::ToolStored(call_id) => Step::ToolStored(call_id),
                P::Settled { cost, standing } => Step::Settled { cost, standing },
                P::Reserved(reserved) => Step::Reserved(reserved),
                P::Checkpoint { sent_away } => Step::Checkpoint { sent_away },
                P::TokenAccepted { left } => Step::TokenAccepted(left),
                P::TokenExpiring { left } => Step::TokenExpiring(left),
                P::TokenRefused { left } => Step::TokenRefused(left),
                P::TellEnd(code) => Step::TellEnd(code),
                P::Move => Step::Move,
                P::WriteResumed(token) => write(Entry::Resumed(Box::new(token))),
                P::WriteEnd(code) => Step::WriteEnd(code),
                P::WriteDetached => write(Entry::Attached(false)),
                P::KeepAll => Step::Journal(journal::Input::KeepAll),
                P::HoldRest => Step::Journal(journal::Input::HoldRest),
                P::EndRecording => {
                    self.record(Recorded::End);
                    continue;
                }
                P::Attach { number, hello, token } => {
                    self.follow_ups.push(Step::Out(Output::Attach(number)));
                    Step::Attach { hello, attachment: Attachment::Resume, token }
                }
                P::HandBack(number) => Step::Out(Output::HandBack(number)),
                P::TurnAway(number, code) => Step::Out(Output::TurnAway(number, code)),
                P::Revisit(visitor) => Step::Resume(visitor),
                P::Reserve { reservation, wait } => Step::Out(Output::Reserve { reservation, wait }),
                P::Check { token, wait } => Step::Out(Output::Check { token, wait }),
                P::Login(login) => Step::Out(Output::Login(login)),
                P::Over(departure) => Step::Out(Output::Over(departure)),
                P::Note(note) => Step::Out(Output::Log(Log::Policy(note))),
            };
            self.follow_ups.push(step);
        }
    }

    pub(super) fn tell_journal(&mut self, input: journal::Input) {
        self.journal.handle_input(self.now, input);
        while let Some(output) = self.journal.poll_output() {
            use journal::Output as J;
            let step = match output {
                J::Write { entry, wait } => Step::Out(Output::Write { entry, wait }),
                J::Keep(entries) => Step::Out(Output::Keep(entries)),
                J::Forget(numbers) => Step::Out(Output::Forget(numbers)),
                J::Hold(entries) => Step::Out(Output::Hold(entries)),
                J::Written { entry, receipt } => {
                    Step::Policy(policy::Input::Written(written(entry, receipt)))
                }
                J::Refused { entry, failure } => {
                    let is_end = matches!(entry, Entry::End { .. });
                    Step::Policy(policy::Input::Refused { failure, is_end })
                }
                J::Away { since, why } => {
                    self.follow_ups.push(Step::Out(Output::Log(Log::Away(why))));
                    Step::Policy(policy::Input::Away(Some(since)))
                }
                J::Back => {
                    self.follow_ups.push(Step::Out(Output::Log(Log::Back)));
                    Step::Policy(policy::Input::Away(None))
                }
            };
            self.follow_ups.push(step);
        }
    }

    /// Tells the page whether anybody listens in of whom it is to know, if that is new to it. Whoever goes on with the call elsewhere begins with
    /// nobody who listens.
    pub(super) fn tell_listened(&mut self, listening: bool) {
        if listening != self.is_page_told && self.policy.is_live() {
            self.is_page_told = listening;
            self.follow_ups.push(Step::Say(Saying::Listened(Listened { seq: 0, listening })));
        }
    }

    /// Records whether the agent's sound is held. It stands still as long as the call or the page holds it.
    pub(super) fn record_hold(&mut self, held: bool, held_back: bool) {
        (self.is_held, self.is_held_back) = (held, held_back);
        self.record(Recorded::Held(held || held_back));
    }

    pub(super) fn record(&mut self, recorded: Recorded) {
        if self.is_recorded || self.is_listened {
            self.follow_ups.push(Step::Out(Output::Record(recorded)));
        }
    }
}

/// The step that follows from what the link says, if any.
pub(super) fn of_link(output: link::Output) -> Option<Step> {
    use link::Output as L;
    Some(match output {
        L::Text(text) => Step::Out(Output::Send(Outgoing::Text(text))),
        L::Binary(frame) => Step::Out(Output::Send(Outgoing::Binary(frame))),
        L::Audio { mark, payload } => Step::Audio(mark, payload),
        L::Message { mark, message } => Step::Message(mark, message),
        L::BargeIn(_) => Step::BargeIn,
        L::Held(held_back) => Step::HeldBack(held_back),
        L::Gap(gap) => Step::Gap(gap),
        L::Muted(muted) => Step::Muted(muted),
        L::Played(position) => Step::Played(position),
        L::RoundTrip(time) => Step::RoundTrip(time),
        L::Strikes(strikes) => write(Entry::Strikes(strikes)),
        L::Greeted(token) => Step::Policy(policy::Input::Greeted(resume_hash(&token))),
        L::Token(token) => Step::Policy(policy::Input::Token(token)),
        L::Bye => Step::Bye,
        L::Close(code) => Step::Out(Output::Close(code)),
        L::Detached => Step::Detached,
        L::Attached => Step::Attached,
        L::Ended(code) => Step::Policy(policy::Input::LinkEnded(code)),
    })
}

/// The step that has the journal write an entry.
pub(super) fn write(entry: Entry) -> Step {
    Step::Journal(journal::Input::Entry(entry))
}

/// What the policy is told about a written entry.
fn written(entry: Entry, receipt: Receipt) -> Written {
    match (entry, receipt) {
        (Entry::Turns { committed, .. }, _) => Written::Turns(committed),
        (Entry::Settlement(_), Receipt::Settled { cost, standing }) => Written::Settled { cost, standing },
        (Entry::Resumed(token), _) => Written::Resumed(token.reconnects),
        (Entry::Tool(note), _) => match *note {
            ToolNote::Called { called, .. } => Written::Called(called.call_id),
            ToolNote::Output { .. } => Written::Other,
        },
        (Entry::End { .. }, _) => Written::End,
        (Entry::Settlement(_) | Entry::Exhausted(_) | Entry::Attached(_) | Entry::Strikes(_), _) => {
            Written::Other
        }
    }
}
