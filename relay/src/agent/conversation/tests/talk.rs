//! An agent with ears, mind and mouth whose providers are asked nothing: what it asks, and what it makes of their answers.

use super::*;
use crate::money::bill::Billing;
use crate::provider::{Feed, Heard, Service, Skills, Sound, TurnSign};

pub(super) const EARS: usize = 0;
pub(super) const OTHER_EARS: usize = 1;
pub(super) const MIND: usize = 2;
pub(super) const OTHER_MIND: usize = 3;
pub(super) const MOUTH: usize = 4;
pub(super) const OTHER_MOUTH: usize = 5;

pub(super) fn skills(service: Service, is_fed: bool, billing: Billing) -> Skills {
    Skills { service, is_fed, billing }
}

/// A sound that voice activity takes for speech: so many samples.
pub(super) fn voice(samples: u32) -> Vec<i16> {
    (0..samples).map(audio::synthetic::voice).collect()
}

/// One whose recogniser hears a stream.
pub(super) fn talker() -> Conversation {
    talker_of(Persona::default(), &[])
}

/// The same, of this persona, after these turns.
pub(super) fn talker_of(persona: Persona, turns: &[Turn]) -> Conversation {
    let ears = skills(Service::SpeechToText, true, Billing::Stream);
    let mouth = skills(Service::TextToSpeech, false, Billing::Characters);
    let team = Team {
        recognisers: vec![(EARS, ears), (OTHER_EARS, ears)],
        models: vec![MIND, OTHER_MIND],
        near_cap: Vec::new(),
        voices: vec![(MOUTH, mouth), (OTHER_MOUTH, mouth)],
    };
    let persona = Persona { max_output_tokens: 100, ..persona };
    Conversation::new(persona, team, 24_000, 0, turns)
}

/// One whose recogniser is asked about one utterance at a time.
pub(super) fn hears_utterances() -> Conversation {
    let ears = skills(Service::SpeechToText, false, Billing::Seconds);
    let mouth = skills(Service::TextToSpeech, false, Billing::Characters);
    let team = Team {
        recognisers: vec![(EARS, ears)],
        models: vec![MIND],
        voices: vec![(MOUTH, mouth)],
        ..Team::default()
    };
    Conversation::new(Persona::default(), team, 24_000, 0, &[])
}

/// One with a single recogniser.
pub(super) fn hears_alone() -> Conversation {
    let team = Team {
        recognisers: vec![(EARS, skills(Service::SpeechToText, true, Billing::Stream))],
        models: vec![MIND],
        ..Team::default()
    };
    Conversation::new(Persona::default(), team, 24_000, 0, &[])
}

/// One that reads what is typed, and has a voice.
pub(super) fn reads_and_speaks() -> Conversation {
    let mouth = skills(Service::TextToSpeech, false, Billing::Characters);
    let team = Team { models: vec![MIND], voices: vec![(MOUTH, mouth)], ..Team::default() };
    Conversation::new(Persona::default(), team, 24_000, 0, &[])
}

/// An agent, and a call that plays what it says as fast as it comes.
pub(super) struct Talk {
    pub(super) agent: Conversation,
    pub(super) now: Time,
    pub(super) position: u32,
    pub(super) answers: Answers,
    /// Text and sound of the answer.
    pub(super) words: String,
    pub(super) sound: u32,
    pub(super) room: bool,
    /// What it says that it expects to ask for.
    pub(super) expected: Vec<(usize, AtMost)>,
}

impl Talk {
    pub(super) fn of(agent: Conversation) -> Talk {
        Talk {
            agent,
            now: Time::ZERO,
            position: 0,
            answers: Answers::default(),
            words: String::new(),
            sound: 0,
            room: true,
            expected: Vec::new(),
        }
    }

    pub(super) fn new() -> Talk {
        Talk::of(talker())
    }

    pub(super) fn input(&mut self, input: AgentInput<'_>) -> Vec<AgentOutput> {
        self.agent.handle_input(self.now, input);
        let mut did = Vec::new();
        loop {
            let before = did.len();
            while let Some(output) = self.agent.poll_output() {
                if let AgentOutput::Expect(requests) = output {
                    self.expected = requests;
                    continue;
                }
                match &output {
                    AgentOutput::Words { text, start, .. } => {
                        if !self.answers.is_given {
                            self.answers = Answers { begun: self.answers.begun + 1, is_given: true };
                            (self.words, self.sound) = (String::new(), 0);
                        }
                        assert_eq!(*start, self.sound, "words stand where their sound begins");
                        self.words.push_str(text);
                    }
                    AgentOutput::Sound(samples) => self.sound += samples.len() as u32,
                    AgentOutput::AnswerEnd | AgentOutput::Cut => self.answers.is_given = false,
                    _ => {}
                }
                did.push(output);
            }
            if self.answers.is_given && self.room {
                self.agent.handle_input(self.now, AgentInput::Room { samples: 2_400 });
            }
            if did.len() == before {
                return did;
            }
        }
    }

    /// 100 ms of the user.
    pub(super) fn chunk(&mut self) -> Vec<AgentOutput> {
        self.hear(&[7; 1_600])
    }

    /// Audio of the user.
    pub(super) fn hear(&mut self, samples: &[i16]) -> Vec<AgentOutput> {
        let position = self.position;
        self.position += samples.len() as u32;
        self.input(AgentInput::Audio { position, samples })
    }

    pub(super) fn event(&mut self, request: RequestId, event: &Event) -> Vec<AgentOutput> {
        self.input(AgentInput::Event { request, event })
    }

