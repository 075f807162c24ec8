//! An agent that follows a script: it hears, thinks for a while, asks a model or not, and answers piece by piece, words tied to sound. It
//! holds an answer that somebody speaks into, and goes on with it or not. It does everything that an agent may do, as a pipeline of recogniser, model and voice will.

use std::collections::VecDeque;
use std::time::Duration;

use audio::VoiceEvent;
use protocol::Time;
use relay::agent::{Agent, AgentInput, AgentOutput, Ears};
use relay::money::bill::{AtMost, Quantity, TokenUsage};
use relay::money::tab::RequestId;
use relay::provider::{Ask, Chat, Event, Message};

use crate::random::Random;
use crate::voice::SimulatedEars;

/// The longest answer of the model, in tokens.
const MAX_TOKENS: u32 = 20;
/// A gap up to this long is as good as silence.
const LONGEST_FILL: u32 = 16_000;
/// `Final` is said for every half second of silence.
const FINAL_STEP: u32 = 8_000;
/// Ears look back no further than this.
const LOOK_BACK: u32 = 16_000;

/// See the module.
pub(crate) struct Talker {
    rate: u32,
    ears: SimulatedEars,
    /// Where the ears began to count.
    origin: u32,
    end: u32,
    speech: Option<u32>,
    final_through: u32,
    /// What it is to answer, and when it begins with that.
    thinking: Option<(Time, String)>,
    asked: Option<Asked>,
    next_request: u32,
    answers: u32,
    giving: Option<Giving>,
    /// The answer is held, and this is when that ends.
    held: Option<Time>,
    outputs: VecDeque<AgentOutput>,
    random: Random,
}

struct Asked {
    request: RequestId,
    prompt: u64,
    tokens: u64,
}

/// An answer that is being given.
struct Giving {
    answer: u32,
    /// Samples of its sound that belong to the words so far, and those of them that were given.
    length: u32,
    given: u32,
    /// All words are there.
    is_said: bool,
    bytes: usize,
}

impl Talker {
    pub(crate) fn new(rate: u32, mut ears: SimulatedEars, position: u32, seed: u64) -> Talker {
        ears.begin_at(position);
        Talker {
            rate,
            ears,
            origin: position,
            end: position,
            speech: None,
            final_through: position,
            thinking: None,
            asked: None,
            next_request: 0,
            answers: 0,
            giving: None,
            held: None,
            outputs: VecDeque::new(),
            random: Random::new(seed),
        }
    }

    fn hear(&mut self, now: Time, samples: &[i16]) {
        self.end += samples.len() as u32;
        let mut events = Vec::new();
        self.ears.push(samples, |event| events.push(event));
        for event in events {
            match event {
                VoiceEvent::SpeechStarted { at } => self.speech_started(now, self.origin + at as u32),
                VoiceEvent::SpeechEnded { at } => self.speech_ended(now, self.origin + at as u32),
            }
        }
        let through = self.end.saturating_sub(LOOK_BACK);
        if self.speech.is_none() && through >= self.final_through + FINAL_STEP {
            self.finalise(through);
        }
        if let Some(start) = self.speech
            && self.random.percent(10)
        {
            let (text, end) = ("maybe".to_owned(), self.end);
            self.outputs.push_back(AgentOutput::Partial { text, start, end, final_through: None });
        }
    }

    /// It holds its answer, and waits for what comes of that, or ends it at once.
    fn speech_started(&mut self, now: Time, at: u32) {
        let start = at.max(self.final_through);
        self.speech = Some(start);
        self.outputs.push_back(AgentOutput::TurnBegan { at: start });
        if self.giving.is_some() && self.random.percent(60) {
            self.held = Some(now + Duration::from_millis(self.random.between(50, 1_500)));
            self.outputs.push_back(AgentOutput::Hold(true));
            return;
        }
        self.stop_answering();
        self.outputs.push_back(AgentOutput::SpeechStarted { at: start });
    }

    /// Nobody has said anything, or they go on.
    fn held_for_long(&mut self) {
        if self.speech.is_some() && self.random.percent(50) {
            self.stop_answering();
        } else {
            self.go_on();
        }
    }

