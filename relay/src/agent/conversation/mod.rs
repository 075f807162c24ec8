//! An agent that holds a conversation: it hears or reads, thinks, and speaks or writes.
//!
//! Three small machines do that, each with its own providers: `hearing` understands the user, `thinking` asks a language model, `speaking` has
//! the answer spoken while it is still being written. Any of the first and the last may be missing: without ears the agent reads what is
//! typed, and without a voice it answers in text. What was said is remembered as the user has heard it, and not as it was written.
//!
//! Smaller ones stand beside them: `floor` says who may speak, `tools` has the calls under way that a model makes, `quiet` waits for a user
//! who says nothing, `variables` are what the words of the persona leave open.

mod answering;
mod beginning;
mod begun;
mod calling;
mod courtesy;
mod eager;
mod expecting;
mod floor;
mod hearing;
mod late;
mod memory;
mod outbox;
mod parting;
mod persona;
mod quiet;
mod speaking;
mod tentative;
#[cfg(test)]
mod tests;
mod thinking;
mod tools;
mod understanding;
mod variables;

use std::collections::VecDeque;

use audio::{VoiceActivity, VoiceConfig};
use protocol::{Ability, ErrorCode, Time};

use super::utterances::Ears;
use super::{Agent, AgentInput, AgentOutput, Means};
use crate::call::Turn;
use crate::money::bill::AtMost;
use crate::money::tab::RequestId;
use crate::provider::Event;
use beginning::Begins;
use begun::Begun;
use eager::Eager;
use expecting::Expecting;
use floor::Floor;
pub use floor::TurnTaking;
use hearing::Hearing;
use late::Turns;
use memory::{Author, Memory};
use outbox::Outbox;
pub use persona::{Persona, Team};
pub use quiet::Patience;
use quiet::{Quiet, Waited};
use speaking::{News, Speaking};
use tentative::Tentative;
use thinking::Thinking;
use tools::Tools;
pub use variables::Variable;
use variables::Variables;

