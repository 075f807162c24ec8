//! An agent that holds a conversation: it hears or reads, thinks, and speaks or writes.
//!
//! Three small machines do that, each with its own providers: `hearing` understands the user, `thinking` asks a language model, `speaking` has
//! the answer spoken while it is still being written. Any of the first and the last may be missing: without ears the agent reads what is
//! typed, and without a voice it answers in text. What was said is remembered as the user has heard it, and not as it was written. A fourth
//! machine, `tools`, has the calls under way that a model makes.

mod calling;
mod floor;
mod hearing;
mod memory;
mod outbox;
mod quiet;
mod speaking;
#[cfg(test)]
mod tests;
mod thinking;
mod tools;
mod variables;

use std::collections::VecDeque;
use std::time::Duration;

use audio::{VoiceActivity, VoiceConfig};
use protocol::{Ability, ErrorCode, Time};

use super::utterances::Ears;
use super::{Agent, AgentInput, AgentOutput};
use crate::call::Turn;
use crate::money::tab::RequestId;
use crate::provider::{Event, Skills};
pub use floor::TurnTaking;
use floor::{Decision, Floor, Remark};
use hearing::{Hearing, Understood};
use memory::{Author, Memory};
use outbox::Outbox;
pub use quiet::Patience;
use quiet::{Quiet, Waited};
use speaking::{News, Speaking};
use thinking::{Thinking, Thought};
use tools::Tools;
pub use variables::Variable;
use variables::Variables;

/// Without ears, `Final` is not said more often than every half second of audio.
const FINAL_STEP: u32 = 8_000;
/// Texts that can wait to be said. Another one is refused.
const TO_SAY_MAX: usize = 16;
/// How long a greeting waits for what the page may have to say to it: a page says it as soon as it is connected.
const GREETING_WAITS: Duration = Duration::from_secs(2);
/// What the user is told when there is no answer.
const NO_ANSWER: &str = "I cannot answer just now. Please try again in a moment.";

/// How an agent is to behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    /// What the model is told before everything else; may be empty.
    pub instructions: String,
    /// What the agent says when a conversation begins; may be empty.
    pub greeting: String,
    /// The longest answer, in tokens.
    pub max_output_tokens: u32,
    /// How much of the conversation the model is told, in tokens as far as they can be told from the text.
    pub memory_tokens: u32,
    /// How it takes turns with the user.
    pub turn_taking: TurnTaking,
    /// The names that stand in braces in its instructions and its greeting.
    pub variables: Vec<Variable>,
    /// Names and values that the user's token has for them.
    pub values: Vec<(String, String)>,
    /// What it does when nobody says anything.
    pub patience: Patience,
}

impl Persona {
    /// The language that is spoken, if that is known.
    fn language(&self) -> Option<&str> {
        self.turn_taking.language.as_deref()
    }
}

impl Default for Persona {
    fn default() -> Persona {
        Persona {
            instructions: String::new(),
            greeting: String::new(),
            max_output_tokens: 500,
            memory_tokens: 8_000,
            turn_taking: TurnTaking::default(),
            variables: Vec::new(),
            values: Vec::new(),
            patience: Patience::default(),
        }
    }
}

/// Whom an agent asks: places among its providers, each list in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Team {
    /// Recognisers; without one the agent reads what is typed.
    pub recognisers: Vec<(usize, Skills)>,
    /// Language models.
    pub models: Vec<usize>,
    /// Voices; without one the agent answers in text.
    pub voices: Vec<(usize, Skills)>,
}

/// Holds a conversation.
pub struct Conversation<E = VoiceActivity> {
    persona: Persona,
    rate: u32,
    hearing: Option<Hearing<E>>,
    floor: Floor,
    thinking: Thinking,
    tools: Tools,
    /// `None` for answers in text.
    speaking: Option<Speaking>,
    memory: Memory,
    variables: Variables,
    quiet: Quiet,
    outbox: Outbox,
    /// What it is to say when the answer that it waits for is over, oldest first, and where the user's timeline stood.
    to_say: VecDeque<(u32, String)>,
    /// It is to begin: with its greeting, or with an answer that was not given before.
    begins: Begins,
    /// The model is to be asked as soon as the call has said what was heard of the answer before.
    wants_to_think: bool,
    /// Something has come of the answer that is being found.
    has_answered: bool,
    /// Who wrote the last words of the answer that is being given.
    author: Author,
    /// The user is saying something.
    is_user_speaking: bool,
    /// What it cannot do just now: hear, think, speak.
    degraded: [bool; 3],
    /// Where the audio ends that has come.
    heard_through: u32,
    final_through: u32,
    now: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    Not,
    WithGreeting,
    /// With its greeting, once the page has given the values that are missing in it, and at this time in any case.
    WhenGreetingIsWhole(Time),
    WithAnswer,
}

