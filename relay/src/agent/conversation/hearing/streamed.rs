//! A recogniser that hears everything as it comes.

mod asked;

use std::collections::VecDeque;
use std::time::Duration;

use audio::{Attention, VoiceEvent, encode_s16le_from_i16};
use protocol::{ErrorCode, Time};

use super::super::super::AgentOutput;
use super::super::super::utterances::Ears;
use super::super::outbox::Outbox;
use super::Understood;
use super::outage::{Outage, Then, may_pass};
use crate::money::bill::{AtMost, Quantity};
use crate::money::tab::RequestId;
use crate::provider::{Ask, Event, Failure, FailureKind, Feed, Heard, ROUNDING, TurnSign};
use asked::{Asked, Kept};

/// Audio that is kept for a recogniser that has to take over: 60 s. What is older is not understood if it was not by then.
const KEPT_MAX_SAMPLES: u32 = 60 * 16_000;
/// How much audio goes by before a recogniser is tried again for a user whom nobody hears: 10 s. Whether one is really asked is for its
/// circuit breaker to say, so that many calls together try no more often than one.
const TRY_AGAIN_SAMPLES: u32 = 10 * 16_000;
/// Kept audio is handed over in pieces of so many bytes, 2 s: a provider's socket takes a bounded number of them.
const PIECE_BYTES: usize = 64_000;
/// Silence behind words that stay is the end of their turn after 3 s, whether or not a recogniser says so. Those that find turns end one sooner.
const END_OF_TURN: u32 = 3 * 16_000;
/// A recogniser that has said the last word about all that it was given, and closes no sooner than this, was closed for want of anything to hear:
/// 5 s, half of the time after which providers do that. Whoever closes sooner may do so with each sample.
const IDLE: Duration = Duration::from_secs(5);
/// `Final` is not said more often than every half second.
const FINAL_STEP: u32 = 8_000;

pub(in super::super) struct Streamed<E> {
    /// The recognisers' places among the agent's providers, in the order in which they are asked.
    recognisers: Vec<usize>,
    /// They find where somebody speaks over the agent before the recogniser says so, and else are away.
    ears: E,
    is_voiced: bool,
    asked: Option<Asked>,
    /// Recognisers that have failed since one was last of use.
    outage: Outage,
    /// The last one was closed for want of anything to hear: nobody has to hear before more comes.
    waits_for_audio: bool,
    /// Which of them is asked next.
    next: usize,
    /// What the recogniser was given and has not said its last word about, oldest first.
    kept: VecDeque<Kept>,
    /// Samples in `kept`.
    kept_samples: u32,
    /// Audio before this place has no last word, and is kept for nobody any more.
    dropped_through: Option<u32>,
    /// What comes before this was given to a recogniser that listened: whoever is given it once more is paid once more.
    given_through: u32,
    /// Where the audio began.
    begun: u32,
    /// Samples that were given to a recogniser once more so far.
    given_again: u64,
    /// Where the audio ends that has come.
    end: u32,
    final_through: u32,
    /// The user was told that nobody hears them.
    is_deaf: bool,
    /// Where the audio stood when the last recogniser was given up, unless one may be asked again.
    gave_up_at: Option<u32>,
    /// No audio comes for now.
    is_paused: bool,
    /// The user is on hold.
    is_on_hold: bool,
    /// A turn that is so long is over; 0 for one that may be as long as it likes. Samples.
    longest_turn: u32,
    /// Where the last turn ended: the next one begins no earlier.
    taken_through: u32,
    /// The turn is that long, and is over with the next words that stay.
    is_too_long: bool,
    /// Words of the turn that stay,
    firm: String,
    /// and where they end.
    firm_through: u32,
    /// A recogniser has given them that does not hear any more: the one that does knows of no turn that it could end.
    is_inherited: bool,
    /// Words behind them that may change.
    loose: String,
    /// Where the turn's words begin and end.
    span: Option<(u32, u32)>,
    /// Where the last of them ends, before the silence that is heard with it.
    words_end: u32,
    pub(super) understood: VecDeque<Understood>,
}

