//! What the client says.

use std::time::Duration;

use bytes::Bytes;

use super::rate::CONTROL_BURST;
use super::{ACK_DELAY, Link, Pending, STRIKES, Timer, UPLINK, millis};
use crate::{
    AudioHeader, Bye, ClientAck, ClientMessage, CloseCode, ErrorCode, ErrorMessage, Features, Gap,
    HEADER_LEN, Mark, Numbered, Ping, Pong, Resend, TooLong,
};

/// A frame this far ahead of the next one is no loss on the way but a broken client.
pub(super) const FAR_AHEAD: u32 = 10_000;
/// How long the relay waits before it asks for the same frames again.
pub(super) const RESEND_AFTER: Duration = Duration::from_secs(2);
/// How often it asks for them.
pub(super) const RESENDS: u32 = 5;

impl Link {
    pub(super) fn handle_text(&mut self, text: &str) {
        if self.attached().is_none() {
            return;
        }
        self.alive();
        let message = ClientMessage::parse(text);
        // A line that stood still delivers at once what was acknowledged five times a second meanwhile: that is no more than a frame each.
        if matches!(message, Ok(ClientMessage::ClientAck(_))) {
            if let Err(wait) = self.frame_rate.take(self.now, 1) {
                return self.too_fast(wait);
            }
        } else if self.control_rate.take(self.now, 1).is_err() {
            return self.flooded();
        }
        match message {
            Ok(ClientMessage::ClientAck(ack)) => self.handle_ack(ack),
            Ok(ClientMessage::Ping(ping)) => self.handle_ping(ping),
            Ok(ClientMessage::Gap(gap)) => self.handle_gap(gap),
            Ok(ClientMessage::Mute(mute)) => self.pending.push_back(Pending::Muted(mute.muted)),
            Ok(ClientMessage::Token(token)) => self.pending.push_back(Pending::Token(token.token)),
            Ok(ClientMessage::Bye(bye)) => self.handle_bye(bye),
            Ok(ClientMessage::BargeIn(barge_in)) if self.speaks("barge_in") => {
                self.pending.push_back(Pending::BargeIn(barge_in.played));
            }
            Ok(ClientMessage::Playback(playback)) if self.speaks("playback") => {
                self.pending.push_back(Pending::Held(playback.held));
            }
            Ok(ClientMessage::Numbered(numbered)) if self.speaks(numbered.message.word()) => {
                self.handle_numbered(numbered);
            }
            Ok(
                ClientMessage::Hello(_)
                | ClientMessage::BargeIn(_)
                | ClientMessage::Playback(_)
                | ClientMessage::Numbered(_),
            )
            | Err(_) => self.fail(CloseCode::Protocol, ErrorCode::Protocol.into()),
        }
    }

    /// Whether the client was told that this relay knows the word.
    fn speaks(&self, word: &str) -> bool {
        self.config.features.contains(&word)
    }

    /// Something came: the connection lives, and the client has what it was greeted with.
    fn alive(&mut self) {
        if let [.., _, newest] = &*self.resume_tokens {
            self.pending.push_back(Pending::Greeted(newest.clone()));
            self.resume_tokens.drain(..self.resume_tokens.len() - 1);
        }
        self.set(Timer::Dead, self.config.heartbeat * super::DEAD_AFTER_HEARTBEATS);
    }

    /// Audio came, or a message that keeps its place among it. Nothing else is a sign that somebody is there: whatever costs nothing could be
    /// sent for ever.
    fn active(&mut self) {
        self.idle_ends = self.now + Duration::from_millis(self.config.limits.idle_ms);
    }

    fn handle_ack(&mut self, ack: ClientAck) {
        if ack.received > self.downlink.cursor().seq {
            return self.fail(CloseCode::Protocol, ErrorCode::Protocol.into());
        }
        self.downlink.release(ack.received);
        self.pending.push_back(Pending::Played(ack.played));
    }

    fn handle_ping(&mut self, ping: Ping) {
        if ping.rtt_us > 0 {
            self.pending.push_back(Pending::RoundTrip(Duration::from_micros(ping.rtt_us.into())));
        }
        self.send(Pong { id: ping.id });
    }

    fn handle_bye(&mut self, bye: Bye) {
        if bye.end < self.expected.seq || bye.end - self.expected.seq > FAR_AHEAD {
            return self.fail(CloseCode::Protocol, ErrorCode::Protocol.into());
        }
        if let Some(attached) = self.attached_mut() {
            attached.bye = Some(bye.end);
        }
        self.check_bye();
    }

    fn check_bye(&mut self) {
        let next = self.expected.seq;
        if self.attached_mut().and_then(|attached| attached.bye.take_if(|end| *end == next)).is_some() {
            self.pending.push_back(Pending::Bye);
        }
    }

