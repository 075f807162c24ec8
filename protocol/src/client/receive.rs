//! What the relay says.

use std::time::Duration;

use super::phase::{Attempt, Away, Phase};
use super::{Client, ErrorInfo, Event, Pending, Session, SessionInfo};
use crate::{
    Ability, AgentState, AudioHeader, BudgetScope, CloseCode, ErrorCode, Mark, ParseError, RelayAck,
    RelayMessage, ResumeFailed, Resumed, Role, Welcome,
};

/// A heartbeat interval outside of this is not believed.
const HEARTBEAT_MS: std::ops::RangeInclusive<u32> = 1_000..=60_000;

impl Client {
    pub(super) fn handle_text(&mut self, text: &str) {
        if self.up().is_none() && !self.is_greeting() {
            return;
        }
        match RelayMessage::parse(text) {
            Ok(message) => {
                self.alive();
                self.handle_answer(message);
            }
            // A newer relay may know more types and words than we do; a numbered message still counts.
            Err(ParseError::Unknown { seq: Some(seq) }) => {
                self.take_number(seq);
            }
            Err(ParseError::Unknown { seq: None }) => {}
            Err(ParseError::Malformed) => self.drop_link(),
        }
    }

    fn handle_answer(&mut self, message: RelayMessage) {
        match message {
            RelayMessage::Welcome(welcome) if self.is_greeting() => self.handle_welcome(welcome),
            RelayMessage::Resumed(resumed) if self.is_greeting() => self.handle_resumed(resumed),
            RelayMessage::ResumeFailed(failed) if self.is_greeting() => {
                self.handle_resume_failed(&failed);
            }
            RelayMessage::ErrorMessage(error) => {
                self.hold_off(error.retry_after_ms);
                // Of a `hello` that came too late a relay says the same as of a token that is not valid.
                if error.code != const { ErrorCode::Unauthorized.name() } || !self.has_greeted_late() {
                    self.tell(Event::Error(error.into()));
                }
            }
            _ if self.up().is_none() => {}
            RelayMessage::RelayAck(ack) => self.handle_ack(ack),
            RelayMessage::Resend(resend) => self.rewind(resend.from),
            RelayMessage::Pong(pong) => self.handle_pong(pong.id),
            RelayMessage::Usage(usage) => {
                self.usage = usage;
                self.tell(Event::Usage(usage));
            }
            RelayMessage::TokenExpiring(_) => self.refresh_token(),
            RelayMessage::Ended(ended) => {
                self.usage = ended.usage;
                if let Some(up) = self.up_mut() {
                    up.ended = CloseCode::from_name(&ended.reason);
                }
                self.tell(Event::Usage(ended.usage));
            }
            RelayMessage::TokenRefused(_) => {
                self.tell(Event::Error(const { ErrorCode::TokenRefused.info() }.into()));
            }
            RelayMessage::Move(go) => self.prepare_to_move(Duration::from_millis(go.within_ms.into())),
            RelayMessage::AgentStateMessage(agent) => {
                if self.take_number(agent.seq) {
                    if agent.state != AgentState::Speaking {
                        self.barge_in = None;
                    }
                    self.tell_known(agent.state != AgentState::Unknown, Event::Agent(agent.state));
                }
            }
            RelayMessage::Transcript(said) => {
                if self.take_number(said.seq) {
                    self.tell_known(said.role != Role::Unknown, Event::Transcript(said));
                }
            }
            RelayMessage::ReplyEnd(end) => {
                if self.take_number(end.seq) {
                    self.end_reply();
                }
            }
            RelayMessage::Flush(flush) => {
                if self.take_number(flush.seq) {
                    self.barge_in = None;
                    self.is_mid_reply = false;
                    (self.plays_through, self.earlier) = (self.played, 0..0);
                    self.pending.push_back(Pending::FlushPlayout);
                }
            }
            RelayMessage::Hold(hold) => {
                if self.take_number(hold.seq) {
                    self.pending.push_back(Pending::HoldPlayout(true));
                }
            }
            RelayMessage::Release(release) => {
                if self.take_number(release.seq) {
                    self.barge_in = None;
                    self.pending.push_back(Pending::HoldPlayout(false));
                }
            }
            RelayMessage::Budget(budget) => {
                if self.take_number(budget.seq) {
                    self.tell_known(budget.scope != BudgetScope::Unknown, Event::Budget(budget));
                }
            }
            RelayMessage::ToolCall(call) => {
                if self.take_number(call.seq) {
                    self.tell(Event::ToolCall(call));
                }
            }
            RelayMessage::ToolCancel(cancel) => {
                if self.take_number(cancel.seq) {
                    self.tell(Event::ToolCancel(cancel.call_id));
                }
            }
            RelayMessage::Degraded(degraded) => {
                if self.take_number(degraded.seq) {
                    self.tell_known(degraded.what != Ability::Unknown, Event::Degraded(degraded));
                }
            }
            RelayMessage::Latency(latency) => {
                if self.take_number(latency.seq) {
                    self.tell(Event::Latency(latency));
                }
            }
            RelayMessage::Listened(listened) => {
                if self.take_number(listened.seq) {
                    self.listened = listened.listening;
                    self.tell(Event::Listened(listened.listening));
                }
            }
            RelayMessage::TokenAccepted(_)
            | RelayMessage::Welcome(_)
            | RelayMessage::Resumed(_)
            | RelayMessage::ResumeFailed(_) => {}
        }
    }

