//! One item: the agent speaks, the user does what the item says, and something becomes of the answer.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use relay::agent::{Agent as _, AgentInput, AgentOutput, Conversation, Persona, Team, TurnTaking};
use relay::money::bill::Billing;
use relay::money::tab::RequestId;
use relay::provider::{Answer, Ask, Event, Failure, FailureKind, Heard, Service, Skills, Sound, TurnSign};

use super::Outcome;
use super::noise::{Random, room};
use super::recogniser::{Recogniser, Word, delay, misheard, words_of};
use super::set::{Item, Kind};
use super::sound::ratio;
use super::voice::Agent;

/// Time goes by in steps of 10 ms; a chunk of the user's is ten of them.
const STEP: u32 = 160;
const CHUNK: u32 = 1_600;
/// When the user asks, and the agent begins to answer: the ears know the noise of the room by then.
const ASKS: u32 = 32_000;
/// How much sound of the agent is under way to the user, at most: 2 s.
const LEAD: usize = 32_000;
/// When what was played comes back to the microphone: after 150 ms.
const ECHO_DELAY: usize = 2_400;
/// How loud it comes back, in dB: where that is the item, and in every other one.
const ECHO_LOUD: f32 = -20.0;
const ECHO_SOFT: f32 = -30.0;
/// How long what has been heard may still change what becomes of the answer: 8 s.
const AFTERWARDS: u32 = 128_000;
/// Where nobody hears, an answer that is held for longer than this, 5.25 s, waits for words: no other hold is as long.
const WAITS: u32 = 84_000;
/// A scene ends here in any case: 90 s.
const LONGEST: u32 = 1_440_000;
/// A turn is over so long after its last word, and a recogniser of utterances answers so late.
const ENDPOINT: u32 = 4_800;
const RECOGNITION: Duration = Duration::from_millis(400);
/// A recogniser's own voice activity takes so long.
const SIGN: u32 = 4_000;

/// What has become of the answer: milliseconds are since the first sample of the item.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) held_ms: Option<u32>,
    /// When it was cut. Where nobody hears: when it was held, if it has waited for words.
    pub(crate) cut_ms: Option<u32>,
    /// It was held and went on.
    pub(crate) went_on: bool,
    /// What was heard became a turn of the user's.
    pub(crate) is_turn: bool,
    /// The last words that a recogniser has told.
    pub(crate) heard: String,
}

/// Plays an item.
pub(crate) fn play(
    item: &Item,
    agent: &Agent,
    recogniser: &mut Recogniser,
    interrupted_after: Duration,
) -> Outcome<Fate> {
    let mut scene = Scene::new(item, agent, recogniser, interrupted_after);
    while !scene.is_over() {
        scene.step()?;
    }
    Ok(scene.fate)
}

struct Scene<'a> {
    item: &'a Item,
    voices: &'a Agent,
    recogniser: &'a mut Recogniser,
    agent: Conversation,
    /// Where the user's timeline stands.
    position: u32,
    /// Where the item begins.
    begins: u32,
    /// The chunk that is being recorded, and the noise in it.
    chunk: Vec<i16>,
    random: Random,
    noise: f32,
    /// Sound of the agent that is under way, and all that was played, silence included.
    queue: VecDeque<i16>,
    played: Vec<i16>,
    /// Words that can be heard, and how many of them were told.
    words: Vec<Word>,
    told: usize,
    /// Words of the agent that come back, by where in its sound they end.
    own_words: VecDeque<(u32, Word)>,
    own_sound: u32,
    own_played: u32,
    sentences: usize,
    answer: Standing,
    listens: Option<RequestId>,
    signed: bool,
    /// Where it was held last.
    held_at: u32,
    due: Vec<(Time, RequestId, Event)>,
    fate: Fate,
    ended: Option<u32>,
}

/// How the answer stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Awaited,
    Sounding,
    Held,
    /// Nothing more comes of it.
    Whole,
    Over,
}

