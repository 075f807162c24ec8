//! A piece of an answer, from its words to the last of its sound.

use std::collections::VecDeque;

use audio::{Hz, Resampler, f32_to_i16, i16_to_f32};

use super::super::super::script;
use super::super::memory::Author;
use super::super::outbox::Outbox;
use super::Voice;
use super::alignment::{Alignment, Mark};
use super::pace::Pace;
use crate::agent::AgentOutput;
use crate::money::bill::{AtMost, Billing, Quantity, TokenUsage};
use crate::money::tab::RequestId;
use crate::provider::{Answer, Ask, Failure, Feed, Sound, Spoken};

/// Sound that waits before its provider is held back, and what may be left of it when it goes on: seconds.
const FULL_SECONDS: usize = 4;
const EMPTY_SECONDS: usize = 2;
/// Audio tokens that a character becomes at most: at 20 tokens a second (OpenAI bills one for each 50 ms) a fifth of a second.
const TOKENS_PER_CHARACTER: u64 = 4;
/// Tokens that a text has at most besides its bytes.
const PROMPT_TOKENS: u64 = 16;
/// Audio tokens a second of what a voice has made.
const TOKENS_PER_SECOND: u64 = 20;

/// How far a piece has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody was asked to speak it yet.
    Waiting,
    /// A voice was asked.
    Asked,
    /// No more sound comes.
    Complete,
}

/// A piece of an answer.
pub(super) struct Piece {
    author: Author,
    written: String,
    /// What a voice is given: of a piece whose voice has broken off in it, what that one has not spoken.
    spoken: String,
    stage: Stage,
    /// The request, which voice it is for, and by what that one is billed.
    asked: Option<(RequestId, usize, Billing)>,
    /// The voice has it.
    is_sent: bool,
    /// What it has used, as far as that was told.
    told_used: Option<Quantity>,
    /// Its words were told.
    is_told: bool,
    /// Sound at the agent's rate that was not given yet.
    sound: VecDeque<i16>,
    /// Samples that were given, at the agent's rate.
    given: u32,
    /// What voices have spoken that have broken off: bytes of what is written, and samples of its sound.
    before: (usize, u32),
    /// That was not taken yet.
    is_broken_off: bool,
    /// Samples that came of the voice that was asked last, at the rate that they came with.
    came: u64,
    came_rate: u32,
    resampler: Option<Box<Resampler>>,
    is_held_back: bool,
    /// Which of its words are spoken when.
    alignment: Alignment,
}

/// What it takes at most to have so many bytes spoken, which are so many characters.
pub(super) fn at_most(billing: Billing, bytes: u64, characters: u64) -> AtMost {
    match billing {
        Billing::Tokens => AtMost::Tokens {
            prompt: bytes + PROMPT_TOKENS,
            output: characters * TOKENS_PER_CHARACTER + PROMPT_TOKENS,
        },
        // A wire may want a space behind the last word.
        Billing::Characters | Billing::Seconds | Billing::Stream => AtMost::Characters(characters + 1),
    }
}

impl Piece {
    pub(super) fn new(piece: script::Piece, author: Author) -> Piece {
        Piece {
            author,
            written: piece.written,
            spoken: piece.spoken,
            stage: Stage::Waiting,
            asked: None,
            is_sent: false,
            told_used: None,
            is_told: false,
            sound: VecDeque::new(),
            given: 0,
            before: (0, 0),
            is_broken_off: false,
            came: 0,
            came_rate: 0,
            resampler: None,
            is_held_back: false,
            alignment: Alignment::default(),
        }
    }

    pub(super) fn author(&self) -> Author {
        self.author
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
    }

    pub(super) fn request(&self) -> Option<RequestId> {
        self.asked.map(|(request, ..)| request)
    }

    /// Which voice it was asked of.
    pub(super) fn voice(&self) -> usize {
        self.asked.map_or(0, |(_, voice, _)| voice)
    }

    /// Has it spoken by this voice, which is the one at `place`; without one, and where there is nothing to speak, it is text.
    pub(super) fn ask(&mut self, place: usize, voice: Option<&Voice>, outbox: &mut Outbox) {
        let Some((provider, skills)) = voice.filter(|_| !self.spoken.is_empty()) else {
            self.stage = Stage::Complete;
            return;
        };
        let at_most = at_most(skills.billing, self.spoken.len() as u64, self.characters());
        let request = outbox.ask(*provider, Ask::Speak(self.spoken.clone()), at_most);
        if skills.is_fed {
            outbox.feed(request, Feed::Finish);
        }
        self.asked = Some((request, place, skills.billing));
        (self.is_sent, self.told_used) = (false, None);
        self.stage = Stage::Asked;
    }