    pub(super) fn handle_binary(&mut self, frame: &Bytes) {
        if self.attached().is_none() {
            return;
        }
        self.alive();
        if let Err(wait) = self.frame_rate.take(self.now, 1) {
            return self.too_fast(wait);
        }
        let Some((header, payload)) = AudioHeader::parse(frame) else {
            return match frame.first() {
                Some(kind) if frame.len() >= HEADER_LEN => {
                    self.strike(ErrorCode::Protocol, u64::from(*kind), None);
                }
                _ => self.strike(ErrorCode::ChunkTooSmall, frame.len() as u64, Some(HEADER_LEN as u64)),
            };
        };
        let seq = header.seq;
        if seq < self.expected.seq {
            return self.acknowledge_again();
        }
        if seq > self.expected.seq {
            return self.missing(seq);
        }
        let limits = &self.config.limits;
        let bytes = payload.len() as u64;
        if bytes < limits.chunk_min_bytes.into() {
            return self.refuse(
                payload,
                ErrorCode::ChunkTooSmall,
                bytes,
                Some(limits.chunk_min_bytes.into()),
            );
        }
        if bytes > limits.chunk_max_bytes.into() {
            return self.refuse(
                payload,
                ErrorCode::ChunkTooLarge,
                bytes,
                Some(limits.chunk_max_bytes.into()),
            );
        }
        if bytes % 2 == 1 {
            return self.refuse(payload, ErrorCode::ChunkOddLength, bytes, None);
        }
        if header.codec != Some(UPLINK) {
            return self.refuse(payload, ErrorCode::ChunkCodec, bytes, None);
        }
        let samples = UPLINK.samples(payload.len());
        let counted = u32::from(header.samples);
        if self.speaks(Features::SAMPLES) && counted != 0 && counted != samples {
            return self.refuse(payload, ErrorCode::ChunkPosition, counted.into(), Some(samples.into()));
        }
        if !self.may_stand(header.position) {
            return self.refuse(
                payload,
                ErrorCode::ChunkPosition,
                header.position.into(),
                Some(self.expected.position.into()),
            );
        }
        if let Err(wait) = self.audio_rate.take(self.now, samples.into()) {
            return self.too_fast(wait);
        }
        let mark = Mark { seq, position: header.position };
        let Some(next) = after(mark, samples) else {
            return self.fail(CloseCode::TooLong, ErrorCode::TooLong.into());
        };
        self.skip_refused(mark);
        self.active();
        self.take(Pending::Audio(mark, frame.slice_ref(payload)), next);
    }

    /// A message among the audio. What makes it wrong is a bug of the client, since it is lossless: it cannot be left out and go on.
    fn handle_numbered(&mut self, Numbered { mark, message }: Numbered) {
        if mark.seq < self.expected.seq {
            return self.acknowledge_again();
        }
        if mark.seq > self.expected.seq {
            return self.missing(mark.seq);
        }
        let next = after(mark, 0).filter(|_| self.may_stand(mark.position));
        let Some(next) = next else {
            return self.fail(CloseCode::Protocol, ErrorCode::Protocol.into());
        };
        self.skip_refused(mark);
        self.active();
        match message.check_length() {
            Ok(()) => return self.take(Pending::Numbered(mark, message), next),
            Err(TooLong { limit, asked }) => {
                self.strike(ErrorCode::TextTooLong, asked as u64, Some(limit as u64));
                if self.attached().is_none() {
                    return;
                }
            }
        }
        self.arrived(next);
    }

    /// After a frame that was left out the timeline may go on further on, by what it can have held, but never before: that was metered.
    fn may_stand(&self, position: u32) -> bool {
        let skipped = position.checked_sub(self.expected.position);
        skipped.is_some_and(|skipped| skipped <= self.refused_samples.unwrap_or(0))
    }

    /// What was left out before this place will never come.
    fn skip_refused(&mut self, to: Mark) {
        if self.refused_samples.take().is_some() && to.seq > self.inherited.seq {
            self.pending.push_back(Pending::Gap(Gap { from: self.expected, to }));
        }
    }

    fn handle_gap(&mut self, gap: Gap) {
        if gap.to.seq <= self.expected.seq {
            return self.acknowledge_again();
        }
        if gap.from.seq > self.expected.seq {
            return self.missing(gap.from.seq);
        }
        let starts_here = gap.from.seq < self.expected.seq || gap.from.position == self.expected.position;
        // No frame that it stands in for was longer than any may be.
        let frames = u64::from(gap.to.seq - self.expected.seq);
        let most = frames * u64::from(self.longest_chunk()) + u64::from(self.refused_samples.unwrap_or(0));
        let skipped = gap.to.position.checked_sub(self.expected.position);
        let fits = skipped.is_some_and(|skipped| u64::from(skipped) <= most);
        if !starts_here && self.refused_samples.is_none() || !fits {
            return self.fail(CloseCode::Protocol, ErrorCode::Protocol.into());
        }
        self.refused_samples = None;
        self.take(Pending::Gap(Gap { from: self.expected, to: gap.to }), gap.to);
    }

