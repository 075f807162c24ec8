//! What an agent was told and did, beside the agent: the truth that records are compared with.

mod charged;
mod cuts;
mod in_vain;
mod voices;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{Ability, ErrorCode, Time};
use relay::agent::{Agent, AgentInput, AgentOutput};
use relay::money::bill::{AtMost, Quantity};
use relay::money::tab::RequestId;
use relay::provider::{Ask, Chat, Event, Message, ToolCall};

use crate::voice::Script;
use charged::Listening;
use cuts::Cuts;
use in_vain::InVain;
use voices::Voices;
use waiting::Waiting;
pub(crate) use waiting::{FILLER, Patience, TOLD_TO_SAY};

/// Of whom no words come for so long, nobody waits for more.
const GOES_ON_WITHIN: Duration = Duration::from_secs(10);
/// A turn of so many samples may have been as long as turns may be: its answer is owed, whoever speaks.
const LONG_TURN: u32 = 16_000;

/// What one agent of one session in one epoch was told and did.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Audio that it heard, as places in the user's timeline. What it was given while it said that nobody hears the user is no part of that.
    pub(crate) heard: Vec<(u32, u32)>,
    /// That part.
    pub(crate) unheard: Vec<(u32, u32)>,
    is_deaf: bool,
    /// Samples that it was given.
    pub(crate) samples: u64,
    /// By recogniser that hears all of the call: for how much of that the user is charged.
    pub(crate) listening: Listening,
    /// Utterances that were billed for nothing.
    in_vain: InVain,
    pub(crate) gaps: Vec<(u32, u32)>,
    pub(crate) typed: Vec<String>,
    /// Requests that it asked for: of which provider, and what they use at most.
    pub(crate) asked: BTreeMap<RequestId, (usize, AtMost)>,
    /// What it expected to ask for, each time that it said so.
    pub(crate) expected: Vec<Vec<(usize, AtMost)>>,
    /// What it said that they used.
    pub(crate) spent: BTreeMap<RequestId, Option<Quantity>>,
    /// Those of them that are estimates.
    pub(crate) estimated: Vec<RequestId>,
    /// Its answers, in the order in which they began.
    pub(crate) answers: Vec<Given>,
    /// Turns of the user that became longer when they seemed to be over.
    pub(crate) longer: u64,
    /// Turns that the user began to speak and that are not over, oldest first: where each began, and what was typed since.
    begun: VecDeque<(u32, Vec<String>)>,
    /// What is said goes on with a turn that seemed to be over.
    goes_on: bool,
    /// Texts that were typed after the user had begun to speak: where the words of that begin, and the text.
    pub(crate) overtaken: Vec<(u32, String)>,
    /// What has come of its calls of tools, by their arguments, as it told a model.
    outputs: BTreeMap<String, String>,
    /// What the turns say that it began with.
    pub(crate) earlier: Vec<String>,
    /// What the user seems to be saying, and when words of it came last.
    saying: Option<(Time, String)>,
    /// What the user said last was typed, or the answer to a turn that was too long is still to come: that is answered at once.
    is_urgent: bool,
    /// The answer to a turn that was too long has not begun.
    is_owed: bool,
    /// What a model was asked last, without what the user did not say.
    question: Vec<Message>,
    /// What the user has said or typed and has no answer.
    pub(crate) waiting: Waiting,
    /// What it was told to say and did not get to: that is in the record, in writing.
    pub(crate) unsaid: Vec<String>,
    /// Answers that were dropped where they were, and why.
    pub(crate) cuts: Cuts,
    /// What voices have spoken.
    pub(crate) voices: Voices,
    /// Answers that were held and went on, since nobody had interrupted.
    pub(crate) went_on: u64,
    /// How often it found that somebody speaks, where it listens and does not know the script.
    pub(crate) found: u64,
    /// The call ends.
    has_left: bool,
    /// It says its last words.
    has_parted: bool,
    /// What it heard last ends here.
    at: u32,
    now: Time,
    /// What is wrong, if anything is.
    pub(crate) error: Option<String>,
}