impl Conversation {
    /// An agent that goes on after these turns, for audio that begins at `position`. Should the user have said something that was never
    /// answered, it answers that first. It speaks at `rate` samples a second.
    #[must_use]
    pub fn new(persona: Persona, team: Team, rate: u32, position: u32, turns: &[Turn]) -> Conversation {
        let ears = VoiceActivity::new(VoiceConfig::default());
        Conversation::with_ears(ears, persona, team, rate, position, turns)
    }
}

impl<E: Ears> Conversation<E> {
    /// The same with other ears.
    #[must_use]
    pub fn with_ears(
        ears: E,
        persona: Persona,
        team: Team,
        rate: u32,
        position: u32,
        turns: &[Turn],
    ) -> Conversation<E> {
        let memory = Memory::of(turns, persona.memory_tokens);
        let begins = if memory.is_unanswered(persona.language()) {
            Begins::WithAnswer
        } else if turns.is_empty() && !persona.greeting.is_empty() {
            Begins::WithGreeting
        } else {
            Begins::Not
        };
        Conversation {
            hearing: Hearing::new(&team.recognisers, ears, position),
            floor: Floor::new(persona.turn_taking.clone(), position, turns.is_empty()),
            thinking: Thinking::new(team.models, persona.max_output_tokens),
            speaking: (!team.voices.is_empty()).then(|| Speaking::new(team.voices, rate)),
            tools: Tools::default(),
            quiet: Quiet::new(persona.patience.clone()),
            variables: Variables::new(persona.variables.clone(), &persona.values),
            persona,
            rate,
            memory,
            outbox: Outbox::default(),
            to_say: VecDeque::new(),
            begins,
            wants_to_think: false,
            has_answered: false,
            author: Author::Others,
            is_user_speaking: false,
            degraded: [false; 3],
            heard_through: position,
            final_through: position,
            now: Time::ZERO,
        }
    }

    /// The user typed something.
    fn read(&mut self, position: u32, text: &str) {
        if let Some(hearing) = &mut self.hearing {
            hearing.pause(&mut self.outbox);
            self.understand();
        }
        self.interrupt();
        // What waits was to be said before this.
        self.say_rest();
        self.user_said(text.to_owned(), position, position);
    }

    fn user_said(&mut self, text: String, start: u32, end: u32) {
        self.memory.user_said(&text);
        self.outbox.push(AgentOutput::Said { text, start, end });
        self.wants_to_think = true;
    }

    /// Does what follows from what was heard.
    fn understand(&mut self) {
        while let Some(understood) = self.hearing.as_mut().and_then(Hearing::poll) {
            match understood {
                Understood::Began { at } => {
                    self.floor.turn_begins(self.now);
                    if !self.outbox.is_answering() {
                        self.quiet.hears(self.now);
                        self.outbox.push(AgentOutput::SpeechStarted { at });
                    }
                }
                Understood::Words { text, start, end, final_through } => {
                    // What is no turn so far may still become one: nothing of it is told or stored before.
                    if self.floor.judge(&text, start, end) == Remark::Turn {
                        self.is_user_speaking = true;
                        self.interrupt_unless_guarded();
                        self.outbox.push(AgentOutput::Partial { text, start, end, final_through });
                    }
                }
                Understood::Said { text, start, end } => {
                    self.is_user_speaking = false;
                    let remark = self.floor.judge(&text, start, end);
                    self.floor.turn_over(self.now, remark, end);
                    match remark {
                        Remark::Turn => {
                            self.interrupt_unless_guarded();
                            self.user_said(text, start, end);
                        }
                        Remark::BackChannel => {
                            self.memory.user_said(&text);
                            self.outbox.push(AgentOutput::Remarked { text, start, end });
                        }
                        Remark::Echo => {}
                    }
                }
                Understood::Final { through } => {
                    self.is_user_speaking = false;
                    self.finalise(through, 1);
                }
                Understood::Deaf(is_deaf) => {
                    self.tell_degraded(Ability::Hearing, is_deaf);
                    if is_deaf {
                        self.outbox.push(AgentOutput::Trouble(ErrorCode::AgentUnavailable));
                    }
                }
            }
        }
    }