impl<E: Ears> Streamed<E> {
    pub(super) fn new(recognisers: Vec<usize>, mut ears: E, position: u32, longest_turn: u32) -> Streamed<E> {
        ears.begin_at(position);
        ears.attend(Attention::Away);
        Streamed {
            recognisers,
            ears,
            is_voiced: false,
            asked: None,
            outage: Outage::default(),
            waits_for_audio: false,
            next: 0,
            kept: VecDeque::new(),
            kept_samples: 0,
            dropped_through: None,
            given_through: position,
            begun: position,
            given_again: 0,
            end: position,
            final_through: position,
            is_deaf: false,
            gave_up_at: None,
            is_paused: false,
            is_on_hold: false,
            longest_turn,
            taken_through: position,
            is_too_long: false,
            firm: String::new(),
            firm_through: position,
            is_inherited: false,
            loose: String::new(),
            span: None,
            words_end: position,
            understood: VecDeque::new(),
        }
    }

    pub(super) fn agent_sounds(&mut self, sounds: bool) {
        self.ears.attend(if sounds { Attention::Close } else { Attention::Away });
        self.is_voiced &= sounds;
    }

    pub(super) fn is_voiced(&self) -> bool {
        self.is_voiced
    }

    pub(super) fn hear(&mut self, position: u32, samples: &[i16], outbox: &mut Outbox) {
        let is_voiced = &mut self.is_voiced;
        self.ears.push(samples, |event| *is_voiced = matches!(event, VoiceEvent::SpeechStarted { .. }));
        let mut bytes = vec![0; 2 * samples.len()];
        encode_s16le_from_i16(samples, &mut bytes);
        let kept = Kept { position, bytes: bytes.into() };
        self.end = kept.end();
        (self.is_paused, self.waits_for_audio) = (false, false);
        if let Some(gave_up_at) = self.gave_up_at {
            if self.end - gave_up_at < TRY_AGAIN_SAMPLES {
                // Nobody hears: what is said is not kept for anybody either.
                return self.finalise(self.end, FINAL_STEP);
            }
            self.gave_up_at = None;
        }
        match &mut self.asked {
            Some(asked) => {
                asked.repeated += if self.is_deaf { kept.samples() } else { 0 };
                asked.feed(&kept, outbox);
            }
            None => {
                self.keep(kept);
                return self.ask_next(outbox);
            }
        }
        self.keep(kept);
        self.end_long_turn(outbox);
        self.end_inherited_turn();
    }

    /// Of a turn whose recogniser broke behind words that stay, the one that stands in may hear nothing, or say nothing of it.
    fn end_inherited_turn(&mut self) {
        let is_silent = self.is_inherited && self.loose.is_empty();
        let connected = self.asked.as_ref().and_then(|asked| asked.connected).filter(|_| is_silent);
        if let (Some((connected, _)), Some((_, last))) = (connected, self.span)
            && self.end.saturating_sub(last.max(connected)) >= END_OF_TURN
        {
            self.turn_over();
        }
    }

    /// Whoever talks on and on, such as a television, is answered as if they had come to an end.
    fn end_long_turn(&mut self, outbox: &mut Outbox) {
        let is_too_long = self.longest_turn > 0
            && self.span.is_some_and(|(start, _)| self.end.saturating_sub(start) >= self.longest_turn);
        if let Some(asked) = self.asked.as_ref().filter(|_| is_too_long && !self.is_too_long) {
            self.is_too_long = true;
            outbox.feed(asked.request, Feed::Flush);
        }
    }