/// An answer as the agent gave it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// Its words.
    words: String,
    /// Where in its sound each piece of them begins, and with which byte.
    pieces: Vec<(u32, usize)>,
    /// How many bytes of them were heard, once it is over.
    heard: Option<usize>,
    /// Samples of its sound.
    pub(crate) samples: u32,
    /// All of it was given, and then nothing of it was taken back.
    pub(crate) is_whole: bool,
    is_over: bool,
    /// When it was dropped where it was, if the call went on after that.
    pub(crate) cut: Option<Time>,
    /// It was being given when the call ended.
    is_ended: bool,
}

impl Given {
    /// Whether this can be what is left of its words for somebody who has heard so many samples of its sound: no piece that had not begun by then,
    /// and all of those that were over.
    pub(crate) fn is_heard_as(&self, text: &str, samples: u32) -> bool {
        let begun = self.pieces.partition_point(|(start, _)| *start < samples);
        let at_most = self.pieces.get(begun).map_or(self.words.len(), |(_, byte)| *byte);
        let at_least =
            begun.checked_sub(1).and_then(|last| self.pieces.get(last)).map_or(0, |(_, byte)| *byte);
        (at_least..=at_most).contains(&text.len())
    }

    /// Whether it was broken off, and what nobody had heard of it by then was never heard.
    pub(crate) fn is_broken_off(&self) -> bool {
        self.cut.is_some() || self.is_ended
    }

    /// Whether these are its words or its first ones.
    pub(crate) fn gave(&self, text: &str) -> bool {
        self.samples > 0 && self.words.starts_with(text)
    }
}

/// What a tool gives for these arguments.
pub(crate) fn tool_output(arguments: &str) -> String {
    format!("of {arguments}")
}

/// The log of an agent, shared with whoever compares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Log>>);

