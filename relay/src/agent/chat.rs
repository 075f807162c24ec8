//! An agent that reads and writes: it asks a language model for each of its answers.
//!
//! It has no ears yet: audio is taken and means nothing to it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use protocol::{Ability, ErrorCode, Time};

use super::{Agent, AgentInput, AgentOutput};
use crate::call::Turn;
use crate::money::bill::{AtMost, Quantity, TokenUsage};
use crate::money::tab::RequestId;
use crate::provider::{self, Answer, Ask, Event, Failure, FailureKind, Message};

/// Bytes of the conversation that a model is told, its instructions not counted: the newest turns of it.
const HISTORY_MAX_BYTES: usize = 32 * 1024;
/// Tokens that a message costs beside its text, at most: OpenAI's own models take three and a role.
const MESSAGE_TOKENS: u64 = 8;
/// Bytes of text for one token where nobody has counted them: the usual rule of thumb for English.
const BYTES_PER_TOKEN: u64 = 4;
/// `Final` is not said more often than every half second of audio.
const FINAL_STEP: u32 = 8_000;
/// Texts that can wait to be said. Another one is refused.
const TO_SAY_MAX: usize = 16;
/// What the user reads when there is no answer.
const NO_ANSWER: &str = "I cannot answer just now. Please try again in a moment.";
/// The place of the model among the agent's providers.
const MODEL: usize = 0;

/// How an agent is to behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    /// What the model is told before everything else; may be empty.
    pub instructions: String,
    /// The longest answer, in tokens.
    pub max_output_tokens: u32,
}

/// Reads what the user types, and answers in text.
#[derive(Debug)]
pub struct Chat {
    persona: Persona,
    rate: u32,
    /// What was said, oldest first.
    history: VecDeque<Line>,
    /// How often the user has said something.
    sayings: u32,
    /// What it is to say when the answer that it waits for is there, oldest first, and where the user's timeline stood.
    to_say: VecDeque<(u32, String)>,
    /// The model did not answer when it was last asked.
    is_degraded: bool,
    /// The last thing that was said is the user's, and nobody has answered it.
    is_unanswered: bool,
    /// The request that is under way.
    asked: Option<Asked>,
    next_request: u32,
    /// Counts its answers, as the call does.
    answers: u32,
    /// The answer whose end the call has not told yet.
    open: Option<u32>,
    /// Where the audio ends that has come.
    heard_through: u32,
    final_through: u32,
    outputs: VecDeque<AgentOutput>,
}

/// Something that was said.
#[derive(Debug)]
struct Line {
    role: Role,
    text: String,
    /// Of what the user has said in this call, which one it was.
    said: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
}

/// A request, and what has come of it.
#[derive(Debug)]
struct Asked {
    request: RequestId,
    prompt_bytes: u64,
    /// Pieces of the answer, which servers send a token at a time or more.
    deltas: u64,
    /// The longest answer: nobody bills for more.
    max_output_tokens: u64,
    text: String,
    /// Nothing was billed before the first of these.
    is_heard: bool,
}

impl Chat {
    /// An agent that goes on after these turns, for audio that begins at `position`. Should the user have said something that was never
    /// answered, it answers that first.
    #[must_use]
    pub fn new(persona: Persona, rate: u32, position: u32, turns: &[Turn]) -> Chat {
        let mut chat = Chat {
            persona,
            rate,
            history: VecDeque::new(),
            sayings: 0,
            to_say: VecDeque::new(),
            is_degraded: false,
            is_unanswered: false,
            asked: None,
            next_request: 0,
            answers: 0,
            open: None,
            heard_through: position,
            final_through: position,
            outputs: VecDeque::new(),
        };
        for turn in turns {
            match turn.role {
                protocol::Role::User => chat.remember(Role::User, turn.text.clone(), None),
                protocol::Role::Agent | protocol::Role::Unknown => {
                    chat.remember(Role::Assistant, turn.text.clone(), None);
                }
            }
        }
        chat.is_unanswered = chat.history.back().is_some_and(|last| last.role == Role::User);
        chat
    }

    fn remember(&mut self, role: Role, text: String, said: Option<u32>) {
        if text.is_empty() {
            return;
        }
        self.history.push_back(Line { role, text, said });
        self.shorten();
    }

    /// Forgets the oldest of what is more than a model is told.
    fn shorten(&mut self) {
        let mut bytes: usize = self.history.iter().map(|line| line.text.len()).sum();
        while bytes > HISTORY_MAX_BYTES && self.history.len() > 1 {
            bytes -= self.history.pop_front().map_or(0, |oldest| oldest.text.len());
        }
    }