    /// Its voice says something: it was asked.
    pub(super) fn note_sent(&mut self) {
        self.is_sent = true;
    }

    /// It is told what it has used so far.
    pub(super) fn note_used(&mut self, used: &Quantity) {
        let counts = self.asked.is_some_and(|(.., billing)| billing.counts(used));
        self.told_used = counts.then_some(*used).or(self.told_used);
    }

    /// More of its sound.
    pub(super) fn add_sound(&mut self, sound: &Sound, rate: u32, outbox: &mut Outbox) {
        if self.stage != Stage::Asked {
            return;
        }
        if self.came_rate != sound.rate {
            self.came_rate = sound.rate;
            // A rate that nobody can make anything of is taken for the agent's own: it is heard too fast or too slow, and not lost.
            self.resampler = (sound.rate != rate)
                .then(|| Resampler::new(Hz(sound.rate), Hz(rate)).ok().map(Box::new))
                .flatten();
        }
        self.came += sound.samples.len() as u64;
        match &mut self.resampler {
            None => self.sound.extend(&sound.samples),
            Some(resampler) => {
                let input: Vec<f32> = sound.samples.iter().map(|sample| i16_to_f32(*sample)).collect();
                let mut output = vec![0.0; resampler.max_output(input.len())];
                let written = resampler.process(&input, &mut output);
                self.sound.extend(output[..written].iter().map(|sample| f32_to_i16(*sample)));
            }
        }
        self.hold_back(self.sound.len() > FULL_SECONDS * rate as usize, outbox);
    }

    /// The voice says when words of it are spoken.
    pub(super) fn note_spoken(&mut self, spoken: &Spoken, rate: u32) {
        if self.stage == Stage::Asked {
            let written = self.written.get(self.before.0..).unwrap_or_default();
            self.alignment.note(&self.spoken, written, spoken, rate);
        }
    }

    /// What is known of when its words are spoken and was not taken yet, once they are told: bytes of them, and samples of its sound.
    pub(super) fn take_spoken(&mut self, rate: u32) -> Vec<(usize, u32)> {
        if !self.is_told {
            return Vec::new();
        }
        let (written, samples) = self.before;
        let broken_off = std::mem::take(&mut self.is_broken_off).then_some(self.before);
        // A voice that breaks off does not speak what it has only said that it would.
        let there = (self.came * u64::from(rate)).div_ceil(u64::from(self.came_rate.max(1)));
        let there = if self.is_complete() { u32::MAX } else { u32::try_from(there).unwrap_or(u32::MAX) };
        let known = self.alignment.take(there).into_iter();
        let known = known.map(|(bytes, end)| (written + bytes, samples.saturating_add(end)));
        broken_off.into_iter().chain(known).collect()
    }

    /// What one voice has spoken from its first word to its last, and in how many samples.
    pub(super) fn spoken_whole(&self) -> Option<(&str, u32)> {
        (self.is_complete() && self.before == (0, 0)).then(|| (self.spoken.as_str(), self.samples()))
    }

    /// The voice has given all of it.
    pub(super) fn finish(&mut self, answer: &Answer, outbox: &mut Outbox) {
        let Some((request, _, billing)) = self.asked else { return };
        // What it is billed by is what counts, whatever else the provider tells.
        let usage = answer.usage.filter(|usage| billing.counts(usage));
        outbox.push(AgentOutput::Spent {
            request,
            used: usage.or_else(|| self.used()),
            estimated: usage.is_none() && self.is_by_tokens(),
            provider_id: answer.request_id.clone(),
        });
        self.complete();
    }

    /// The voice has failed, and another one may be asked: for all of it, or, if its words were told and some of its sound is there, for the
    /// words behind that. Voices speak as fast as this, where they do not say how far they are.
    pub(super) fn fail(&mut self, failure: &Failure, pace: Pace, rate: u32, outbox: &mut Outbox) {
        let Some((request, ..)) = self.asked else { return };
        let is_billed = self.came > 0 || failure.kind.may_be_billed();
        outbox.spent(request, is_billed.then(|| self.used()).flatten());
        self.stage = Stage::Waiting;
        if self.came > 0 && self.is_told {
            self.break_off(pace, rate);
        } else if self.came > 0 {
            self.sound.clear();
        }
        (self.came, self.came_rate, self.resampler, self.is_held_back) = (0, 0, None, false);
        self.alignment = Alignment::default();
    }

