//! A recogniser that is asked about one utterance at a time.

use std::collections::VecDeque;

use audio::SPEECH_RATE;
use protocol::{ErrorCode, Time};

use super::super::super::AgentOutput;
use super::super::super::utterances::{Ears, Noticed, Utterances};
use super::super::outbox::Outbox;
use super::Understood;
use super::outage::{Outage, Then, may_pass};
use crate::money::bill::{AtMost, Billing, Quantity, TokenUsage};
use crate::money::tab::RequestId;
use crate::provider::{Ask, Event, FailureKind};

/// Utterances that wait to be understood. Of more than these the oldest is given up, which the user is told once until all of them are
/// understood: whoever is understood so late talks to nobody.
const WAITING_MAX: usize = 8;

/// What may have been billed so often without a word of it is asked about once more by none but those of the list that were not yet.
const IN_VAIN_MAX: u32 = 2;

/// Nobody makes more than a token of so much audio, 50 ms, nor more than a token of words; and a few tokens come with each request.
const SAMPLES_PER_TOKEN: u64 = 800;
const FEW_TOKENS: u64 = 64;

pub(in super::super) struct Spoken<E> {
    utterances: Utterances<E>,
    /// The recognisers' places among the agent's providers, in the order in which they are asked, and what each is billed by.
    recognisers: Vec<(usize, Billing)>,
    /// What was said and is not understood yet, oldest first. The first one is being asked about.
    waiting: VecDeque<Utterance>,
    asked: Option<Asked>,
    /// Recognisers that have failed since one has understood something.
    outage: Outage,
    /// What would be final if nothing waited.
    final_wanted: Option<u32>,
    /// One that waited was given up.
    has_missed: bool,
    is_deaf: bool,
    pub(super) understood: VecDeque<Understood>,
}

struct Utterance {
    start: u32,
    end: u32,
    /// Where its last loud moment is.
    loud_end: u32,
    speech: Vec<i16>,
    /// Requests about it of which nothing has come, and that may be billed.
    in_vain: u32,
}

struct Asked {
    request: RequestId,
    /// Which of the recognisers it is, and what it is billed by.
    recogniser: usize,
    billing: Billing,
    /// The recogniser has the utterance.
    is_sent: bool,
    text: String,
}

impl<E: Ears> Spoken<E> {
    pub(super) fn new(recognisers: Vec<(usize, Billing)>, utterances: Utterances<E>) -> Self {
        Spoken {
            utterances,
            recognisers,
            waiting: VecDeque::new(),
            asked: None,
            outage: Outage::default(),
            final_wanted: None,
            has_missed: false,
            is_deaf: false,
            understood: VecDeque::new(),
        }
    }

    pub(super) fn agent_sounds(&mut self, sounds: bool) {
        self.utterances.agent_sounds(sounds);
    }

    pub(super) fn hear(&mut self, samples: &[i16], outbox: &mut Outbox) {
        self.utterances.hear(samples);
        self.notice(outbox);
    }

    pub(super) fn is_voiced(&self) -> bool {
        self.utterances.is_speaking()
    }

    pub(super) fn hears_an_utterance(&self) -> bool {
        self.utterances.is_speaking() || !self.waiting.is_empty()
    }

    pub(super) fn skip(&mut self, position: u32, end: u32, outbox: &mut Outbox) {
        self.utterances.skip(position, end);
        self.notice(outbox);
    }

    pub(super) fn pause(&mut self, outbox: &mut Outbox) {
        self.utterances.pause();
        self.notice(outbox);
    }

    pub(super) fn leave(&mut self, outbox: &mut Outbox) {
        if let Some(asked) = self.asked.take() {
            outbox.cancel(asked.request, self.used(asked.billing).filter(|_| asked.is_sent));
        }
        self.outage.stop_waiting();
        self.waiting.clear();
    }