    pub(super) fn hears(
        &mut self,
        request: RequestId,
        text: &str,
        span: (u32, u32),
        is_final: bool,
    ) -> Vec<AgentOutput> {
        let heard = Heard { text: text.to_owned(), start: span.0, end: span.1, words_end: None, is_final };
        self.event(request, &Event::Heard(heard))
    }

    pub(super) fn over(&mut self, request: RequestId) -> Vec<AgentOutput> {
        self.event(request, &Event::Turn(TurnSign::Over))
    }

    pub(super) fn thinks(&mut self, request: RequestId, text: &str) -> Vec<AgentOutput> {
        self.event(request, &Event::Text(text.to_owned()))
    }

    pub(super) fn finishes(&mut self, request: RequestId) -> Vec<AgentOutput> {
        self.event(request, &Event::Finished(Answer::default()))
    }

    pub(super) fn fails(&mut self, request: RequestId, kind: FailureKind) -> Vec<AgentOutput> {
        self.event(request, &Event::Failed(Failure::new(kind, "why")))
    }

    /// Whether recognisers that have all failed are waited for.
    pub(super) fn waits_for_ears(&self) -> bool {
        self.agent.hearing.as_ref().is_some_and(|hearing| hearing.poll_timeout().is_some())
    }

    /// The time comes at which they are asked again.
    pub(super) fn asks_ears_again(&mut self) -> Vec<AgentOutput> {
        let due = self.agent.hearing.as_ref().and_then(Hearing::poll_timeout);
        self.now = self.now.max(due.expect("somebody is asked again"));
        self.input(AgentInput::Timeout)
    }

    /// Every recogniser that is asked fails like this, beginning with this one, until none is asked any more: who was, and what was done.
    pub(super) fn all_ears_fail(
        &mut self,
        first: RequestId,
        kind: FailureKind,
    ) -> (Vec<usize>, Vec<AgentOutput>) {
        let (mut ears, mut asked, mut all) = (Some(first), Vec::new(), Vec::new());
        while let Some(request) = ears {
            let mut did = self.fails(request, kind);
            if self.waits_for_ears() {
                did.extend(self.asks_ears_again());
            }
            ears = did.iter().find_map(|did| match did {
                AgentOutput::Ask { request, provider, ask: Ask::Listen | Ask::Transcribe(_), .. } => {
                    asked.push(*provider);
                    Some(*request)
                }
                _ => None,
            });
            all.extend(did);
            assert!(asked.len() < 40, "they are asked for ever");
        }
        (asked, all)
    }

    pub(super) fn sounds(&mut self, request: RequestId, samples: usize) -> Vec<AgentOutput> {
        self.event(request, &Event::Sound(Sound { rate: 24_000, samples: vec![1; samples] }))
    }

    /// The call says how much of its last answer was heard.
    pub(super) fn heard(&mut self, bytes: usize) -> Vec<AgentOutput> {
        self.input(AgentInput::AnswerOver { answer: self.answers.begun - 1, heard: bytes })
    }

    /// The user says this, and the model is asked.
    pub(super) fn asked(&mut self, ears: RequestId, text: &str) -> RequestId {
        for _ in 0..10 {
            self.chunk();
        }
        self.hears(ears, text, (self.position - 16_000, self.position - 1_600), true);
        ask_of(&self.over(ears), MIND).0
    }
}

/// What was asked of this provider.
pub(super) fn ask_of(did: &[AgentOutput], whom: usize) -> (RequestId, Ask) {
    let asks = did.iter().find_map(|did| match did {
        AgentOutput::Ask { request, provider, ask, .. } if *provider == whom => Some((*request, ask.clone())),
        _ => None,
    });
    asks.unwrap_or_else(|| panic!("nothing is asked of {whom}: {did:?}"))
}

pub(super) fn asks_anybody(did: &[AgentOutput]) -> bool {
    did.iter().any(|did| matches!(did, AgentOutput::Ask { .. }))
}

pub(super) fn asks_a_model(did: &[AgentOutput]) -> bool {
    did.iter().any(|did| matches!(did, AgentOutput::Ask { ask: Ask::Chat(_), .. }))
}

pub(super) fn spoken(ask: &Ask) -> &str {
    match ask {
        Ask::Speak(text) => text,
        other => panic!("{other:?}"),
    }
}

pub(super) fn bytes_fed(did: &[AgentOutput], to: RequestId) -> usize {
    did.iter()
        .map(|did| match did {
            AgentOutput::Feed { request, feed: Feed::Audio(bytes), .. } if *request == to => bytes.len(),
            _ => 0,
        })
        .sum()
}

/// What a request has used, when that is said.
pub(super) fn used_by(did: &[AgentOutput], whom: RequestId) -> Option<Quantity> {
    let used = did.iter().find_map(|did| match did {
        AgentOutput::Spent { request, used, .. } if *request == whom => Some(*used),
        _ => None,
    });
    used.unwrap_or_else(|| panic!("it is not over: {did:?}"))
}

/// Where the last word of a turn ends.
pub(super) fn words_end(did: &[AgentOutput]) -> Option<u32> {
    did.iter().find_map(|did| match did {
        AgentOutput::Said { words_end, .. } => Some(*words_end),
        _ => None,
    })
}

pub(super) fn said_words(did: &[AgentOutput]) -> Vec<(&str, u32, u32)> {
    did.iter()
        .filter_map(|did| match did {
            AgentOutput::Said { text, start, end, .. } => Some((text.as_str(), *start, *end)),
            _ => None,
        })
        .collect()
}