    /// The user says something: what is being found, given or heard of an answer ends here.
    fn interrupt(&mut self) {
        self.floor.cut();
        self.cut();
    }

    /// The same, unless the answer is one that may not be interrupted now: then what the user says is answered after it.
    fn interrupt_unless_guarded(&mut self) {
        if !(self.outbox.is_answering() && self.floor.is_guarded(self.now)) {
            self.interrupt();
        }
    }

    /// Does what the floor decides about the answer.
    fn decide(&mut self) {
        while let Some(decision) = self.floor.poll() {
            match decision {
                Decision::Hold => self.outbox.push(AgentOutput::Hold(true)),
                Decision::Resume => {
                    self.outbox.push(AgentOutput::Hold(false));
                    self.outbox.push(AgentOutput::FalseInterruption { resumed: true });
                }
                Decision::Cut => self.cut(),
                Decision::WasNone => self.outbox.push(AgentOutput::FalseInterruption { resumed: false }),
            }
        }
    }

    fn cut(&mut self) {
        if matches!(self.begins, Begins::WhenGreetingIsWhole(_)) {
            self.begins = Begins::Not;
        }
        self.quiet.heard(self.now);
        self.thinking.give_up(&mut self.outbox);
        self.tools.interrupt();
        if let Some(speaking) = &mut self.speaking {
            speaking.cut(&mut self.outbox);
        }
        self.outbox.cut();
    }

    /// Asks the model for the next answer, if one is wanted and it is known what was heard of the one before.
    fn think(&mut self) {
        if !self.wants_to_think || self.outbox.is_answering() {
            return;
        }
        self.wants_to_think = false;
        self.tools.begin_turn();
        self.ask_model();
    }

    /// Asks the model for what comes next.
    fn ask_model(&mut self) {
        self.has_answered = false;
        self.quiet.pause();
        let messages = self.memory.messages(&self.variables.fill(&self.persona.instructions));
        if !self.thinking.ask(messages, self.tools.offers(), &mut self.outbox) {
            self.apologise();
        }
    }

    fn handle_event(&mut self, request: RequestId, event: &Event) {
        if let Some(hearing) = &mut self.hearing
            && hearing.handle_event(request, event, &mut self.outbox)
        {
            return self.understand();
        }
        if let Some(speaking) = &mut self.speaking
            && let Some(news) = speaking.handle_event(request, event, &mut self.outbox, &mut self.memory)
        {
            match news {
                Some(News::Mute) => self.tell_degraded(Ability::Speaking, true),
                Some(News::Speaks) => self.tell_degraded(Ability::Speaking, false),
                None => {}
            }
            return self.go_on();
        }
        match self.thinking.handle_event(request, event, &mut self.outbox) {
            Some(Thought::Words(text)) => {
                self.has_answered = true;
                self.tools.is_heard();
                self.give(&text, Author::Model(self.tools.step()));
                if self.thinking.is_too_long() {
                    // It does not keep to what it was asked for, and would go on at somebody's expense.
                    self.thinking.give_up(&mut self.outbox);
                    self.end_answer();
                }
            }
            Some(Thought::Calls(calls)) => {
                self.tell_degraded(Ability::Thinking, false);
                self.call_tools(calls);
            }
            Some(Thought::Over) => {
                self.tell_degraded(Ability::Thinking, false);
                self.end_answer();
            }
            Some(Thought::Failed) if self.has_answered => {
                self.tell_degraded(Ability::Thinking, true);
                self.end_answer();
            }
            Some(Thought::Failed) => self.apologise(),
            None => {}
        }
    }

    /// Gives more of an answer's words.
    fn give(&mut self, text: &str, author: Author) {
        self.quiet.pause();
        let is_giving = self.outbox.is_giving() || self.speaking.as_ref().is_some_and(Speaking::is_busy);
        let joins = is_giving && author != self.author && !text.starts_with(char::is_whitespace);
        let text = if joins { &format!(" {text}") } else { text };
        self.author = author;
        if let Some(speaking) = &mut self.speaking {
            return speaking.add(text, author, &mut self.outbox, &mut self.memory);
        }
        let answer = self.outbox.words(text.to_owned(), 0, 0);
        self.memory.agent_says(answer, author, text);
    }

    /// No more words come of an answer.
    fn end_answer(&mut self) {
        match &mut self.speaking {
            Some(speaking) => speaking.finish(&mut self.outbox, &mut self.memory),
            None => self.outbox.end_answer(),
        }
        self.go_on();
    }