/// Without ears, `Final` is not said more often than every half second of audio.
const FINAL_STEP: u32 = 8_000;
/// Texts that can wait to be said. Another one is refused.
const TO_SAY_MAX: usize = 16;
/// What the user is told when there is no answer.
const NO_ANSWER: &str = "I cannot answer just now. Please try again in a moment.";

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
    /// What it is to say when the answer that it waits for is over, oldest first, and where the user's timeline stood if the page wants it said.
    to_say: VecDeque<(Option<u32>, String)>,
    /// It is to begin: with its greeting, or with an answer that was not given before.
    begins: Begins,
    /// The model is to be asked as soon as the call has said what was heard of the answer before.
    wants_to_think: bool,
    /// Whoever speaks is not waited for with that.
    asks_at_once: bool,
    /// Something has come of the answer that is being found.
    has_answered: bool,
    /// An answer was cut off by what the agent was told to say at once, and it is not known yet whether anything of it was heard.
    is_cut_short: bool,
    /// Who wrote the last words of the answer that is being given.
    author: Author,
    /// The user is saying something.
    is_user_speaking: bool,
    /// The words of that, as long as they may be taken back.
    tentative: Tentative,
    /// Turns of the user that have begun.
    begun: Begun,
    /// What it was told to say last.
    saying: String,
    /// The turn that the user has taken last.
    turns: Turns,
    /// Since when an utterance is heard, or waits to be understood.
    heard_since: Option<Time>,
    /// The user may be saying something: a voice was heard, and nothing has come of it yet.
    is_user_heard: bool,
    /// What was understood last was as long as an utterance may be: what is heard since is the rest of what they say.
    talks_on: bool,
    /// When the user was heard last: a sign, or words.
    user_heard_at: Time,
    /// When words of the user came last.
    words_at: Time,
    /// Since when there is a question that could be asked, and waits for the user.
    question_since: Option<Time>,
    /// What it has said to be expected.
    expecting: Expecting,
    /// The answer that is prepared.
    eager: Eager,
    /// What it cannot do just now: hear, think, speak.
    degraded: [bool; 3],
    /// How far the call's money goes.
    means: Means,
    /// It says its last words, and answers nothing any more.
    is_parting: bool,
    /// Where the audio ends that has come.
    heard_through: u32,
    final_through: u32,
    now: Time,
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
        // Of what was said before nothing may have been heard.
        let is_new = turns.iter().all(|turn| turn.text.is_empty());
        let begins = if memory.is_unanswered(persona.language()) {
            Begins::WithAnswer
        } else if is_new && !persona.greeting.is_empty() {
            Begins::WithGreeting
        } else {
            Begins::Not
        };
        Conversation {
            hearing: Hearing::new(&team.recognisers, ears, position, persona.longest_turn),
            floor: Floor::new(
                persona.turn_taking.clone(),
                position,
                is_new,
                team.recognisers.first().is_some_and(|(_, skills)| !skills.is_fed),
            ),
            thinking: Thinking::new(&team.models, &team.near_cap, persona.max_output_tokens),
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
            asks_at_once: false,
            has_answered: false,
            is_cut_short: false,
            author: Author::Others,
            is_user_speaking: false,
            tentative: Tentative::default(),
            begun: Begun::default(),
            saying: String::new(),
            turns: Turns::default(),
            heard_since: None,
            is_user_heard: false,
            talks_on: false,
            user_heard_at: Time::ZERO,
            words_at: Time::ZERO,
            question_since: None,
            expecting: Expecting::default(),
            eager: Eager::default(),
            degraded: [false; 3],
            means: Means::default(),
            is_parting: false,
            heard_through: position,
            final_through: position,
            now: Time::ZERO,
        }
    }

    /// The user typed something.
    fn read(&mut self, position: u32, text: &str) {
        self.tentative = Tentative::default();
        if let Some(hearing) = &mut self.hearing {
            hearing.pause(&mut self.outbox);
            self.understand();
        }
        if self.is_turn_longer() {
            self.end_turn();
            // What they are saying behind it is a turn of its own, and began before this.
            self.begin_turn(position);
        }
        self.turns = Turns::default();
        // A greeting that is to be heard is heard first.
        if !self.is_greeting_kept() {
            self.interrupt();
        }
        // What waits was to be said before this.
        self.say_rest();
        self.memory.user_said(text);
        self.outbox.push(AgentOutput::Typed { text: text.to_owned(), position });
        (self.wants_to_think, self.asks_at_once) = (true, true);
    }

    /// Asks the model for the next answer, if one is wanted, it is known what was heard of the one before, nothing else is being said or is to be
    /// said before, and nobody is to be let finish.
    fn think(&mut self) {
        if !self.wants_to_think || self.is_speaking() || self.is_parting {
            return;
        }
        if self.owes_greeting() || self.is_owed() && self.is_finding() {
            return;
        }
        if self.question_waits() {
            // Until it is asked the agent waits for nobody to break a silence.
            return self.quiet.pause();
        }
        (self.wants_to_think, self.asks_at_once) = (false, false);
        self.tools.begin_turn();
        self.ask_model();
    }

    /// Asks the model for what comes next.
    fn ask_model(&mut self) {
        self.discard_draft();
        self.has_answered = false;
        self.quiet.pause();
        let messages = self.memory.question(&self.variables.fill(&self.persona.instructions));
        if !self.thinking.ask(self.means, messages, self.tools.offers(), &mut self.outbox) {
            self.apologise();
        }
    }

    fn handle_event(&mut self, request: RequestId, event: &Event) {
        if let Some(hearing) = &mut self.hearing
            && hearing.handle_event(self.now, request, event, &mut self.outbox)
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
        let thought = self.thinking.handle_event(request, event, &mut self.outbox);
        if let Some(thought) = thought.and_then(|thought| self.keep_in_draft(thought)) {
            self.take_thought(thought);
        }
    }

    /// Says something that it was told to say: now, or when the answer is over that it waits for.
    fn say(&mut self, position: Option<u32>, text: &str, interrupt: bool) {
        if self.is_parting {
            return self.outbox.push(AgentOutput::Unsaid { text: text.to_owned(), position });
        }
        if self.to_say.len() >= TO_SAY_MAX {
            return self.outbox.push(AgentOutput::Trouble(ErrorCode::MessagesFull));
        }
        self.to_say.push_back((position, text.to_owned()));
        // An answer that may not be wanted is nothing to wait for, and was prepared without knowing of this.
        self.discard_draft();
        if interrupt {
            self.make_way();
        }
        self.go_on();
    }

    /// Whether an answer has begun that the call has not called over, or is about to begin.
    fn is_speaking(&self) -> bool {
        self.outbox.is_answering() || self.speaking.as_ref().is_some_and(Speaking::is_busy)
    }

    /// Whether the agent may begin to say something by itself: no answer is being found or said.
    fn may_speak(&self) -> bool {
        let speaks = self.speaking.as_ref().is_some_and(Speaking::is_busy);
        // An answer that has sound is heard to its end; one in text is heard when it is said.
        let is_heard = self.speaking.is_none() || !self.outbox.is_answering();
        !self.is_finding() && !speaks && is_heard
    }

    /// Says the next thing that waits to be said, when nothing else is being said.
    fn go_on(&mut self) {
        if self.may_speak() {
            self.say_next();
        }
    }

    fn say_next(&mut self) {
        let Some((position, text)) = self.to_say.pop_front() else { return };
        self.give(&text, Author::Others);
        self.saying = text;
        match &mut self.speaking {
            Some(speaking) => speaking.finish(&mut self.outbox, &mut self.memory),
            None => self.outbox.end_answer(),
        }
        // Only now is its place final: it is stored by then, or is stored before that. What the user is saying meanwhile is not.
        let through = if self.hearing.is_some() { self.heard_through } else { position.unwrap_or_default() };
        self.finalise(through.max(self.final_through), 0);
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

    /// A message of the page is done with. If nothing that came before it is still to be understood, it need not be sent again.
    fn done_with(&mut self, position: u32) {
        if self.to_say.is_empty() && self.final_through >= position {
            self.outbox.push(AgentOutput::Final { through: self.final_through });
        }
    }

    fn leave(&mut self) {
        self.quiet.pause();
        self.discard_draft();
        self.thinking.give_up(&mut self.outbox);
        self.tools.leave();
        self.tentative = Tentative::default();
        if let Some(hearing) = &mut self.hearing {
            hearing.leave(&mut self.outbox);
        }
        self.understand();
        self.end_turn();
        self.drop_turns_before(u32::MAX);
        // Nobody waits for an answer to it any more.
        (self.wants_to_think, self.is_cut_short) = (false, false);
        if let Some(speaking) = &mut self.speaking {
            speaking.cut(&mut self.outbox);
        }
        self.outbox.end_answer();
        if self.is_parting {
            // Its own last words are the call's to write.
            self.to_say.clear();
        }
        self.leave_unsaid();
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
                hearing.agent_sounds(self.floor.wants_ears());
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
            (AgentInput::OnHold(on_hold), hearing) => {
                self.quiet.hold(now, on_hold);
                if let Some(hearing) = hearing {
                    hearing.hold(on_hold, outbox);
                }
            }
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
                self.tools.answer_over(now);
                self.answer_if_unheard();
                // Somebody said yes to its last words.
                self.wants_to_think |= self.floor.answer_over(now) && !self.outbox.is_answering();
                if self.is_parting {
                    self.part();
                } else if !self.tools.is_awaited() {
                    let waited = self.quiet.go_on(now);
                    self.wait(waited);
                }
                self.go_on();
            }
            (AgentInput::TakenBack { answer, heard }, _) => {
                self.memory.heard(answer, heard);
                self.ask_with_what_was_heard();
            }
            (AgentInput::Event { request, event }, _) => self.handle_event(request, event),
            (AgentInput::Means { means, refused }, _) => {
                self.means = means;
                let is_mine = refused.is_some_and(|request| self.thinking.refuse(request, &mut self.outbox));
                // An answer that may not be wanted is not prepared for the last of the money.
                if is_mine && !self.has_draft() {
                    self.ask_model();
                }
                if means != Means::Ample {
                    self.discard_draft();
                }
            }
            (AgentInput::Farewell, _) => self.say_farewell(),
            (AgentInput::HandOver, _) => {
                if let Some(hearing) = &mut self.hearing {
                    hearing.hand_over();
                }
            }
            (AgentInput::Leave, _) => self.leave(),
            (AgentInput::ToolResult { call_id, from, output, is_error }, _) => {
                let memory = &mut self.memory;
                self.tools.handle_result(call_id, from, output, is_error, outbox, memory);
            }
            (AgentInput::Timeout, hearing) => {
                if let Some(hearing) = hearing {
                    hearing.handle_timeout(self.now, outbox);
                }
                self.begin(now);
                self.handle_tools_timeout();
                self.floor.handle_timeout(now);
                let waited = self.quiet.poll(now);
                self.wait(waited);
            }
        }
        self.understand();
        self.let_finish();
        self.decide();
        self.go_on_after_calls();
        self.think();
        self.note_question();
        self.expect();
    }

    fn poll_output(&mut self) -> Option<AgentOutput> {
        let output = self.outbox.pop()?;
        match &output {
            AgentOutput::Words { text, .. } => self.floor.agent_says(text),
            AgentOutput::Sound(samples) => {
                self.floor.agent_sounds(samples, self.rate);
                self.tools.agent_sounds(self.now, samples.len(), self.rate);
            }
            _ => {}
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Time> {
        let tools = self.tools.poll_timeout();
        let hears = self.hearing.as_ref().and_then(Hearing::poll_timeout);
        let begins = self.due_to_begin().into_iter().chain(self.begins_at()).chain(self.asks_at());
        begins.chain(tools).chain(hears).chain(self.floor.poll_timeout()).chain(self.quiet.due()).min()
    }

    fn is_between_turns(&self) -> bool {
        let hears = self.hearing.as_ref().is_some_and(Hearing::hears_an_utterance);
        let is_user_silent = !self.is_user_speaking && !self.is_user_heard && !hears;
        let is_silent =
            !self.is_speaking() && self.to_say.is_empty() && self.begins == Begins::Not && !self.is_parting;
        let finds = self.wants_to_think || self.is_finding() || self.has_draft();
        is_user_silent && is_silent && !finds && self.tools.is_idle()
    }

    fn room_to_say(&self) -> Option<usize> {
        Some(TO_SAY_MAX.saturating_sub(self.to_say.len()))
    }

    fn farewell(&self) -> Option<Vec<(usize, AtMost)>> {
        let words = &self.persona.limit_goodbye;
        let speaking = self.speaking.as_ref();
        (!words.is_empty()).then(|| speaking.map_or_else(Vec::new, |speaking| speaking.uses(words)))
    }
}
