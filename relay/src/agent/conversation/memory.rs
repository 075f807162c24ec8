//! What was said and called in a conversation, as a language model is told it.

use std::collections::VecDeque;

use super::floor::is_back_channel;
use crate::agent::tool::{Called, StoredCall, ToolOutput};
use crate::call::Turn;
use crate::provider::{Message, ToolCall};

/// How many bytes are taken for one token: what English text has on average, by the figures of the providers.
pub(super) const BYTES_PER_TOKEN: usize = 4;
/// What a message costs beside its text, in bytes: four tokens. OpenAI's own models take three and a role.
const MESSAGE_BYTES: usize = 4 * BYTES_PER_TOKEN;
/// What a model is told of a call of which nothing has come yet.
pub(super) const STILL_RUNS: &str = "The tool is still running. You are told what comes of it later.";
/// What a model is told when something has come of a call since its last answer.
pub(super) const HAS_COME: &str =
    "(A tool that you called has answered meanwhile. Tell the user what came of it.)";
/// What a model is told behind words that the agent has said at somebody else's wish, when the user still waits for an answer.
pub(super) const STILL_WAITS: &str = "[For your information, not said by the user: you were told to say that. The user still waits for an answer.]";
/// What it is told behind an answer of its own, when the user had said more before they heard it.
pub(super) const HAD_SAID_MORE: &str = "[For your information, not said by the user: the user had said more before you said that, and still waits for an answer to it.]";
/// What stands before and behind what the page has added.
const FOR_INFORMATION: [&str; 2] = ["[For your information, not said by the user: ", "]"];

/// The newest part of what was said, oldest first.
///
/// When it is full, the older half is forgotten at once, whole exchanges at a time. A model is then told the same beginning again and again,
/// which providers take out of their caches for a fraction of the price; if one exchange were forgotten in each turn, everything would have to
/// be read anew in each turn. A call stays until a model has been told what came of it, when its exchange is forgotten.
#[derive(Debug)]
pub(super) struct Memory {
    /// The most bytes of what was said.
    most: usize,
    lines: VecDeque<Line>,
    /// How often the user has said something in this call.
    sayings: u32,
    /// The newest answers ([`TOLD`]), and how many bytes of each were whose, in the order in which they are heard. Its lines may stand in another
    /// order.
    tellings: VecDeque<(u32, Vec<(Author, usize)>)>,
}

/// Of how many answers it is known in which order they were spoken: those that a call waits to hear of, and the newest.
const TOLD: usize = 9;

#[derive(Debug)]
struct Line {
    /// The number of the turn; 0 for what was said in this call.
    turn: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    Said {
        by: By,
        text: String,
    },
    /// Calls that a model made at once.
    Called {
        /// Which step it was; `None` if another relay had the call then.
        step: Option<u32>,
        calls: Vec<Call>,
    },
    /// Something has come of earlier calls.
    HasCome,
}

#[derive(Debug)]
struct Call {
    call_id: String,
    told: ToolCall,
    output: Option<ToolOutput>,
    /// A model was told what came of it, and need not be told again.
    is_known: bool,
}

/// Who said something. What was said in an earlier call cannot be corrected or cut short any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The user; in this call it was this one of what they have said.
    User(Option<u32>),
    /// The agent; in this call it was in this answer.
    Agent(Option<(u32, Author)>),
    /// Nobody: the page has told the agent what it is to know.
    Page,
}

/// Who wrote words that the agent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// A model, in this step: each time that one calls tools another step begins.
    Model(u32),
    /// The operator or the page, and a model is told of it: a greeting, what the agent was told to say.
    Others,
    /// The agent itself, to pass the time or to apologise. No model is told of it.
    Aside,
}

impl Memory {
    /// What was said before. Not more than about so many tokens of the conversation are remembered, except for the newest exchange.
    pub(super) fn of(turns: &[Turn], tokens: u32) -> Memory {
        let most = tokens as usize * BYTES_PER_TOKEN;
        let mut memory = Memory { most, lines: VecDeque::new(), sayings: 0, tellings: VecDeque::new() };
        for Turn { turn, role, text, .. } in turns {
            let by = match role {
                protocol::Role::User => By::User(None),
                protocol::Role::Agent | protocol::Role::Unknown => By::Agent(None),
            };
            memory.push(*turn, by, text.clone());
        }
        memory
    }