    /// Something came, and the next begins there. What a session before has committed is nobody's to hear any more.
    fn take(&mut self, pending: Pending, next: Mark) {
        let inherited = self.inherited;
        let begin = match &pending {
            Pending::Audio(mark, _) | Pending::Numbered(mark, _) => *mark,
            Pending::Gap(gap) => gap.from,
            _ => next,
        };
        if next.seq <= inherited.seq {
            self.committed = next;
        } else if begin.seq > inherited.seq || begin == inherited {
            self.pending.push_back(pending);
        } else {
            // The first thing behind what is committed: what is missing between them will never come.
            let is_gap = matches!(pending, Pending::Gap(_));
            let to = if is_gap { next } else { begin };
            if to.position < inherited.position {
                // The same numbers were of another audio.
                return self.fail(CloseCode::Protocol, ErrorCode::Protocol.into());
            }
            self.pending.push_back(Pending::Gap(Gap { from: inherited, to }));
            self.pending.extend((!is_gap).then_some(pending));
        }
        self.arrived(next);
    }

    fn arrived(&mut self, next: Mark) {
        self.expected = next;
        self.forget_resends();
        self.acknowledge_frame();
        self.check_bye();
    }

    /// Something came that was waited for.
    fn forget_resends(&mut self) {
        if let Some(attached) = self.attached_mut() {
            attached.resends = 0;
            attached.timers.stop(Timer::Resend as usize);
        }
    }

    /// Frames are missing before `seq`: ask for them, patiently.
    fn missing(&mut self, seq: u32) {
        let may_ask = !self.is_set(Timer::Resend);
        let Some(attached) = self.attached_mut() else { return };
        let is_hopeless = may_ask && attached.resends >= RESENDS;
        attached.resends += u32::from(may_ask);
        if is_hopeless || seq - self.expected.seq > FAR_AHEAD {
            return self.fail(CloseCode::Protocol, ErrorCode::Protocol.into());
        }
        if may_ask {
            self.set(Timer::Resend, RESEND_AFTER);
            self.send(Resend { from: self.expected });
        }
    }

    /// Leaves the frame at `expected` out: it has a number, but no audio that could be used or billed.
    fn refuse(&mut self, payload: &[u8], code: ErrorCode, asked: u64, limit: Option<u64>) {
        self.expected.seq = self.expected.seq.saturating_add(1);
        // Of another codec, a shorter payload may have held more.
        let samples = (payload.len().div_ceil(2) as u32).max(self.longest_chunk());
        self.refused_samples = Some(self.refused_samples.unwrap_or(0).saturating_add(samples));
        self.forget_resends();
        self.wait_for_ack();
        self.schedule_ack();
        self.strike(code, asked, limit);
        self.check_bye();
    }

    /// Samples of the longest chunk.
    fn longest_chunk(&self) -> u32 {
        UPLINK.samples(self.config.limits.chunk_max_bytes as usize)
    }

    fn strike(&mut self, code: ErrorCode, asked: u64, limit: Option<u64>) {
        let error = ErrorMessage { asked: Some(asked), limit, ..code.into() };
        self.strikes = self.strikes.saturating_add(1);
        if self.strikes > STRIKES {
            self.fail(CloseCode::Protocol, error);
        } else {
            self.pending.push_back(Pending::Strikes(self.strikes));
            self.send(error);
        }
    }

    /// What is here already came again: the client may not know that it is here. Acknowledgements are gathered as for anything else.
    fn acknowledge_again(&mut self) {
        if !self.is_set(Timer::Ack) {
            self.set(Timer::Ack, ACK_DELAY);
        }
    }

    /// Frames of the WebSocket that say nothing, such as its own pings, are under the same bucket as frames of audio.
    pub(super) fn handle_control(&mut self) {
        if self.attached().is_none() {
            return;
        }
        self.alive();
        if let Err(wait) = self.frame_rate.take(self.now, 1) {
            self.too_fast(wait);
        }
    }

    fn too_fast(&mut self, wait: Duration) {
        let mut error = ErrorMessage::from(ErrorCode::AudioTooFast);
        let (limit, wait) = (u64::from(self.config.limits.burst_ms), millis(wait) + 1);
        error.limit = Some(limit);
        error.asked = Some(limit + wait);
        error.retry_after_ms = Some(wait);
        self.reject(CloseCode::Limited, error);
    }

    /// More control messages than a client has reason to send. None may be left out, since each can be needed, so the connection
    /// ends: whatever is still true is said again after a resume.
    fn flooded(&mut self) {
        let limit = u64::from(self.config.control_per_second.max(1));
        let mut error = ErrorMessage::from(ErrorCode::ControlRate);
        error.limit = Some(limit);
        error.asked = Some(limit + 1);
        error.retry_after_ms = Some(millis(CONTROL_BURST));
        self.reject(CloseCode::Limited, error);
    }

    /// Closes the connection, not the session: the client may come back when it has waited.
    fn reject(&mut self, code: CloseCode, error: ErrorMessage) {
        self.send(error);
        self.detach(Some(code));
    }
}

fn after(mark: Mark, samples: u32) -> Option<Mark> {
    Some(Mark { seq: mark.seq.checked_add(1)?, position: mark.position.checked_add(samples)? })
}