    fn read(&mut self, position: u32, text: &str) {
        self.give_up();
        if self.open.is_some() {
            self.outputs.push_back(AgentOutput::Cut);
        }
        // What waits was to be said before this.
        self.say_rest();
        self.outputs.push_back(AgentOutput::Said { text: text.to_owned(), start: position, end: position });
        self.remember(Role::User, text.to_owned(), Some(self.sayings));
        self.sayings += 1;
        self.think();
    }

    /// Says something that it was told to say: now, or when the answer is there that it waits for.
    fn say(&mut self, position: u32, text: &str, interrupt: bool) {
        if self.to_say.len() == TO_SAY_MAX {
            self.outputs.push_back(AgentOutput::Trouble(ErrorCode::MessagesFull));
            return;
        }
        self.to_say.push_back((position, text.to_owned()));
        if interrupt {
            self.give_up();
            if self.open.is_some() {
                self.outputs.push_back(AgentOutput::Cut);
            }
        }
        if self.asked.is_none() {
            self.say_rest();
        }
    }

    /// Says what waits to be said. Only then is its place final: it is stored by then, or is stored before that.
    fn say_rest(&mut self) {
        while let Some((position, text)) = self.to_say.pop_front() {
            self.begin();
            let words = text.clone();
            self.outputs.push_back(AgentOutput::Words { text: words, start: 0, end: 0, last: true });
            self.end(text);
            self.final_through = self.final_through.max(position);
            self.outputs.push_back(AgentOutput::Final { through: self.final_through });
        }
    }

    /// What the user really said is what the model is told from now on.
    fn correct(&mut self, said: u32, text: &str) {
        let corrected = self.history.iter_mut().find(|line| line.said == Some(said));
        if let Some(line) = corrected {
            text.clone_into(&mut line.text);
            self.shorten();
        }
    }

    /// The page hears when the model fails, and when it answers again.
    fn tell_degraded(&mut self, degraded: bool) {
        if self.is_degraded != degraded {
            self.is_degraded = degraded;
            self.outputs.push_back(AgentOutput::Degraded { what: Ability::Thinking, degraded });
        }
    }

    /// Asks the model for the next answer.
    fn think(&mut self) {
        self.is_unanswered = false;
        let instructions = &self.persona.instructions;
        let system = (!instructions.is_empty()).then(|| Message::System(instructions.clone()));
        let said = self.history.iter().map(|line| match line.role {
            Role::User => Message::User(line.text.clone()),
            Role::Assistant => Message::Assistant { text: line.text.clone(), calls: Vec::new() },
        });
        let messages: Vec<Message> = system.into_iter().chain(said).collect();
        let prompt_bytes: u64 = messages.iter().map(|message| message.bytes() as u64).sum();
        // No tokenizer makes more tokens of a text than it has bytes.
        let prompt = prompt_bytes + MESSAGE_TOKENS * (messages.len() as u64 + 1);
        let max_output_tokens = self.persona.max_output_tokens;
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.asked = Some(Asked {
            request,
            prompt_bytes,
            deltas: 0,
            max_output_tokens: max_output_tokens.into(),
            text: String::new(),
            is_heard: false,
        });
        self.outputs.push_back(AgentOutput::Ask {
            request,
            provider: MODEL,
            ask: Ask::Chat(provider::Chat { messages, tools: Vec::new(), max_output_tokens }),
            at_most: AtMost::Tokens { prompt, output: max_output_tokens.into() },
        });
    }

    /// The model says more.
    fn hear(&mut self, text: &str) {
        let Some(asked) = &mut self.asked else { return };
        asked.is_heard = true;
        asked.deltas += 1;
        let begins = asked.text.is_empty();
        asked.text.push_str(text);
        let is_too_long = asked.deltas > self.persona.max_output_tokens.into();
        if begins {
            self.begin();
        }
        self.outputs.push_back(AgentOutput::Words { text: text.to_owned(), start: 0, end: 0, last: false });
        if is_too_long {
            // It does not keep to what it was asked for, and would go on at somebody's expense.
            self.give_up();
        }
    }

    /// An answer begins.
    fn begin(&mut self) {
        self.open = Some(self.answers);
        self.answers += 1;
    }

    fn finish(&mut self, answer: &Answer) {
        let Some(asked) = self.asked.take() else { return };
        let used = answer.usage.unwrap_or_else(|| Quantity::Tokens(asked.estimate()));
        self.outputs.push_back(AgentOutput::Spent {
            request: asked.request,
            used: Some(used),
            estimated: answer.usage.is_none(),
            provider_id: answer.request_id.clone(),
        });
        if asked.text.is_empty() {
            return self.apologise();
        }
        self.tell_degraded(false);
        self.end(asked.text);
        self.say_rest();
    }