    /// Puts a call in its place that was made when another relay had this session.
    pub(super) fn restore(&mut self, stored: &StoredCall) {
        let (mut place, mut behind) = (self.lines.len(), u32::MAX);
        while let Some(line) = place.checked_sub(1).map(|before| &self.lines[before]) {
            // Calls of one turn stand in their order. Within a session numbers rise, with gaps.
            let is_of_another_session = line.turn >= behind;
            if matches!(line.what, What::Called { .. }) || line.turn < stored.turn || is_of_another_session {
                break;
            }
            behind = line.turn;
            place -= 1;
        }
        let call = Call::new(&stored.called, stored.output.clone());
        let before = place.checked_sub(1).map(|before| &mut self.lines[before]);
        match before {
            Some(Line { turn, what: What::Called { calls, .. } }) if *turn == stored.turn => calls.push(call),
            _ => {
                let what = What::Called { step: None, calls: vec![call] };
                self.lines.insert(place, Line { turn: stored.turn, what });
            }
        }
        self.shorten();
    }

    /// The user says something.
    pub(super) fn user_said(&mut self, text: &str) {
        self.push(0, By::User(Some(self.sayings)), text.to_owned());
        self.sayings += 1;
    }

    /// What the user has said last, if nothing was said or called since.
    pub(super) fn newest_saying(&self) -> Option<&str> {
        let last = self.lines.iter().rev().find(|line| !line.is_of_page())?;
        match &last.what {
            What::Said { by: By::User(Some(said)), text } if *said + 1 == self.sayings => Some(text),
            _ => None,
        }
    }

    /// What the user has said last in this call, whatever was said since.
    pub(super) fn last_saying(&self) -> Option<&str> {
        let newest = By::User(Some(self.sayings.checked_sub(1)?));
        self.lines.iter().rev().find_map(|line| match &line.what {
            What::Said { by, text } if *by == newest => Some(text.as_str()),
            _ => None,
        })
    }

    /// What the user has said last was more: this. It stands behind what was said before it was whole.
    pub(super) fn user_said_more(&mut self, whole: &str) {
        if let Some(said) = self.sayings.checked_sub(1) {
            let newest = By::User(Some(said));
            self.lines.retain(|line| !matches!(&line.what, What::Said { by, .. } if *by == newest));
        }
        self.user_said(whole);
    }

    /// The agent is to know something that nobody has said.
    pub(super) fn learn(&mut self, text: &str) {
        self.push(0, By::Page, text.to_owned());
    }

    /// The agent says more in this answer.
    pub(super) fn agent_says(&mut self, answer: u32, author: Author, text: &str) {
        if self.tellings.back().is_none_or(|(newest, _)| *newest != answer) {
            if self.tellings.len() == TOLD {
                self.tellings.pop_front();
            }
            self.tellings.push_back((answer, Vec::new()));
        }
        if let Some((_, order)) = self.tellings.back_mut() {
            match order.last_mut() {
                Some((last, bytes)) if *last == author => *bytes += text.len(),
                _ => order.push((author, text.len())),
            }
        }
        let by = By::Agent(Some((answer, author)));
        let said = self.lines.iter_mut().rev().find_map(|line| match &mut line.what {
            What::Said { by: of, text } if *of == by => Some(text),
            _ => None,
        });
        if let Some(said) = said {
            said.push_str(text);
            return self.shorten();
        }
        // What a model writes in the answer in which it calls something stands before the calls, whenever it is heard.
        let called = self.lines.iter().rposition(|line| match line.what {
            What::Called { step: Some(step), .. } => author == Author::Model(step),
            _ => false,
        });
        match called {
            Some(place) => {
                let what = What::Said { by, text: text.to_owned() };
                self.lines.insert(place, Line { turn: 0, what });
                self.shorten();
            }
            None => self.push(0, by, text.to_owned()),
        }
    }