    fn apologise(&mut self) {
        self.tools.is_heard();
        self.tell_degraded(Ability::Thinking, true);
        self.outbox.push(AgentOutput::Trouble(ErrorCode::AgentUnavailable));
        self.give(NO_ANSWER, Author::Aside);
        self.end_answer();
    }

    /// Says something that it was told to say: now, or when the answer is over that it waits for.
    fn say(&mut self, position: u32, text: &str, interrupt: bool) {
        if self.to_say.len() == TO_SAY_MAX {
            return self.outbox.push(AgentOutput::Trouble(ErrorCode::MessagesFull));
        }
        self.to_say.push_back((position, text.to_owned()));
        if interrupt {
            self.interrupt();
        }
        self.go_on();
    }

    /// Says the next thing that waits to be said, when nothing else is being said.
    fn go_on(&mut self) {
        let speaks = self.speaking.as_ref().is_some_and(Speaking::is_busy);
        // An answer that has sound is heard to its end; one in text is heard when it is said.
        let is_heard = self.speaking.is_none() || !self.outbox.is_answering();
        if !self.is_finding() && !speaks && is_heard {
            self.say_next();
        }
    }

    fn say_next(&mut self) {
        let Some((position, text)) = self.to_say.pop_front() else { return };
        self.give(&text, Author::Others);
        match &mut self.speaking {
            Some(speaking) => speaking.finish(&mut self.outbox, &mut self.memory),
            None => self.outbox.end_answer(),
        }
        // Only now is its place final: it is stored by then, or is stored before that.
        self.finalise(position.max(self.final_through), 0);
        self.go_on();
    }

    /// Says everything that waits to be said, in text: the user is about to be answered.
    fn say_rest(&mut self) {
        if self.speaking.is_none() {
            while !self.to_say.is_empty() {
                self.say_next();
            }
        }
    }

    /// The page hears when something does not work, and when it works again.
    fn tell_degraded(&mut self, what: Ability, degraded: bool) {
        let place = match what {
            Ability::Hearing => 0,
            Ability::Thinking => 1,
            _ => 2,
        };
        if std::mem::replace(&mut self.degraded[place], degraded) != degraded {
            self.outbox.push(AgentOutput::Degraded { what, degraded });
        }
    }

    fn finalise(&mut self, through: u32, step: u32) {
        self.heard_through = self.heard_through.max(through);
        // What waits to be said is not said by that.
        if self.to_say.is_empty() && self.heard_through >= self.final_through.saturating_add(step) {
            self.final_through = self.heard_through;
            self.outbox.push(AgentOutput::Final { through: self.final_through });
        }
    }

    fn begin(&mut self, now: Time) {
        match self.begins {
            Begins::Not => {}
            // It is made when something has come of the calls that it waits for.
            Begins::WithAnswer => {
                self.begins = Begins::Not;
                self.wants_to_think = !self.tools.is_awaited();
            }
            Begins::WithGreeting if self.variables.awaits(&self.persona.greeting) => {
                self.begins = Begins::WhenGreetingIsWhole(now + GREETING_WAITS);
            }
            Begins::WhenGreetingIsWhole(due) if now < due => {}
            Begins::WithGreeting | Begins::WhenGreetingIsWhole(_) => self.greet(),
        }
    }

    /// Does what comes of having waited for the user.
    fn wait(&mut self, waited: Option<Waited>) {
        match waited {
            None => {}
            Some(Waited::Say(words)) => {
                self.give(&words, Author::Others);
                self.end_answer();
            }
            Some(Waited::End) => self.outbox.push(AgentOutput::HangUp),
        }
    }

    fn greet(&mut self) {
        self.begins = Begins::Not;
        let greeting = self.variables.fill(&self.persona.greeting);
        if !greeting.is_empty() {
            self.floor.greet();
            self.give(&greeting, Author::Others);
            self.end_answer();
        }
    }

    /// The page sets values. It is told if there is one that it may not set; the others are set.
    fn set(&mut self, values: &[(String, String)]) {
        let mut is_good = true;
        for (name, value) in values {
            is_good &= self.variables.set(name, value);
        }
        if !is_good {
            self.outbox.push(AgentOutput::Trouble(ErrorCode::VariableUnknown));
        }
        if matches!(self.begins, Begins::WhenGreetingIsWhole(_))
            && !self.variables.awaits(&self.persona.greeting)
        {
            self.greet();
        }
    }