impl<'a> Scene<'a> {
    fn new(
        item: &'a Item,
        voices: &'a Agent,
        recogniser: &'a mut Recogniser,
        interrupted_after: Duration,
    ) -> Scene<'a> {
        let skills = |service, is_fed, billing| Skills { service, is_fed, billing };
        let ears = skills(Service::SpeechToText, recogniser.is_fed(), Billing::Seconds);
        let voice = skills(Service::TextToSpeech, false, Billing::Characters);
        let team = Team {
            recognisers: vec![(0, ears)],
            models: vec![1],
            voices: vec![(2, voice)],
            ..Team::default()
        };
        let language = Some(item.language.to_owned());
        let persona = Persona {
            turn_taking: TurnTaking { interrupted_after, language, ..TurnTaking::default() },
            ..Persona::default()
        };
        let begins = ASKS + 24_000 + (item.seed() >> 8) as u32 % 32_000;
        Scene {
            words: recogniser.words_in(item, begins),
            agent: Conversation::new(persona, team, 16_000, 0, &[]),
            position: 0,
            begins,
            chunk: Vec::new(),
            random: Random::new(item.seed()),
            noise: 0.0,
            queue: VecDeque::new(),
            played: Vec::new(),
            told: 0,
            own_words: VecDeque::new(),
            own_sound: 0,
            own_played: 0,
            sentences: 1,
            answer: Standing::Awaited,
            listens: None,
            signed: false,
            held_at: 0,
            due: Vec::new(),
            fate: Fate::default(),
            ended: None,
            item,
            voices,
            recogniser,
        }
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::from(self.position) * 1_000 / 16)
    }

    fn is_over(&self) -> bool {
        let last = match self.item.kind {
            Kind::OwnVoice => self.ended.map_or(LONGEST, |ended| ended + CHUNK * 30),
            _ => self.begins + self.item.sound.len() as u32 + AFTERWARDS,
        };
        self.fate.cut_ms.is_some() || self.position >= last
    }

    /// 10 ms.
    fn step(&mut self) -> Outcome<()> {
        self.play_on();
        self.record();
        self.position += STEP;
        if self.agent.poll_timeout().is_some_and(|due| due <= self.now()) {
            self.input(AgentInput::Timeout)?;
        }
        if self.position == ASKS {
            self.input(AgentInput::Typed { position: ASKS, text: "Tell me about my booking." })?;
        }
        if self.position.is_multiple_of(CHUNK) {
            let chunk = std::mem::take(&mut self.chunk);
            self.input(AgentInput::Audio { position: self.position - CHUNK, samples: &chunk })?;
        }
        self.tell_words()?;
        while let Some(index) = self.due.iter().position(|(due, ..)| *due <= self.now()) {
            let (_, request, event) = self.due.remove(index);
            self.input(AgentInput::Event { request, event: &event })?;
        }
        let room = LEAD.saturating_sub(self.queue.len()) as u32;
        if self.answer == Standing::Sounding && room >= CHUNK {
            self.input(AgentInput::Room { samples: room })?;
        }
        if self.answer == Standing::Whole && self.queue.is_empty() {
            self.answer = Standing::Over;
            self.ended = Some(self.position);
            self.input(AgentInput::AnswerOver { answer: 0, heard: usize::MAX })?;
        }
        Ok(())
    }

    /// The user hears 10 ms of the agent, or silence.
    fn play_on(&mut self) {
        let count = if self.answer == Standing::Held { 0 } else { self.queue.len().min(STEP as usize) };
        self.played.extend(self.queue.drain(..count));
        self.own_played += count as u32;
        self.played.resize((self.position + STEP) as usize, 0);
        let heard = self.position + STEP + ECHO_DELAY as u32;
        while self.own_words.front().is_some_and(|(end, _)| *end <= self.own_played) {
            if let Some((_, mut word)) = self.own_words.pop_front() {
                let length = word.end - word.start;
                (word.start, word.end) = (heard - length, heard);
                self.words.push(word);
            }
        }
    }

    /// The microphone has 10 ms of the item, of the agent, and of the room.
    fn record(&mut self) {
        let is_own = self.item.kind == Kind::OwnVoice;
        let echo = match (is_own, self.item.seed() & 2) {
            (true, _) => ratio(ECHO_LOUD),
            (false, 0) => ratio(ECHO_SOFT),
            (false, _) => 0.0,
        };
        let loud = ratio(self.item.room) * 32_768.0;
        for at in self.position..self.position + STEP {
            let own = at.checked_sub(self.begins).and_then(|at| self.item.sound.get(at as usize));
            let back = (at as usize).checked_sub(ECHO_DELAY).and_then(|at| self.played.get(at));
            let sample = f32::from(own.copied().unwrap_or(0))
                + echo * f32::from(back.copied().unwrap_or(0))
                + loud * room(&mut self.random, &mut self.noise);
            self.chunk.push(sample.clamp(-32_768.0, 32_767.0) as i16);
        }
    }

    /// A stream says what it has heard by now.
    fn tell_words(&mut self) -> Outcome<()> {
        let is_stream = matches!(self.recogniser, Recogniser::Stream { .. });
        let Some(request) = self.listens.filter(|_| is_stream) else { return Ok(()) };
        if self.item.kind != Kind::OwnVoice && !self.signed && self.position >= self.begins + SIGN {
            self.signed = true;
            let began = Event::Turn(TurnSign::Began { at: self.begins });
            self.input(AgentInput::Event { request, event: &began })?;
        }
        let Some(word) = self.words.get(self.told) else { return Ok(()) };
        let late = delay(&format!("{} {}", self.item.name(), self.told));
        if self.position < word.end + late {
            return Ok(());
        }
        self.told += 1;
        let is_first = self.told < 2 || self.words[self.told - 2].sentence != word.sentence;
        // A recogniser's own voice activity does not know whose voice it is.
        let began = (self.item.kind == Kind::OwnVoice && is_first).then_some(word.start);
        let heard = |is_final| {
            let sentence = self.words[..self.told].iter().filter(|other| other.sentence == word.sentence);
            let start = sentence.clone().next().map_or(word.start, |first| first.start);
            let text = sentence.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            Event::Heard(Heard { text, start, end: word.end, words_end: None, is_final })
        };
        let (now, whole) = (heard(false), word.is_last.then(|| heard(true)));
        if let Some(at) = began {
            let began = Event::Turn(TurnSign::Began { at });
            self.input(AgentInput::Event { request, event: &began })?;
        }
        self.input(AgentInput::Event { request, event: &now })?;
        if let Some(whole) = whole {
            let due = self.now() + Duration::from_millis(u64::from(ENDPOINT / 16));
            self.due.extend([(due, request, whole), (due, request, Event::Turn(TurnSign::Over))]);
        }
        Ok(())
    }

    fn input(&mut self, input: AgentInput<'_>) -> Outcome<()> {
        if let AgentInput::Event { event: Event::Heard(heard), .. } = &input
            && !self.fate.is_turn
        {
            self.fate.heard.clone_from(&heard.text);
        }
        self.agent.handle_input(self.now(), input);
        while let Some(output) = self.agent.poll_output() {
            self.handle_output(output)?;
        }
        Ok(())
    }

    fn handle_output(&mut self, output: AgentOutput) -> Outcome<()> {
        let millis = self.position.saturating_sub(self.begins) / 16;
        match output {
            AgentOutput::Ask { request, ask, .. } => self.handle_ask(request, ask)?,
            AgentOutput::Sound(samples) => self.queue.extend(samples),
            AgentOutput::Words { .. } if self.answer == Standing::Awaited => self.answer = Standing::Sounding,
            AgentOutput::AnswerEnd if self.answer != Standing::Over => self.answer = Standing::Whole,
            AgentOutput::Hold(true) => {
                self.answer = Standing::Held;
                self.held_at = self.position;
                self.fate.held_ms.get_or_insert(millis);
            }
            AgentOutput::Hold(false) => {
                self.answer = Standing::Sounding;
                self.fate.went_on = true;
                if matches!(self.recogniser, Recogniser::Nobody) && self.position > self.held_at + WAITS {
                    self.fate.cut_ms = Some(self.held_at.saturating_sub(self.begins) / 16);
                }
            }
            AgentOutput::Cut => {
                self.queue.clear();
                self.fate.cut_ms = Some(millis);
            }
            AgentOutput::Said { .. } if self.position > ASKS => {
                self.fate.is_turn = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_ask(&mut self, request: RequestId, ask: Ask) -> Outcome<()> {
        let now = self.now();
        let finished = Event::Finished(Answer::default());
        match ask {
            Ask::Chat(_) if self.answer == Standing::Awaited => {
                self.due.extend([(now, request, Event::Text(Agent::answer())), (now, request, finished)]);
            }
            Ask::Chat(_) => {}
            Ask::Speak(text) => {
                let samples = self.voices.sound(self.item.seed() >> 4, &text)?.to_vec();
                if self.item.kind == Kind::OwnVoice {
                    let end = self.own_sound + samples.len() as u32;
                    let words =
                        words_of(&text, self.own_sound, end, self.sentences).into_iter().map(|word| {
                            let heard = misheard(&word.text, &format!("{} {}", self.item.name(), word.start));
                            (word.end, Word { text: heard, ..word })
                        });
                    self.own_words.extend(words);
                    (self.own_sound, self.sentences) = (end, self.sentences + 1);
                }
                let sound = Event::Sound(Sound { rate: 16_000, samples });
                self.due.extend([(now, request, sound), (now, request, finished)]);
            }
            Ask::Listen if matches!(self.recogniser, Recogniser::Nobody) => {
                let failed = Event::Failed(Failure::new(FailureKind::Connection, "nobody hears"));
                self.due.push((now, request, failed));
            }
            Ask::Listen => self.listens = Some(request),
            Ask::Transcribe(samples) => {
                let text = match self.recogniser {
                    Recogniser::Sphinx(sphinx) => sphinx.hear(&samples)?,
                    _ => self.words_of_utterance(samples.len() as u32),
                };
                let heard =
                    Heard { text, start: 0, end: samples.len() as u32, words_end: None, is_final: true };
                let due = now + RECOGNITION;
                self.due.extend([(due, request, Event::Heard(heard)), (due, request, finished)]);
            }
            other => return Err(format!("nobody here can {other:?}").into()),
        }
        Ok(())
    }

    /// What is said in an utterance of this length that was just over.
    fn words_of_utterance(&self, length: u32) -> String {
        let begins = self.position.saturating_sub(length + 9_600 + CHUNK);
        let heard = self.words.iter().filter(|word| word.end > begins && word.start < self.position);
        heard.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}