    fn go_on(&mut self) {
        if self.held.take().is_some() {
            self.outputs.push_back(AgentOutput::Hold(false));
            self.outputs.push_back(AgentOutput::FalseInterruption);
        }
    }

    fn speech_ended(&mut self, now: Time, at: u32) {
        let Some(start) = self.speech.take() else { return };
        let end = at.clamp(start, self.end);
        let text = format!("{} samples", end - start);
        if self.giving.is_some() {
            if self.random.percent(60) {
                // It was a sign that the user listens.
                self.go_on();
                self.outputs.push_back(AgentOutput::Remarked { text, start, end });
                return self.finalise(end);
            }
            self.stop_answering();
        }
        self.outputs.push_back(AgentOutput::Said { text: text.clone(), start, end, words_end: end });
        self.finalise(end);
        self.think(now, text);
    }

    fn think(&mut self, now: Time, text: String) {
        let wait = Duration::from_millis(self.random.between(0, 700));
        self.thinking = Some((now + wait, text));
    }

    fn finish(&mut self, now: Time) {
        self.ears.flush();
        self.speech_ended(now, self.end);
        self.finalise(self.end);
    }

    fn finalise(&mut self, through: u32) {
        if through > self.final_through {
            self.final_through = through;
            self.outputs.push_back(AgentOutput::Final { through });
        }
    }

    /// Whatever it was about to say, it does not.
    fn stop_answering(&mut self) {
        self.thinking = None;
        self.give_up();
        // What is whole may still be held.
        let is_held = self.held.take().is_some();
        if self.giving.take().is_some() || is_held {
            self.outputs.push_back(AgentOutput::Cut);
        }
    }

    fn give_up(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.outputs.push_back(AgentOutput::Cancel { request: asked.request });
            self.spent(&asked, true);
        }
    }

    fn spent(&mut self, asked: &Asked, estimated: bool) {
        let used = TokenUsage { input: asked.prompt, output: asked.tokens, ..TokenUsage::default() };
        let used = (asked.tokens > 0).then_some(Quantity::Tokens(used));
        let (request, provider_id) = (asked.request, None);
        self.outputs.push_back(AgentOutput::Spent { request, used, estimated, provider_id });
    }

    /// Begins to answer: by itself, or with the help of a model.
    fn begin(&mut self, text: String) {
        if self.random.percent(60) {
            let request = RequestId(self.next_request);
            self.next_request += 1;
            let prompt = text.len() as u64;
            self.asked = Some(Asked { request, prompt, tokens: 0 });
            let messages = vec![Message::User(text)];
            self.outputs.push_back(AgentOutput::Ask {
                request,
                provider: 0,
                ask: Ask::Chat(Chat { messages, tools: Vec::new(), max_output_tokens: MAX_TOKENS }),
                at_most: AtMost::Tokens { prompt: prompt + 16, output: MAX_TOKENS.into() },
            });
            return;
        }
        for piece in 0..self.random.between(1, 4) {
            self.say(&format!("piece {piece} ✓ "));
        }
        self.said();
    }

    /// More words, with sound that is to come.
    fn say(&mut self, text: &str) {
        let answers = &mut self.answers;
        let giving = self.giving.get_or_insert_with(|| {
            *answers += 1;
            Giving { answer: *answers - 1, length: 0, given: 0, is_said: false, bytes: 0 }
        });
        let start = giving.length;
        giving.length += self.rate / 20 * self.random.between(1, 8) as u32;
        giving.bytes += text.len();
        let (text, end) = (text.to_owned(), giving.length);
        self.outputs.push_back(AgentOutput::Words { text, start, end, last: false });
        if self.random.percent(20) {
            // Some voices do not wait until they are asked.
            self.sound(self.rate / 10);
        }
    }

    /// No more words come.
    fn said(&mut self) {
        let Some(giving) = &mut self.giving else { return };
        giving.is_said = true;
        let (text, start, end) = (String::new(), giving.length, giving.length);
        self.outputs.push_back(AgentOutput::Words { text, start, end, last: true });
        self.sound(0);
    }

    fn sound(&mut self, most: u32) {
        let Some(giving) = &mut self.giving else { return };
        let samples = most.min(giving.length - giving.given);
        giving.given += samples;
        if samples > 0 {
            self.outputs.push_back(AgentOutput::Sound(vec![1_000; samples as usize]));
        }
        if giving.is_said && giving.given == giving.length {
            self.giving = None;
            self.outputs.push_back(AgentOutput::AnswerEnd);
        }
    }

    fn handle_event(&mut self, request: RequestId, event: &Event) {
        let Some(mut asked) = self.asked.take_if(|asked| asked.request == request) else { return };
        match event {
            Event::Text(text) => {
                asked.tokens += 1;
                let is_too_long = asked.tokens >= MAX_TOKENS.into();
                self.asked = Some(asked);
                self.say(text);
                if is_too_long {
                    self.give_up();
                    self.said();
                }
            }
            Event::Finished(answer) => {
                let used = match answer.usage {
                    Some(Quantity::Tokens(used)) => used,
                    _ => TokenUsage { input: asked.prompt, output: asked.tokens, ..TokenUsage::default() },
                };
                self.outputs.push_back(AgentOutput::Spent {
                    request,
                    used: Some(Quantity::Tokens(used)),
                    estimated: answer.usage.is_none(),
                    provider_id: answer.request_id.clone(),
                });
                if self.giving.is_none() {
                    self.say("nothing");
                }
                self.said();
            }
            Event::Failed(_) => {
                self.spent(&asked, true);
                if self.giving.is_none() {
                    self.say("sorry");
                }
                self.said();
            }
            // What it thinks, and what it has used so far, changes nothing.
            _ => self.asked = Some(asked),
        }
    }
}