    /// An application knows the words of its own version only.
    fn tell_known(&mut self, is_known: bool, event: Event) {
        if is_known {
            self.tell(event);
        }
    }

    fn handle_welcome(&mut self, welcome: Welcome) {
        let features = welcome.features.clone();
        let info = SessionInfo {
            session_id: welcome.session_id,
            conversation_id: welcome.conversation_id,
            epoch: welcome.epoch,
            recording: welcome.recording,
            limits: welcome.limits,
            prices: welcome.prices,
            agent: welcome.agent,
            features: welcome.features,
        };
        self.conversation_id = Some(info.conversation_id.clone());
        let heartbeat = welcome.heartbeat_ms.clamp(*HEARTBEAT_MS.start(), *HEARTBEAT_MS.end());
        self.tell(Event::Session(info.clone()));
        self.session = Some(Session {
            info,
            resume_token: welcome.resume_token,
            heartbeat: Duration::from_millis(heartbeat.into()),
        });
        self.begin_epoch();
        self.acknowledged = self.base;
        self.uplink.seek(self.base);
        self.connected(features);
    }

    fn handle_resumed(&mut self, resumed: Resumed) {
        let Some(session) = self.session.as_mut() else { return self.drop_link() };
        session.resume_token = resumed.resume_token;
        let features = resumed.features.clone();
        let is_new_epoch = session.info.epoch != resumed.epoch;
        if is_new_epoch || session.info.features != resumed.features {
            session.info.epoch = resumed.epoch;
            session.info.features = resumed.features;
            let info = session.info.clone();
            self.tell(Event::Session(info));
        }
        if is_new_epoch {
            self.begin_epoch();
        }
        if resumed.received.seq > self.uplink.end().seq {
            return self.drop_link();
        }
        self.acknowledged = resumed.received;
        self.commit(resumed.committed);
        self.uplink.seek(resumed.received);
        self.connected(features);
    }

    fn handle_resume_failed(&mut self, failed: &ResumeFailed) {
        self.session = None;
        let mut error = ErrorInfo::from(const { ErrorCode::ResumeFailed.info() });
        error.message.push_str(" Reason: ");
        error.message.push_str(&failed.reason);
        self.tell(Event::Error(error));
    }

    /// The relay counts its frames from 0 again, and does not know what it held back before. Nobody listens in who listened at the relay before:
    /// whoever does so here is told of here.
    fn begin_epoch(&mut self) {
        // What it has is heard to its end.
        if self.played < self.plays_through {
            self.earlier = self.played..self.plays_through;
        }
        // More of that comes from nobody, so it waits for no more; and where it has run out already, what comes next is no late part of it.
        if self.is_mid_reply {
            self.end_reply();
        }
        self.pending.push_back(Pending::HoldPlayout(false));
        if std::mem::take(&mut self.listened) {
            self.tell(Event::Listened(false));
        }
        self.expected = 0;
        self.barge_in = None;
        self.played = 0;
        self.received_end = 0;
        self.plays_through = 0;
    }

    fn end_reply(&mut self) {
        self.is_mid_reply = false;
        self.pending.push_back(Pending::EndOfReply);
    }

    fn handle_ack(&mut self, ack: RelayAck) {
        if ack.received.seq > self.uplink.cursor().seq {
            return self.drop_link();
        }
        if ack.received.seq > self.acknowledged.seq {
            self.acknowledged = ack.received;
            self.progress();
        }
        self.commit(ack.committed);
    }

    fn commit(&mut self, committed: Mark) {
        if committed.seq > self.base.seq && committed.seq <= self.uplink.end().seq {
            self.base = committed;
            self.progress();
            self.uplink.release(committed.seq);
            self.told_gaps.forget_before(committed.position);
        }
    }

    fn rewind(&mut self, from: Mark) {
        if from.seq < self.acknowledged.seq || from.seq > self.uplink.cursor().seq {
            return self.drop_link();
        }
        self.uplink.seek(from);
    }

    pub(super) fn handle_binary(&mut self, frame: &[u8]) {
        if self.up().is_none() {
            return;
        }
        self.alive();
        let Some((header, payload)) = AudioHeader::parse(frame) else { return self.drop_link() };
        if !self.take_number(header.seq) {
            return;
        }
        // A codec of a newer relay counts, but cannot be played, and whoever has hung up hears nothing more: what is dropped is not heard.
        let Some(codec) = header.codec.filter(|_| self.closing.is_none()) else { return };
        self.received_end = header.position.saturating_add(codec.samples(payload.len()));
        self.plays_through = self.received_end;
        self.is_mid_reply = true;
        let payload = payload.to_vec();
        self.pending.push_back(Pending::Play { codec, position: header.position, payload });
    }

    fn is_greeting(&self) -> bool {
        matches!(self.phase, Phase::Away(Away { attempt: Attempt::Greeting { .. }, .. }))
    }

    /// Whether a numbered frame is the next one. Duplicates are acknowledged again; a hole cannot happen on a healthy
    /// connection, so the connection is dropped and resumed from what is there.
    fn take_number(&mut self, seq: u32) -> bool {
        if self.up().is_none() || seq < self.expected {
            self.schedule_ack();
            return false;
        }
        if seq > self.expected {
            self.drop_link();
            return false;
        }
        self.expected += 1;
        self.schedule_ack();
        true
    }
}