    /// When recognisers that have all failed are asked again.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.outage.due()
    }

    pub(super) fn handle_timeout(&mut self, now: Time, outbox: &mut Outbox) {
        if self.outage.take_due(now) {
            self.ask(0, outbox);
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
        asked.is_sent |= !matches!(event, Event::Failed(_));
        match event {
            Event::Heard(heard) if heard.is_final => {
                if !asked.text.is_empty() && !heard.text.is_empty() {
                    asked.text.push(' ');
                }
                asked.text.push_str(&heard.text);
            }
            Event::Finished(answer) => {
                let text = std::mem::take(&mut asked.text);
                // What it is billed by is what counts, whatever else the provider tells.
                let billing = asked.billing;
                let usage = answer.usage.filter(|usage| billing.counts(usage));
                let used = usage.or(self.used(billing));
                let spent = Understood::Spent {
                    request,
                    used,
                    estimated: usage.is_none() && billing == Billing::Tokens,
                    provider_id: answer.request_id.clone(),
                };
                self.asked = None;
                self.outage = Outage::default();
                self.tell_deaf(false);
                self.understand(text.trim().to_owned(), Some(spent));
                self.ask(0, outbox);
            }
            Event::Failed(failure) => {
                let (next, billing) = (asked.recogniser + 1, asked.billing);
                // Whose connection broke when it had the utterance may bill it as well as one that was silent. A refusal bills nothing.
                let was_cut = asked.is_sent && failure.kind == FailureKind::Connection;
                let is_billed = was_cut || failure.kind.may_be_billed();
                // The user pays whoever understands the utterance, and so pays for it once, whoever else has heard it.
                let used = is_billed.then(|| self.used(billing)).flatten().map(Quantity::repeated);
                outbox.spent(request, used);
                self.asked = None;
                let (mut position, mut in_vain) = (0, 0);
                if let Some(utterance) = self.waiting.front_mut() {
                    utterance.in_vain += u32::from(is_billed);
                    (position, in_vain) = (utterance.end, utterance.in_vain);
                }
                // Who was silent for so long, or said too much, is not asked for the same again.
                let is_useless = matches!(failure.kind, FailureKind::Timeout | FailureKind::Flood);
                let may_pass = may_pass(failure) && !is_useless;
                match self.outage.failed(now, may_pass, self.recognisers.len(), position) {
                    Then::AskNext => self.ask(next, outbox),
                    // What may be billed each time is not asked again and again.
                    Then::Wait if in_vain < IN_VAIN_MAX => {}
                    Then::Wait | Then::GiveUp => {
                        self.outage.stop_waiting();
                        self.tell_deaf(true);
                        self.understand(String::new(), None);
                        self.ask(0, outbox);
                    }
                }
            }
            _ => {}
        }
        true
    }

    fn notice(&mut self, outbox: &mut Outbox) {
        while let Some(noticed) = self.utterances.poll() {
            match noticed {
                Noticed::Began { at } => self.understood.push_back(Understood::Began { at }),
                Noticed::Over { start, end, loud_end, speech } => {
                    if self.waiting.len() == WAITING_MAX {
                        // The one that is being asked about stays.
                        let given_up = self.waiting.remove(1);
                        let nothing = given_up.map(|utterance| Understood::Nothing { at: utterance.start });
                        self.understood.extend(nothing);
                        if !std::mem::replace(&mut self.has_missed, true) {
                            outbox.push(AgentOutput::Trouble(ErrorCode::NotHeard));
                        }
                    }
                    let speech = speech.into_samples();
                    self.waiting.push_back(Utterance { start, end, loud_end, speech, in_vain: 0 });
                    if self.asked.is_none() && self.outage.due().is_none() {
                        self.ask(0, outbox);
                    }
                }
                Noticed::Final { through } if self.waiting.is_empty() => {
                    self.understood.push_back(Understood::Final { through });
                }
                Noticed::Final { through } => self.final_wanted = Some(through),
            }
        }
    }

    /// Asks this recogniser about the oldest utterance, if there is one.
    fn ask(&mut self, recogniser: usize, outbox: &mut Outbox) {
        let (Some(&(provider, billing)), Some(utterance)) =
            (self.recognisers.get(recogniser), self.waiting.front())
        else {
            return;
        };
        let samples = utterance.speech.len() as u64;
        let at_most = match billing {
            Billing::Tokens => {
                let tokens = samples / SAMPLES_PER_TOKEN + FEW_TOKENS;
                AtMost::Tokens { prompt: tokens, output: tokens }
            }
            // A provider may bill whole seconds.
            Billing::Seconds | Billing::Characters | Billing::Stream => {
                AtMost::Samples(samples.next_multiple_of(u64::from(SPEECH_RATE.0)))
            }
        };
        let request = outbox.ask(provider, Ask::Transcribe(utterance.speech.clone()), at_most);
        self.asked = Some(Asked { request, recogniser, billing, is_sent: false, text: String::new() });
    }

    /// The oldest utterance was understood like this, or not at all. What that has used is said after the words, whose turn it was used for.
    fn understand(&mut self, text: String, spent: Option<Understood>) {
        let Some(Utterance { start, end, loud_end: words_end, .. }) = self.waiting.pop_front() else {
            return;
        };
        let is_nothing = text.is_empty();
        self.understood.push_back(if is_nothing {
            Understood::Nothing { at: start }
        } else {
            Understood::Said { text, start, end, words_end }
        });
        self.understood.extend(spent);
        if let Some(next) = self.waiting.front().filter(|_| is_nothing) {
            // It is paid for, and is not sent again should another relay hear the next one.
            self.understood.push_back(Understood::Final { through: next.start });
        }
        if self.waiting.is_empty() {
            self.has_missed = false;
            let through = self.final_wanted.take();
            self.understood.extend(through.map(|through| Understood::Final { through }));
        }
    }

    /// What a recogniser has used that has heard the oldest utterance.
    fn used(&self, billing: Billing) -> Option<Quantity> {
        let samples = self.waiting.front()?.speech.len() as u64;
        Some(match billing {
            Billing::Tokens => {
                let audio_input = samples.div_ceil(SAMPLES_PER_TOKEN);
                Quantity::Tokens(TokenUsage { audio_input, ..TokenUsage::default() })
            }
            Billing::Seconds | Billing::Characters | Billing::Stream => Quantity::Samples(samples),
        })
    }

    fn tell_deaf(&mut self, is_deaf: bool) {
        if self.is_deaf != is_deaf {
            self.is_deaf = is_deaf;
            self.understood.push_back(Understood::Deaf(is_deaf));
        }
    }
}