impl Agent for Talker {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn handle_input(&mut self, now: Time, input: AgentInput<'_>) {
        match input {
            AgentInput::Audio { samples, .. } => self.hear(now, samples),
            AgentInput::Gap { position, end } if end - position <= LONGEST_FILL => {
                self.hear(now, &vec![0; (end - position) as usize]);
            }
            AgentInput::Gap { end, .. } => {
                self.finish(now);
                self.ears.begin_at(end);
                (self.origin, self.end) = (end, end);
                self.finalise(end);
            }
            AgentInput::Pause => self.finish(now),
            AgentInput::Typed { position, text } => {
                self.finish(now);
                self.stop_answering();
                let text = text.to_owned();
                self.outputs.push_back(AgentOutput::Typed { text: text.clone(), position });
                self.think(now, text);
            }
            AgentInput::Say { position, text, interrupt } => {
                if interrupt {
                    self.stop_answering();
                }
                if let Some(position) = position.filter(|_| self.speech.is_none()) {
                    self.finalise(position);
                }
                if self.giving.is_none() && self.asked.is_none() && self.thinking.is_none() {
                    self.say(text);
                    self.said();
                }
            }
            // It has no last words, and does not ask for less.
            AgentInput::Means { .. } | AgentInput::Farewell | AgentInput::HandOver => {}
            AgentInput::BargeIn
            | AgentInput::OnHold(_)
            | AgentInput::TakenBack { .. }
            | AgentInput::Corrected { .. }
            | AgentInput::ToolResult { .. }
            | AgentInput::Context { .. }
            | AgentInput::Variables { .. } => {}
            AgentInput::Room { samples } => self.sound(samples),
            AgentInput::AnswerOver { answer, .. } => {
                if self.giving.take_if(|giving| giving.answer == answer).is_some() {
                    // It was cut off from outside.
                    self.held = None;
                    self.give_up();
                }
            }
            AgentInput::Event { request, event } => self.handle_event(request, event),
            AgentInput::Leave => {
                self.thinking = None;
                self.give_up();
            }
            AgentInput::Timeout => {
                if self.held.is_some_and(|due| due <= now) {
                    self.held_for_long();
                }
                if let Some((_, text)) = self.thinking.take_if(|(due, _)| *due <= now) {
                    self.begin(text);
                }
            }
        }
    }

    fn poll_output(&mut self) -> Option<AgentOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.thinking.as_ref().map(|(due, _)| *due).into_iter().chain(self.held).min()
    }

    fn is_between_turns(&self) -> bool {
        let is_answering = self.thinking.is_some() || self.asked.is_some() || self.giving.is_some();
        self.speech.is_none() && !is_answering
    }
}