    fn fail(&mut self, failure: &Failure) {
        let Some(asked) = self.asked.take() else { return };
        // A provider that never took the question, or refused it, bills nothing. One that broke off has read it.
        let is_billed = asked.is_heard || matches!(failure.kind, FailureKind::Timeout | FailureKind::Flood);
        self.outputs.push_back(AgentOutput::Spent {
            request: asked.request,
            used: is_billed.then(|| Quantity::Tokens(asked.estimate())),
            estimated: true,
            provider_id: None,
        });
        if asked.text.is_empty() {
            return self.apologise();
        }
        self.tell_degraded(true);
        self.end(asked.text);
        self.say_rest();
    }

    /// What was said stays said.
    fn end(&mut self, text: String) {
        self.remember(Role::Assistant, text, None);
        self.outputs.push_back(AgentOutput::AnswerEnd);
    }

    fn apologise(&mut self) {
        self.tell_degraded(true);
        self.outputs.push_back(AgentOutput::Trouble(ErrorCode::AgentUnavailable));
        self.begin();
        let text = NO_ANSWER.to_owned();
        self.outputs.push_back(AgentOutput::Words { text, start: 0, end: 0, last: true });
        self.outputs.push_back(AgentOutput::AnswerEnd);
        self.say_rest();
    }

    /// Gives up what is under way: what has come is kept, and billed as far as can be told.
    fn give_up(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        self.outputs.push_back(AgentOutput::Cancel { request: asked.request });
        self.outputs.push_back(AgentOutput::Spent {
            request: asked.request,
            used: Some(Quantity::Tokens(asked.estimate())),
            estimated: true,
            provider_id: None,
        });
        if !asked.text.is_empty() {
            self.end(asked.text);
        }
    }

    fn finalise(&mut self, through: u32, step: u32) {
        self.heard_through = self.heard_through.max(through);
        // What waits to be said is not said by that.
        if self.to_say.is_empty()
            && through >= self.final_through.saturating_add(step)
            && through > self.final_through
        {
            self.final_through = through;
            self.outputs.push_back(AgentOutput::Final { through });
        }
    }
}

impl Asked {
    /// What a request has used of which nobody tells: for the answer the larger of its pieces and of its bytes by four.
    fn estimate(&self) -> TokenUsage {
        let output = self.deltas.max((self.text.len() as u64).div_ceil(BYTES_PER_TOKEN));
        let (input, output) =
            (self.prompt_bytes.div_ceil(BYTES_PER_TOKEN), output.min(self.max_output_tokens));
        TokenUsage { input, output, ..TokenUsage::default() }
    }
}

impl Agent for Chat {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn handle_input(&mut self, _now: Time, input: AgentInput<'_>) {
        match input {
            AgentInput::Audio { position, samples } => {
                self.finalise(position.saturating_add(samples.len() as u32), FINAL_STEP);
            }
            AgentInput::Gap { end, .. } => self.finalise(end, 0),
            AgentInput::Typed { position, text } => self.read(position, text),
            AgentInput::Say { position, text, interrupt } => self.say(position, text, interrupt),
            AgentInput::Corrected { said, text } => self.correct(said, text),
            AgentInput::Event { request, event } => {
                if self.asked.as_ref().is_some_and(|asked| asked.request == request) {
                    match event {
                        Event::Text(text) => self.hear(text),
                        Event::Finished(answer) => self.finish(answer),
                        Event::Failed(failure) => self.fail(failure),
                        // It has no tools, no ears and no voice.
                        Event::Ready
                        | Event::ToolCall(_)
                        | Event::Thought { .. }
                        | Event::Usage(_)
                        | Event::Heard(_)
                        | Event::Turn(_)
                        | Event::Sound(_)
                        | Event::Spoken(_) => {}
                    }
                }
            }
            AgentInput::AnswerOver { answer, .. } => {
                self.open = self.open.filter(|open| *open != answer);
            }
            AgentInput::Leave => self.give_up(),
            AgentInput::Timeout if self.is_unanswered => self.think(),
            // Nothing more comes of what has come: who hangs up has all of it committed.
            AgentInput::Pause => self.finalise(self.heard_through, 0),
            // It has no tools.
            AgentInput::ToolResult { .. } | AgentInput::Room { .. } | AgentInput::Timeout => {}
        }
    }

    fn poll_output(&mut self) -> Option<AgentOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.is_unanswered.then_some(Time::ZERO)
    }
}