impl Shared {
    pub(crate) fn at(position: u32) -> Shared {
        Shared(Arc::new(Mutex::new(Log { at: position, ..Log::default() })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An agent that is watched.
pub(crate) struct Watched {
    pub(crate) agent: Box<dyn Agent>,
    /// It begins an answer when the one before it was heard, or cut.
    pub(crate) takes_turns: bool,
    pub(crate) log: Shared,
    pub(crate) script: Script,
}

impl Log {
    fn hear(&mut self, position: u32, samples: &[i16], script: &Script) {
        if position != self.at {
            self.wrong(format!("audio at {position} after {}", self.at));
        }
        let end = position + samples.len() as u32;
        for index in [0, samples.len() / 3, samples.len() / 2, samples.len() - 1] {
            let place = position + index as u32;
            if samples[index] != script.sample(place) {
                self.wrong(format!("another sample at {place} than was said"));
            }
        }
        let ranges = if self.is_deaf { &mut self.unheard } else { &mut self.heard };
        match ranges.last_mut().filter(|(_, end)| *end == position) {
            Some(last) => last.1 = end,
            None => ranges.push((position, end)),
        }
        self.samples += samples.len() as u64;
        if !self.is_deaf {
            self.listening.hear(samples.len() as u64);
        }
        self.at = end;
    }

    /// What a model is told: of each call one output, directly behind it, which is the call's own and stays.
    fn ask(&mut self, chat: &Chat) {
        let mut open: VecDeque<&ToolCall> = VecDeque::new();
        for message in &chat.messages {
            let Message::ToolOutput { output, is_error, .. } = message else {
                if let Some(call) = open.pop_front() {
                    return self.wrong(format!("no output of {call:?}"));
                }
                if let Message::Assistant { calls, .. } = message {
                    open.extend(calls);
                }
                continue;
            };
            let Some(call) = open.pop_front() else {
                return self.wrong(format!("{output} is of no call"));
            };
            if output.starts_with("The tool is still running") {
                if self.outputs.contains_key(&call.arguments) {
                    self.wrong(format!("{call:?} runs again"));
                }
                continue;
            }
            if !is_error && *output != tool_output(&call.arguments) {
                self.wrong(format!("{output} is not of {call:?}"));
            }
            let before = self.outputs.entry(call.arguments.clone()).or_insert_with(|| output.clone());
            if before != output {
                let was = before.clone();
                self.wrong(format!("{output} came of {call:?} after {was}"));
            }
        }
        if let Some(call) = open.pop_front() {
            self.wrong(format!("no output of {call:?}"));
        }
    }

    /// What a model is told that the agent has said was heard.
    fn recall(&mut self, chat: &Chat) {
        let said = chat.messages.iter().filter_map(|message| match message {
            Message::Assistant { text, .. } if !text.trim().is_empty() => Some(text.trim()),
            _ => None,
        });
        for text in said {
            let is_known = self.earlier.iter().any(|earlier| earlier.contains(text));
            let is_own = !is_known && self.answers.iter().any(|given| given.words.contains(text));
            let is_heard = |given: &Given| {
                let heard = given.heard.unwrap_or(given.words.len());
                given.words.get(..heard).is_some_and(|words| words.contains(text))
            };
            if is_own && !self.answers.iter().any(is_heard) {
                let text = text.to_owned();
                return self.wrong(format!("{text:?} was not heard, and a model is told that it was said"));
            }
        }
    }

    /// No model is asked while the user goes on speaking, since it would be asked anew with the rest: except about what was typed, or came of a
    /// tool, in case that the turn is over, or the same once more.
    fn wait(&mut self, chat: &Chat) {
        let is_said = |message: &&Message| !matches!(message, Message::User(text) if text.starts_with("[For your information"));
        let question: Vec<Message> = chat.messages.iter().filter(is_said).cloned().collect();
        let Some((_, saying)) =
            self.saying.as_ref().filter(|(since, _)| self.now.since(*since) < GOES_ON_WITHIN)
        else {
            self.question = question;
            return;
        };
        let may_be_asked = match question.last() {
            Some(Message::User(text)) => self.is_urgent || text == saying || self.question == question,
            _ => true,
        };
        if !may_be_asked {
            let what = format!("a model is asked {:?} while the user says {saying:?}", question.last());
            self.wrong(what);
        }
        self.question = question;
    }

    /// What it says of the user's words as they come.
    fn follow(&mut self, output: &AgentOutput) {
        if matches!(
            output,
            AgentOutput::Partial { .. } | AgentOutput::Said { .. } | AgentOutput::Typed { .. }
        ) {
            self.waiting.hear();
            self.cuts.say();
        }
        match output {
            AgentOutput::Partial { text, .. } => self.saying = Some((self.now, text.clone())),
            AgentOutput::Said { start, end, .. } => {
                self.saying = None;
                self.is_owed |= end.saturating_sub(*start) >= LONG_TURN;
                self.is_urgent = self.is_owed;
            }
            AgentOutput::Remarked { .. } | AgentOutput::TurnDropped { .. } => self.saying = None,
            AgentOutput::Typed { .. } => self.is_urgent = true,
            AgentOutput::Words { .. } | AgentOutput::Trouble(_) => self.is_owed = false,
            _ => {}
        }
    }

    /// What it says of the user's turns: who begins to speak before a text is typed has taken a turn before that.
    fn take_turns(&mut self, output: &AgentOutput) {
        match output {
            AgentOutput::TurnBegan { at } => self.begun.push_back((*at, Vec::new())),
            AgentOutput::TurnDropped { at } => self.begun.retain(|(began, _)| began != at),
            AgentOutput::TurnGoesOn => {
                self.goes_on = true;
                self.begun.pop_front();
            }
            AgentOutput::Partial { start, .. } if self.begun.is_empty() && !self.goes_on => {
                self.begun.push_back((*start, Vec::new()));
            }
            AgentOutput::Typed { text, .. } => {
                self.begun.iter_mut().for_each(|(_, typed)| typed.push(text.clone()));
            }
            AgentOutput::Said { start, .. } | AgentOutput::Remarked { start, .. } => {
                if !std::mem::take(&mut self.goes_on)
                    && let Some((_, typed)) = self.begun.pop_front()
                {
                    self.overtaken.extend(typed.into_iter().map(|text| (*start, text)));
                }
            }
            _ => {}
        }
    }

    /// What the user seemed to say for longer than this, of which nothing has become: no turn, and nothing at all.
    pub(crate) fn is_left_unsaid(&self, now: Time, patience: Duration) -> Option<&str> {
        let saying = self.saying.as_ref().filter(|(since, _)| now.since(*since) > patience);
        saying.map(|(_, words)| words.as_str())
    }

    fn wrong(&mut self, what: String) {
        self.error.get_or_insert(what);
    }
}

impl Agent for Watched {
    fn rate(&self) -> u32 {
        self.agent.rate()
    }

    fn handle_input(&mut self, now: Time, input: AgentInput<'_>) {
        let mut log = self.log.lock();
        log.now = log.now.max(now);
        let tells_it = matches!(input, AgentInput::Say { interrupt: true, .. });
        if !log.cuts.begin(tells_it) && self.takes_turns {
            log.wrong("an answer was cut, and nobody had said a word".to_owned());
        }
        if let Some(text) = log.voices.begin() {
            log.wrong(format!("a voice broke off in {text:?}, and nobody says the rest of it"));
        }
        if let AgentInput::Event { request, event } = input {
            log.voices.hear(request, event);
        }
        match input {
            AgentInput::Audio { position, samples } => log.hear(position, samples, &self.script),
            AgentInput::Gap { position, end } => {
                if position != log.at || end < position {
                    let at = log.at;
                    log.wrong(format!("a gap from {position} to {end} at {at}"));
                }
                log.gaps.push((position, end));
                log.at = end;
            }
            AgentInput::Typed { position, text } => {
                if position != log.at {
                    let at = log.at;
                    log.wrong(format!("a text at {position} and not at {at}"));
                }
                log.typed.push(text.to_owned());
            }
            AgentInput::AnswerOver { answer, heard } => {
                let is_ended = log.has_left;
                if let Some(given) = log.answers.get_mut(answer as usize) {
                    (given.is_over, given.heard, given.is_ended) = (true, Some(heard), is_ended);
                }
            }
            AgentInput::TakenBack { answer, heard } => match log.answers.get_mut(answer as usize) {
                Some(given) if given.is_over && Some(heard) < given.heard => given.heard = Some(heard),
                _ => log.wrong(format!("{heard} bytes stay of answer {answer}, of which no more was heard")),
            },
            // Who has put the call on hold waits for nothing.
            AgentInput::OnHold(_) => log.waiting.forget(),
            AgentInput::Farewell => {
                log.waiting.forget();
                log.has_parted = true;
            }
            AgentInput::Leave => {
                log.waiting.forget();
                log.has_left = true;
                // The call had ended by then.
                let now = log.now;
                if let Some(given) = log.answers.last_mut() {
                    given.cut = given.cut.filter(|cut| *cut < now);
                }
            }
            AgentInput::Event { request, event: Event::Ready | Event::Heard(_) | Event::Turn(_) } => {
                // What hears all of a call uses nothing of its own.
                let is_stream = matches!(log.asked.get(&request), Some((_, AtMost::Nothing)));
                if is_stream && !log.spent.contains_key(&request) {
                    log.listening.begin(request);
                }
            }
            // A question that makes way for that is asked anew.
            AgentInput::Say { interrupt: true, .. } => log.waiting.hear(),
            AgentInput::Pause
            | AgentInput::BargeIn
            | AgentInput::Say { .. }
            | AgentInput::Context { .. }
            | AgentInput::Variables { .. }
            | AgentInput::Corrected { .. }
            | AgentInput::ToolResult { .. }
            | AgentInput::Room { .. }
            | AgentInput::Event { .. }
            | AgentInput::Means { .. }
            | AgentInput::HandOver
            | AgentInput::Timeout => {}
        }
        drop(log);
        self.agent.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<AgentOutput> {
        let output = self.agent.poll_output()?;
        let mut log = self.log.lock();
        log.take_turns(&output);
        log.follow(&output);
        match &output {
            AgentOutput::Ask { request, provider, at_most, ask } => {
                if let Ask::Chat(chat) = ask {
                    log.ask(chat);
                    log.recall(chat);
                    if self.takes_turns {
                        log.wait(chat);
                        let now = log.now;
                        if !log.waiting.ask(now, chat) {
                            let what = "models are asked again and again, and nothing is answered";
                            log.wrong(what.to_owned());
                        }
                    }
                }
                if let Ask::Speak(text) = ask {
                    log.voices.ask(*request, text);
                }
                if let Ask::Transcribe(speech) = ask {
                    log.in_vain.ask(*request, *provider, speech);
                }
                log.asked.insert(*request, (*provider, *at_most));
            }
            AgentOutput::Expect(requests) => log.expected.push(requests.clone()),
            AgentOutput::Spent { request, used, estimated, .. } => {
                if *estimated {
                    log.estimated.push(*request);
                }
                if !log.in_vain.spend(*request, *used) {
                    log.wrong(format!("request {request} is billed for an utterance once too often"));
                }
                log.listening.end(*request);
                log.voices.end(*request);
                if log.spent.insert(*request, *used).is_some() {
                    log.wrong(format!("request {request} was spent twice"));
                }
            }
            AgentOutput::TurnGoesOn => log.longer += 1,
            AgentOutput::Degraded { what: Ability::Hearing, degraded } => {
                log.is_deaf = *degraded;
                if *degraded {
                    log.listening.drop_but(0);
                }
            }
            AgentOutput::Dropped { kept, .. } => log.listening.drop_but(u64::from(*kept)),
            AgentOutput::Degraded { what: Ability::Speaking, degraded } => log.voices.mute(*degraded),
            AgentOutput::Words { text, start, .. } => {
                log.waiting.answer(text);
                if log.answers.last().is_none_or(|given| given.is_whole || given.is_over) {
                    let sounds = log.answers.last().is_some_and(|given| given.samples > 0 && !given.is_over);
                    if self.takes_turns && sounds {
                        log.wrong(format!("an answer, {text:?}, begins before the one before it is heard"));
                    }
                    log.answers.push(Given::default());
                }
                if let Some(given) = log.answers.last_mut() {
                    given.pieces.push((*start, given.words.len()));
                    given.words.push_str(text);
                }
            }
            AgentOutput::Said { text, .. } if text.trim().is_empty() => {}
            AgentOutput::Said { text, .. } | AgentOutput::Typed { text, .. } if self.takes_turns => {
                let now = log.now;
                if !log.waiting.say(now, text) {
                    log.wrong(format!("too many turns wait for an answer, and {text:?} is one more"));
                }
            }
            AgentOutput::Trouble(ErrorCode::AgentUnavailable) => log.waiting.tell_why(),
            AgentOutput::Unsaid { text, .. } => log.unsaid.push(text.clone()),
            AgentOutput::FalseInterruption => log.went_on += 1,
            AgentOutput::Sound(samples) => {
                if let Some(given) = log.answers.last_mut().filter(|given| !given.is_over) {
                    given.samples += samples.len() as u32;
                }
            }
            AgentOutput::AnswerEnd => {
                if let Some(given) = log.answers.last_mut().filter(|given| !given.is_over) {
                    given.is_whole = true;
                }
            }
            AgentOutput::Cut => {
                let cut = (!log.has_left).then_some(log.now);
                if !log.has_left && !log.has_parted {
                    log.cuts.cut();
                }
                if let Some(given) = log.answers.last_mut().filter(|given| !given.is_over) {
                    (given.is_whole, given.is_over, given.cut) = (false, true, cut);
                }
            }
            _ => {}
        }
        drop(log);
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.agent.poll_timeout()
    }

    fn is_between_turns(&self) -> bool {
        self.agent.is_between_turns()
    }

    fn room_to_say(&self) -> Option<usize> {
        self.agent.room_to_say()
    }

    fn farewell(&self) -> Option<Vec<(usize, AtMost)>> {
        self.agent.farewell()
    }
}