    /// It is not wanted any more. What has not reached its voice has used nothing.
    pub(super) fn give_up(self, outbox: &mut Outbox) {
        if let (Some((request, ..)), Stage::Asked) = (self.asked, self.stage) {
            outbox.cancel(request, self.used().filter(|_| self.is_sent));
        }
    }

    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Whether its words can be told: its sound has begun, or there will be none.
    pub(super) fn may_be_told(&self) -> bool {
        self.is_complete() || !self.sound.is_empty()
    }

    /// Its words, and how many samples of its sound are there.
    pub(super) fn tell(&mut self) -> (String, u32) {
        self.is_told = true;
        (self.written.clone(), self.sound.len() as u32)
    }

    /// Up to so many samples.
    pub(super) fn take_sound(&mut self, samples: u32, rate: u32, outbox: &mut Outbox) -> Vec<i16> {
        let length = self.sound.len().min(samples as usize);
        let taken = self.sound.drain(..length).collect();
        self.given = self.given.saturating_add(length as u32);
        if self.is_held_back {
            self.hold_back(self.sound.len() > EMPTY_SECONDS * rate as usize, outbox);
        }
        taken
    }

    /// Whether all of it was given.
    pub(super) fn is_given(&self) -> bool {
        self.is_complete() && self.is_told && self.sound.is_empty()
    }

    fn complete(&mut self) {
        self.stage = Stage::Complete;
        self.flush();
    }

    /// What came stays, and what is left to be spoken are the words behind it.
    fn break_off(&mut self, pace: Pace, rate: u32) {
        self.flush();
        let (written, before) = self.before;
        let end = self.samples();
        let reached = self.alignment.reached(end.saturating_sub(before));
        let Mark { spoken, written: more, .. } = reached.unwrap_or_else(|| {
            let spoken = pace.reaches(&self.spoken, end.saturating_sub(before), rate);
            Mark::of(&self.spoken, self.written.get(written..).unwrap_or_default(), spoken)
        });
        (self.before, self.is_broken_off) = ((written + more, end), true);
        self.spoken = self.spoken.get(spoken..).unwrap_or_default().trim_start().to_owned();
        if !self.spoken.chars().any(char::is_alphanumeric) {
            self.stage = Stage::Complete;
        }
    }

    /// What the resampler still has is there.
    fn flush(&mut self) {
        if let Some(mut resampler) = self.resampler.take() {
            let mut output = vec![0.0; resampler.max_output(resampler.delay_samples())];
            let written = resampler.flush(&mut output);
            self.sound.extend(output[..written].iter().map(|sample| f32_to_i16(*sample)));
        }
    }

    fn hold_back(&mut self, is_held_back: bool, outbox: &mut Outbox) {
        if self.is_held_back != is_held_back
            && let Some((request, ..)) = self.asked
        {
            self.is_held_back = is_held_back;
            outbox.push(AgentOutput::HoldBack { request, held_back: is_held_back });
        }
    }

    /// How much of its sound is known, given or not.
    fn samples(&self) -> u32 {
        self.given.saturating_add(self.sound.len() as u32)
    }

    fn characters(&self) -> u64 {
        self.spoken.chars().count() as u64
    }

    fn is_by_tokens(&self) -> bool {
        self.asked.is_some_and(|(.., billing)| billing == Billing::Tokens)
    }

    /// What it has used so far, or where nobody tells: a voice bills the characters that it was given.
    fn used(&self) -> Option<Quantity> {
        if self.told_used.is_some() {
            return self.told_used;
        }
        if !self.is_by_tokens() {
            return Some(Quantity::Characters(self.characters()));
        }
        let audio_output = (self.came * TOKENS_PER_SECOND).div_ceil(u64::from(self.came_rate.max(1)));
        let input = (self.spoken.len() as u64).div_ceil(4);
        Some(Quantity::Tokens(TokenUsage { input, audio_output, ..TokenUsage::default() }))
    }
}