    /// A model has called something in this step.
    pub(super) fn called(&mut self, step: u32, called: &[Called]) {
        let calls = called.iter().map(|called| Call::new(called, None)).collect();
        self.lines.push_back(Line { turn: 0, what: What::Called { step: Some(step), calls } });
        self.shorten();
    }

    /// What has come of a call, which stays.
    pub(super) fn output(&mut self, call_id: &str, output: &ToolOutput) {
        let calls = self.lines.iter_mut().rev().filter_map(|line| match &mut line.what {
            What::Called { calls, .. } => Some(calls),
            What::Said { .. } | What::HasCome => None,
        });
        if let Some(call) = calls.flatten().find(|call| call.call_id == call_id) {
            call.output.get_or_insert_with(|| output.clone());
            self.shorten();
        }
    }

    /// Something has come of calls that a later answer did not wait for.
    pub(super) fn has_come(&mut self) {
        if !self.is_unanswered(None) {
            self.lines.push_back(Line { turn: 0, what: What::HasCome });
        }
    }

    /// Of this answer the user has heard so many bytes, and no more.
    pub(super) fn heard(&mut self, answer: u32, bytes: usize) {
        // Of one before those the lines are in their order.
        let lines = self.lines.iter().filter_map(|line| match &line.what {
            What::Said { by: By::Agent(Some((of, author))), text } if *of == answer => {
                Some((*author, text.len()))
            }
            _ => None,
        });
        let told = self.tellings.iter().find(|(of, _)| *of == answer);
        let order = told.map_or_else(|| lines.collect(), |(_, order)| order.clone());
        let mut left = bytes;
        let mut heard: Vec<(Author, usize)> = Vec::new();
        for (author, said) in order {
            let part = left.min(said);
            left -= part;
            match heard.iter_mut().find(|(of, _)| *of == author) {
                Some((_, sum)) => *sum += part,
                None => heard.push((author, part)),
            }
        }
        for line in &mut self.lines {
            let What::Said { by: By::Agent(Some((of, author))), text } = &mut line.what else { continue };
            if *of == answer {
                let heard = heard.iter().find(|(of, _)| of == author).map_or(0, |(_, bytes)| *bytes);
                let mut end = heard.min(text.len());
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text.truncate(end);
            }
        }
        self.lines.retain(|line| !matches!(&line.what, What::Said { text, .. } if text.is_empty()));
    }

    /// What the user really said.
    pub(super) fn correct(&mut self, said: u32, text: &str) {
        let line = self.lines.iter_mut().find_map(|line| match &mut line.what {
            What::Said { by, text } if *by == By::User(Some(said)) => Some(text),
            _ => None,
        });
        if let Some(line) = line {
            text.clone_into(line);
            self.shorten();
        }
    }

    /// Whether the last word is a tool's, or the user's and more than a sign in this language that they listen.
    pub(super) fn is_unanswered(&self, language: Option<&str>) -> bool {
        let mut newest = self.lines.iter().rev().filter(|line| line.is_said());
        let Some(last) = newest.next() else { return false };
        match &last.what {
            What::Said { by: By::User(_), text } => {
                newest.next().is_none_or(Line::is_users) || !is_back_channel(language, text)
            }
            What::Said { by: By::Agent(_) | By::Page, .. } => false,
            What::Called { .. } | What::HasCome => true,
        }
    }

    /// Whether the last word is a tool's, or is to be.
    pub(super) fn ends_in_calls(&self) -> bool {
        self.last_said().is_some_and(|line| matches!(line.what, What::Called { .. }))
    }

    /// Whether the last word is a call of which nothing has come yet.
    pub(super) fn ends_in_open_calls(&self) -> bool {
        self.last_said().is_some_and(|line| match &line.what {
            What::Called { calls, .. } => calls.iter().any(|call| call.output.is_none()),
            What::Said { .. } | What::HasCome => false,
        })
    }