    /// A message of the page is done with. If nothing that came before it is still to be understood, it need not be sent again.
    fn done_with(&mut self, position: u32) {
        if self.to_say.is_empty() && self.final_through >= position {
            self.outbox.push(AgentOutput::Final { through: self.final_through });
        }
    }

    fn leave(&mut self) {
        self.quiet.pause();
        self.thinking.give_up(&mut self.outbox);
        self.tools.leave();
        if let Some(hearing) = &mut self.hearing {
            hearing.leave(&mut self.outbox);
        }
        self.understand();
        // Nobody waits for an answer to it any more.
        self.wants_to_think = false;
        if let Some(speaking) = &mut self.speaking {
            speaking.cut(&mut self.outbox);
        }
        self.outbox.end_answer();
    }
}

impl<E: Ears> Agent for Conversation<E> {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn handle_input(&mut self, now: Time, input: AgentInput<'_>) {
        self.now = self.now.max(now);
        self.floor.begin(now);
        // A page sends its result again by itself, maybe before anything else happens.
        self.go_on_with_calls();
        let (hearing, outbox) = (self.hearing.as_mut(), &mut self.outbox);
        match (input, hearing) {
            (AgentInput::Audio { position, samples }, Some(hearing)) => {
                hearing.hear(position, samples, outbox);
                self.floor.hear(now, position, samples, hearing.is_voiced());
            }
            (AgentInput::Audio { position, samples }, None) => {
                self.finalise(position.saturating_add(samples.len() as u32), FINAL_STEP);
            }
            (AgentInput::Gap { position, end }, Some(hearing)) => hearing.skip(position, end, outbox),
            (AgentInput::Gap { end, .. }, None) => self.finalise(end, 1),
            (AgentInput::Pause, Some(hearing)) => hearing.pause(outbox),
            // Nothing more comes of what has come: who hangs up has all of it committed.
            (AgentInput::Pause, None) => self.finalise(self.heard_through, 1),
            (AgentInput::Typed { position, text }, _) => self.read(position, text),
            (AgentInput::BargeIn, _) => self.floor.notice(now),
            (AgentInput::Say { position, text, interrupt }, _) => self.say(position, text, interrupt),
            (AgentInput::Context { position, text }, _) => {
                self.memory.learn(text);
                self.done_with(position);
            }
            (AgentInput::Variables { position, values }, _) => {
                self.set(values);
                self.done_with(position);
            }
            (AgentInput::Corrected { said, text }, _) => self.memory.correct(said, text),
            (AgentInput::Room { samples }, _) => {
                if let Some(speaking) = &mut self.speaking {
                    speaking.room(samples, outbox, &mut self.memory);
                }
            }
            (AgentInput::AnswerOver { answer, heard }, _) => {
                outbox.answer_over(answer);
                self.memory.heard(answer, heard);
                // Somebody said yes to its last words.
                self.wants_to_think |= self.floor.answer_over(now) && !self.outbox.is_answering();
                if !self.tools.is_awaited() {
                    let waited = self.quiet.go_on(now);
                    self.wait(waited);
                }
                self.go_on();
            }
            (AgentInput::Event { request, event }, _) => self.handle_event(request, event),
            (AgentInput::Leave, _) => self.leave(),
            (AgentInput::ToolResult { call_id, from, output, is_error }, _) => {
                let memory = &mut self.memory;
                self.tools.handle_result(call_id, from, output, is_error, outbox, memory);
            }
            (AgentInput::Timeout, _) => {
                self.begin(now);
                self.handle_tools_timeout();
                self.floor.handle_timeout(now);
                let waited = self.quiet.poll(now);
                self.wait(waited);
            }
        }
        self.understand();
        self.decide();
        self.go_on_after_calls();
        self.think();
    }

    fn poll_output(&mut self) -> Option<AgentOutput> {
        let output = self.outbox.pop()?;
        match &output {
            AgentOutput::Words { text, .. } => self.floor.agent_says(text),
            AgentOutput::Sound(samples) => self.floor.agent_sounds(samples, self.rate),
            _ => {}
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Time> {
        let begins = match self.begins {
            Begins::Not => None,
            Begins::WhenGreetingIsWhole(due) => Some(due),
            Begins::WithGreeting | Begins::WithAnswer => Some(Time::ZERO),
        };
        let tools = self.tools.poll_timeout();
        begins.into_iter().chain(tools).chain(self.floor.poll_timeout()).chain(self.quiet.due()).min()
    }
}