    fn keep(&mut self, kept: Kept) {
        self.kept_samples += kept.samples();
        self.kept.push_back(kept);
        while self.kept_samples > KEPT_MAX_SAMPLES
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_samples -= oldest.samples();
            self.dropped_through = Some(oldest.end());
        }
    }

    /// Audio that is lost for good.
    pub(super) fn skip(&mut self, end: u32) {
        self.end = self.end.max(end);
        self.ears.begin_at(self.end);
        self.is_voiced = false;
    }

    /// What was being said is complete, and its last words are wanted now.
    pub(super) fn pause(&mut self, outbox: &mut Outbox) {
        self.is_paused = true;
        self.ears.flush();
        self.is_voiced = false;
        // Words that may change are their recogniser's to call final, also those of audio of which it seemed to have said the last word.
        let is_open = !self.loose.is_empty() && self.asked.is_some();
        match &self.asked {
            _ if self.kept.is_empty() && !is_open => self.end_pause(self.span.is_some()),
            Some(asked) => outbox.feed(asked.request, Feed::Flush),
            // Nothing came for so long that nobody listens any more.
            None => self.ask_next(outbox),
        }
        // Whoever speaks again later may be heard again.
        self.gave_up_at = None;
        self.let_go(outbox);
    }

    /// The user is on hold, or back.
    pub(super) fn hold(&mut self, on_hold: bool, outbox: &mut Outbox) {
        self.is_on_hold = on_hold;
        self.let_go(outbox);
    }

    /// On hold nobody has to listen: the recogniser is let go of once it has said its last words. One is asked again with the first sample
    /// that comes.
    fn let_go(&mut self, outbox: &mut Outbox) {
        if self.is_on_hold
            && self.is_paused
            && self.kept.is_empty()
            && self.loose.is_empty()
            && let Some(request) = self.asked.as_ref().map(|asked| asked.request)
        {
            outbox.push(AgentOutput::Cancel { request });
            self.let_go_of(outbox);
        }
    }

    /// What comes next is said to somebody else, from where nothing more is final here: words that may change are heard there once more, and no
    /// part of a sentence becomes a turn.
    pub(super) fn hand_over(&mut self) {
        self.loose.clear();
        let is_firm = !self.firm.is_empty();
        let firm = self.span.filter(|_| is_firm);
        self.span = firm.map(|(start, last)| (start, last.min(self.firm_through).max(start)));
    }

    /// Nobody waits for more words: those that are there are what was said.
    pub(super) fn leave(&mut self, outbox: &mut Outbox) {
        self.outage.stop_waiting();
        if let Some(request) = self.asked.as_ref().map(|asked| asked.request) {
            outbox.push(AgentOutput::Cancel { request });
            self.spent(outbox);
        }
        self.firm = self.words();
        self.turn_over();
    }

    /// The words of the turn so far.
    fn words(&self) -> String {
        let space = if self.firm.is_empty() || self.loose.is_empty() { "" } else { " " };
        format!("{}{space}{}", self.firm, self.loose)
    }

    /// When recognisers that have all failed are asked again.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.outage.due()
    }

    pub(super) fn handle_timeout(&mut self, now: Time, outbox: &mut Outbox) {
        if self.outage.take_due(now) && (self.is_paused || !self.waits_for_audio) {
            self.ask_next(outbox);
        }
    }

    pub(super) fn handle_event(
        &mut self,
        now: Time,
        request: RequestId,
        event: &Event,
        outbox: &mut Outbox,
    ) -> bool {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.request == request) else { return false };
        if !matches!(event, Event::Failed(_)) {
            asked.connected.get_or_insert((self.end, now));
        }
        match event {
            Event::Named(name) => asked.provider_id = Some(name.clone()),
            Event::Heard(heard) => {
                asked.has_heard = true;
                self.is_heard(true);
                self.heard(heard);
            }
            Event::Unanswered { end } => self.heard(&Heard {
                text: String::new(),
                start: *end,
                end: *end,
                words_end: None,
                is_final: true,
            }),
            Event::Turn(TurnSign::Began { at }) => {
                let at = asked.position(*at);
                self.understood.push_back(Understood::Began { at });
            }
            Event::Turn(TurnSign::Over) => self.turn_over(),
            Event::Turn(TurnSign::MayBeOver) => {
                let text = self.words();
                if !text.is_empty() {
                    self.understood.push_back(Understood::MayBeOver { text });
                }
            }
            Event::Turn(TurnSign::GoesOn) => self.understood.push_back(Understood::GoesOn),
            // It was closed before it has said the last words that are wanted of it, and no sample comes with which another one would be asked.
            Event::Finished(_) if self.is_paused && !self.kept.is_empty() => self.broke(now, None, outbox),
            Event::Finished(_) if self.is_paused => self.let_go_of(outbox),
            Event::Finished(_) => self.closed(now, outbox),
            // It broke while nobody said anything: nobody is unheard by that. One is asked again with the next sample.
            Event::Failed(_) if self.is_paused && self.kept.is_empty() => self.let_go_of(outbox),
            Event::Failed(failure) => self.broke(now, Some(failure), outbox),
            _ => {}
        }
        self.let_go(outbox);
        true
    }

    /// The recogniser is of no use any more, for this reason or because it closed: another one is asked.
    fn broke(&mut self, now: Time, failure: Option<&Failure>, outbox: &mut Outbox) {
        let Some(asked) = &self.asked else { return };
        // One that was never there, whatever it answered to being called, has not listened in silence.
        let (next, was_there) = (asked.recogniser + 1, asked.connected.is_some());
        let was_of_use = self.spent(outbox);
        let was_silent = was_there && failure.is_some_and(|failure| failure.kind == FailureKind::Timeout);
        if was_silent && next >= self.recognisers.len() {
            // All of them took so long to say nothing that the user is told before they are asked once more.
            self.is_heard(false);
        }
        self.take_loose_back();
        let then = if was_of_use {
            Then::AskNext
        } else {
            self.outage.failed(now, failure.is_none_or(may_pass), self.recognisers.len(), self.end)
        };
        match then {
            Then::AskNext => {
                self.next = if next < self.recognisers.len() { next } else { 0 };
                if !self.kept.is_empty() {
                    self.ask_next(outbox);
                }
            }
            Then::Wait => self.next = 0,
            Then::GiveUp => self.give_up(),
        }
    }

    /// The recogniser was closed for want of anything to hear: nobody is unheard by that. One is asked again with the next sample, and given what
    /// has no last word. A provider may also close in order whatever it is given, which is a failure like any other: none is asked with each sample.
    fn closed(&mut self, now: Time, outbox: &mut Outbox) {
        let Some(asked) = &self.asked else { return };
        let next = asked.recogniser + 1;
        let was_idle = asked.connected.is_some_and(|(_, since)| now.since(since) >= IDLE);
        if self.kept.is_empty() && asked.has_heard && was_idle {
            return self.let_go_of(outbox);
        }
        if self.spent(outbox) {
            return;
        }
        self.waits_for_audio = true;
        match self.outage.failed(now, true, self.recognisers.len(), self.end) {
            Then::AskNext => self.next = next % self.recognisers.len(),
            Then::Wait => self.next = 0,
            Then::GiveUp => self.give_up(),
        }
    }

    /// The request is over, of a recogniser from which no more is wanted. Nothing is kept for another one: words that might have changed are what was
    /// said.
    fn let_go_of(&mut self, outbox: &mut Outbox) {
        self.note_well();
        self.spent(outbox);
        if !self.loose.is_empty() {
            self.firm = self.words();
            self.turn_over();
        }
    }

    /// A recogniser that has said anything was well: whatever failed before it is no part of an outage that begins later.
    fn note_well(&mut self) {
        if self.asked.as_ref().is_some_and(|asked| asked.has_heard) {
            self.outage = Outage::default();
        }
    }

    /// The request is over. Where its recogniser was of use, which is returned, those that failed before it count no more.
    fn spent(&mut self, outbox: &mut Outbox) -> bool {
        let Some(asked) = &mut self.asked else { return false };
        let was_of_use = asked.was_of_use(self.end);
        if was_of_use {
            self.outage = Outage::default();
        }
        let (request, provider_id) = (asked.request, asked.provider_id.take());
        let used = self.end_request();
        outbox.push(AgentOutput::Spent { request, used, estimated: false, provider_id });
        was_of_use
    }

    /// Nobody hears the user, and nothing is kept for anybody.
    fn give_up(&mut self) {
        self.turn_over();
        (self.next, self.gave_up_at) = (0, Some(self.end));
        self.is_heard(false);
        self.forget();
        self.finalise(self.end, 1);
    }

    /// Another recogniser is given what nobody has said the last word about, unless all have failed just now.
    fn ask_next(&mut self, outbox: &mut Outbox) {
        if self.outage.due().is_none() {
            let next = std::mem::take(&mut self.next);
            self.ask(next, outbox);
        }
    }

    fn ask(&mut self, recogniser: usize, outbox: &mut Outbox) {
        let Some(&provider) = self.recognisers.get(recogniser) else { return };
        self.drop_beyond_bound();
        if self.dropped_through.take().is_some() {
            // What was said before what is kept is heard by nobody any more.
            outbox.push(AgentOutput::Trouble(ErrorCode::NotHeard));
            outbox.push(AgentOutput::Dropped { kept: self.kept_samples, end: self.end });
        }
        if self.kept.is_empty() {
            // Nothing is left that anybody could hear: one is asked with the next sample, if there is one.
            if self.is_paused {
                self.turn_over();
                self.finalise(self.end, 1);
            }
            return;
        }
        let request = outbox.ask(provider, Ask::Listen, AtMost::Nothing);
        let mut asked = Asked::new(request, recogniser, self.end);
        let mut piece = Vec::new();
        for kept in &self.kept {
            let again = kept.before(self.given_through);
            asked.again += again;
            asked.repeated += if self.is_deaf { kept.samples() } else { again };
            asked.note(kept);
            piece.extend_from_slice(&kept.bytes);
            if piece.len() >= PIECE_BYTES {
                outbox.feed(request, Feed::Audio(std::mem::take(&mut piece).into()));
            }
        }
        if !piece.is_empty() {
            outbox.feed(request, Feed::Audio(piece.into()));
        }
        self.asked = Some(asked);
        self.is_inherited = !self.firm.is_empty();
        // What the one before was told with its last audio holds for this one as well: no silence comes by which it would know an end.
        if self.is_paused || self.is_too_long {
            outbox.feed(request, Feed::Flush);
        }
    }

    /// However often recognisers break, no more audio of a call is given to another one once more than the call has lasted, and as much as is kept:
    /// the operator pays for all of it. What is beyond that is heard by nobody any more, the oldest first.
    fn drop_beyond_bound(&mut self) {
        let most = u64::from(self.end.saturating_sub(self.begun)) + u64::from(KEPT_MAX_SAMPLES);
        let mut again: u64 = self.kept.iter().map(|kept| u64::from(kept.before(self.given_through))).sum();
        while self.given_again + again > most
            && let Some(oldest) = self.kept.pop_front()
        {
            again -= u64::from(oldest.before(self.given_through));
            self.kept_samples -= oldest.samples();
            self.dropped_through = Some(oldest.end());
        }
    }

    /// Nothing is kept for anybody.
    fn forget(&mut self) {
        self.kept.clear();
        self.kept_samples = 0;
        self.dropped_through = None;
    }

    /// The request is over. What it has used beyond what the call meters as it comes: audio that another one had been given before.
    fn end_request(&mut self) -> Option<Quantity> {
        let asked = self.asked.take().filter(|asked| asked.connected.is_some())?;
        self.given_through = self.given_through.max(asked.position(asked.fed));
        self.given_again += u64::from(asked.again);
        (asked.repeated > 0).then(|| Quantity::Repeated(asked.repeated.into()))
    }

    /// The user is heard, or nobody hears them: they are told once.
    fn is_heard(&mut self, is_heard: bool) {
        if std::mem::replace(&mut self.is_deaf, !is_heard) == is_heard {
            self.understood.push_back(Understood::Deaf(!is_heard));
        }
    }

    fn heard(&mut self, heard: &Heard) {
        let Some(asked) = &mut self.asked else { return };
        let (start, end) = (asked.position(heard.start), asked.position(heard.end));
        let text = heard.text.trim();
        let had_words = self.span.is_some();
        if !text.is_empty() {
            // A recogniser that was asked for what it had may find the end of that once more: it is no part of two turns.
            let (start, end) = (start.max(self.taken_through), end.max(self.taken_through));
            let (first, last) = self.span.unwrap_or((start, end));
            self.span = Some((first.min(start), last.max(end)));
            self.words_end = heard.words_end.map_or(end, |at| asked.position(at));
        }
        if heard.is_final {
            if !text.is_empty() {
                if !self.firm.is_empty() {
                    self.firm.push(' ');
                }
                self.firm.push_str(text);
                self.firm_through = end.max(self.taken_through);
                self.is_inherited = false;
            }
            asked.forget_before(end);
            self.dropped_through = self.dropped_through.filter(|through| *through > end);
            while let Some(oldest) = self.kept.front().filter(|oldest| oldest.end() <= end) {
                self.kept_samples -= oldest.samples();
                self.kept.pop_front();
                asked.has_understood |= !text.is_empty();
            }
            self.take_loose_back();
        } else {
            text.clone_into(&mut self.loose);
        }
        if let Some((start, last)) = self.span.filter(|_| !text.is_empty()) {
            let text = self.words();
            let final_through = heard.is_final.then_some(end);
            let words_end = self.words_end.clamp(start, last);
            self.understood.push_back(Understood::Words { text, start, end: last, words_end, final_through });
        }
        if heard.is_final && self.is_paused && end.saturating_add(ROUNDING) >= self.end {
            // That was all that there is, and whoever has said so was well.
            self.note_well();
            self.forget();
            self.end_pause(had_words);
        } else if heard.is_final && self.span.is_none() {
            // That words were none is told at once.
            self.is_too_long = false;
            self.finalise(end, if had_words { 0 } else { FINAL_STEP });
        } else if heard.is_final {
            let silence = self.span.map_or(0, |(_, last)| end.saturating_sub(last));
            if self.is_too_long || text.is_empty() && silence >= END_OF_TURN {
                self.turn_over();
            }
        }
    }

    /// All is final that was said before a pause. That words were none, if there were any before (`had_words`), is told also where no more audio is
    /// final than before: they may have come late, and what they have cut off waits to be told.
    fn end_pause(&mut self, had_words: bool) {
        let are_none = had_words && self.words().is_empty();
        self.turn_over();
        self.finalise(self.end, if are_none { 0 } else { 1 });
    }

    /// Words that may change are none. Where no others stay, there is no turn.
    fn take_loose_back(&mut self) {
        self.loose.clear();
        if self.firm.is_empty() {
            self.span = None;
        }
    }

    fn turn_over(&mut self) {
        (self.is_too_long, self.is_inherited) = (false, false);
        let mut text = std::mem::take(&mut self.firm);
        let loose = std::mem::take(&mut self.loose);
        if text.is_empty() {
            text = loose;
        }
        if let Some((start, end)) = self.span.take()
            && !text.is_empty()
        {
            self.taken_through = end;
            let words_end = self.words_end.clamp(start, end);
            self.understood.push_back(Understood::Said { text, start, end, words_end });
            self.finalise(end, 1);
        }
    }

    fn finalise(&mut self, through: u32, step: u32) {
        if through >= self.final_through.saturating_add(step) {
            self.final_through = through;
            self.understood.push_back(Understood::Final { through });
        }
    }
}