    /// What a model is told: how it is to behave, and what was said.
    pub(super) fn messages(&self, instructions: &str) -> Vec<Message> {
        let system = (!instructions.is_empty()).then(|| Message::System(instructions.to_owned()));
        let mut messages: Vec<Message> = system.into_iter().collect();
        for line in &self.lines {
            match &line.what {
                What::Said { by: By::User(_), text } => messages.push(Message::User(text.clone())),
                // Only a user's message may stand anywhere in a conversation, with every provider.
                What::Said { by: By::Page, text } => {
                    let [before, behind] = FOR_INFORMATION;
                    messages.push(Message::User(format!("{before}{text}{behind}")));
                }
                What::Said { .. } if line.is_aside() => {}
                What::Said { by: By::Agent(_), text } => {
                    messages.push(Message::Assistant { text: text.clone(), calls: Vec::new() });
                }
                What::Called { calls, .. } => {
                    let told: Vec<ToolCall> = calls.iter().map(|call| call.told.clone()).collect();
                    match messages.last_mut() {
                        Some(Message::Assistant { calls, .. }) if calls.is_empty() => *calls = told,
                        _ => messages.push(Message::Assistant { text: String::new(), calls: told }),
                    }
                    messages.extend(calls.iter().map(Call::message));
                }
                What::HasCome => messages.push(Message::User(HAS_COME.to_owned())),
            }
        }
        messages
    }

    /// The same as a question, which is asked. It ends with nothing that the agent has said: models take that for words that they are to go on
    /// with, or refuse it.
    pub(super) fn question(&mut self, instructions: &str) -> Vec<Message> {
        let mut messages = self.messages(instructions);
        for line in &mut self.lines {
            if let What::Called { calls, .. } = &mut line.what {
                calls.iter_mut().for_each(|call| call.is_known |= call.output.is_some());
            }
        }
        if matches!(messages.last(), Some(Message::Assistant { .. })) {
            let is_models = self.last_said().is_some_and(Line::is_models);
            messages.push(Message::User(if is_models { HAD_SAID_MORE } else { STILL_WAITS }.to_owned()));
        }
        messages
    }

    /// What a model would be told if the user said this next.
    pub(super) fn messages_with(&self, instructions: &str, next: &str) -> Vec<Message> {
        let mut messages = self.messages(instructions);
        messages.push(Message::User(next.to_owned()));
        messages
    }

    fn last_said(&self) -> Option<&Line> {
        self.lines.iter().rev().find(|line| line.is_said())
    }

    fn push(&mut self, turn: u32, by: By, text: String) {
        if !text.is_empty() {
            self.lines.push_back(Line { turn, what: What::Said { by, text } });
            self.shorten();
        }
    }

    /// Forgets the older half once there is more than a model is told: what comes before an exchange that begins there, except for calls of which
    /// no model knows yet what came. Should the newest exchange alone be more than that, the older half of its lines is forgotten, and first of
    /// those that the page has added.
    fn shorten(&mut self) {
        let mut bytes: usize = self.lines.iter().map(Line::bytes).sum();
        if bytes <= self.most {
            return;
        }
        let mut stays = Vec::new();
        while let Some(next) = self.next_exchange()
            && bytes > self.most / 2
        {
            for line in self.lines.drain(..next) {
                bytes -= line.bytes();
                stays.extend(line.unknown_calls());
            }
        }
        for line in stays.into_iter().rev() {
            bytes += line.bytes();
            self.lines.push_front(line);
        }
        for oldest in [Memory::oldest_of_page, Memory::oldest_said] {
            let is_too_much = bytes > self.most;
            while is_too_much
                && bytes > self.most / 2
                && let Some(line) = oldest(self).and_then(|place| self.lines.remove(place))
            {
                bytes -= line.bytes();
            }
        }
    }

    /// What the page has added, but for the newest of it.
    fn oldest_of_page(&self) -> Option<usize> {
        self.oldest(Line::is_of_page)
    }

    /// What was said, but for the user's last words and the agent's newest answer. What was called stays, with what came of it.
    fn oldest_said(&self) -> Option<usize> {
        let newest = self.lines.iter().rposition(Line::is_agents);
        let answer = newest.and_then(|newest| self.lines[newest].answer());
        let agents = self.lines.iter().enumerate().position(|(place, line)| {
            line.is_agents() && Some(place) != newest && (answer.is_none() || line.answer() != answer)
        });
        agents.into_iter().chain(self.oldest(Line::is_users)).min()
    }

    /// Where the oldest of these lines is, if there is a newer one.
    fn oldest(&self, is_it: impl Fn(&Line) -> bool) -> Option<usize> {
        let oldest = self.lines.iter().position(&is_it)?;
        (self.lines.iter().rposition(is_it)? > oldest).then_some(oldest)
    }

    /// Where the second exchange begins: the user speaks after the agent has, or after a tool. What the page has added since belongs to it.
    fn next_exchange(&self) -> Option<usize> {
        let lines = self.lines.iter().enumerate().filter(|(_, line)| !line.is_of_page());
        let mut pairs = lines.clone().zip(lines.skip(1));
        let ((before, _), _) =
            pairs.find(|((_, before), (_, line))| !before.is_users() && line.is_users())?;
        Some(before + 1)
    }
}

impl Line {
    fn is_users(&self) -> bool {
        matches!(self.what, What::Said { by: By::User(_), .. })
    }

    fn is_agents(&self) -> bool {
        matches!(self.what, What::Said { by: By::Agent(_), .. })
    }

    /// Whether a model has written it in this call.
    fn is_models(&self) -> bool {
        matches!(self.what, What::Said { by: By::Agent(Some((_, Author::Model(_)))), .. })
    }

    /// Which answer of this call it is of.
    fn answer(&self) -> Option<u32> {
        match self.what {
            What::Said { by: By::Agent(of), .. } => of.map(|(answer, _)| answer),
            What::Said { .. } | What::Called { .. } | What::HasCome => None,
        }
    }

    /// Whether somebody who takes part has said it, or has called something.
    fn is_said(&self) -> bool {
        !self.is_aside() && !self.is_of_page()
    }

    fn is_of_page(&self) -> bool {
        matches!(self.what, What::Said { by: By::Page, .. })
    }

    fn is_aside(&self) -> bool {
        matches!(self.what, What::Said { by: By::Agent(Some((_, Author::Aside))), .. })
    }

    /// What stays of it when its exchange is forgotten: the calls of which no model knows yet what came.
    fn unknown_calls(self) -> Option<Line> {
        let What::Called { step, mut calls } = self.what else { return None };
        calls.retain(|call| !call.is_known);
        (!calls.is_empty()).then_some(Line { turn: self.turn, what: What::Called { step, calls } })
    }

    fn bytes(&self) -> usize {
        let told = match &self.what {
            What::Said { by: By::Page, text } => {
                text.len() + FOR_INFORMATION.iter().map(|part| part.len()).sum::<usize>()
            }
            What::Said { text, .. } => text.len(),
            What::Called { calls, .. } => calls.iter().map(Call::bytes).sum(),
            What::HasCome => HAS_COME.len(),
        };
        told + MESSAGE_BYTES
    }
}

impl Call {
    fn new(called: &Called, output: Option<ToolOutput>) -> Call {
        let Called { call_id, model_id, name, arguments, .. } = called.clone();
        // Another relay may have told a model of what it has kept.
        let is_known = output.is_some();
        Call { call_id, told: ToolCall { id: model_id, name, arguments }, output, is_known }
    }

    fn bytes(&self) -> usize {
        self.told.bytes() + self.output.as_ref().map_or(STILL_RUNS.len(), |output| output.output.len())
    }

    /// What a model is told of what came of it.
    fn message(&self) -> Message {
        let call_id = self.told.id.clone();
        match &self.output {
            Some(ToolOutput { output, is_error }) => {
                Message::ToolOutput { call_id, output: output.clone(), is_error: *is_error }
            }
            None => Message::ToolOutput { call_id, output: STILL_RUNS.to_owned(), is_error: false },
        }
    }
}
