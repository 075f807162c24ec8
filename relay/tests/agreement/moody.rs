//! An agent that does what an agent may do, by chance.

use std::collections::VecDeque;

use protocol::Time;
use relay::agent::{Agent, AgentInput, AgentOutput};

use super::Dice;

/// Hears, speaks, answers in pieces and is interrupted by chance. It is told positions, and they have to fit.
pub(super) struct Moody {
    dice: Dice,
    /// Where the next audio begins.
    heard: u32,
    /// Where speech began that was not said yet.
    speaking: Option<u32>,
    final_through: u32,
    /// The answer that it is giving.
    answer: Option<Giving>,
    /// Bytes of the words of each answer so far.
    answers: Vec<usize>,
    over: u32,
    /// How often it has understood something.
    said: u32,
    outputs: VecDeque<AgentOutput>,
}

/// What an answer still lacks.
#[derive(Default)]
struct Giving {
    words: u32,
    sound: u32,
    given: u32,
}

impl Moody {
    pub(super) fn new(seed: u64) -> Moody {
        Moody {
            dice: Dice(seed),
            heard: 0,
            speaking: None,
            final_through: 0,
            answer: None,
            answers: Vec::new(),
            over: 0,
            said: 0,
            outputs: VecDeque::new(),
        }
    }

    fn say(&mut self) {
        let start = self.speaking.take().unwrap_or(self.final_through);
        self.outputs.push_back(AgentOutput::Said {
            text: "words".into(),
            start,
            end: self.heard,
            words_end: self.heard,
        });
        self.said += 1;
        self.cut();
        let words = 1 + self.dice.below(4);
        self.answer = Some(Giving { words, sound: self.dice.below(60_000), given: 0 });
        self.answers.push(0);
        self.word();
        self.finalise();
    }

    fn assert_place(&self, position: u32) {
        assert_eq!(position, self.heard, "what the page says stands between what was heard and what will be");
    }

    fn cut(&mut self) {
        if self.answer.take().is_some() {
            self.outputs.push_back(AgentOutput::Cut);
        }
    }

    /// One more word.
    fn word(&mut self) {
        let Some(answer) = self.answer.as_mut().filter(|answer| answer.words > 0) else { return };
        answer.words -= 1;
        let (start, last) = (answer.given, answer.words == 0);
        *self.answers.last_mut().expect("it answers") += 5;
        self.outputs.push_back(AgentOutput::Words { text: "word ".into(), start, end: start, last });
        self.end();
    }

    /// More sound, asked for or not.
    fn give(&mut self, samples: u32) {
        let Some(answer) = &mut self.answer else { return };
        let now = self.dice.below(samples + 1).min(answer.sound);
        answer.sound -= now;
        answer.given += now;
        if now > 0 {
            self.outputs.push_back(AgentOutput::Sound(vec![7; now as usize]));
        }
        self.end();
    }

    fn end(&mut self) {
        if self.answer.as_ref().is_some_and(|answer| answer.words == 0 && answer.sound == 0) {
            self.answer = None;
            self.outputs.push_back(AgentOutput::AnswerEnd);
        }
    }

    fn finalise(&mut self) {
        if self.speaking.is_none() && self.heard > self.final_through {
            self.final_through = self.heard;
            self.outputs.push_back(AgentOutput::Final { through: self.heard });
        }
    }
}

impl Agent for Moody {
    fn rate(&self) -> u32 {
        24_000
    }

    fn handle_input(&mut self, _now: Time, input: AgentInput<'_>) {
        match input {
            AgentInput::Audio { position, samples } => {
                assert_eq!(position, self.heard, "the agent hears each sample once, in its place");
                self.heard += samples.len() as u32;
            }
            AgentInput::Gap { position, end } => {
                assert_eq!(position, self.heard, "a gap begins where the audio ended");
                assert!(end >= position);
                self.heard = end;
            }
            AgentInput::Room { samples } => return self.give(samples),
            AgentInput::Pause => return if self.speaking.is_some() { self.say() } else { self.finalise() },
            AgentInput::Typed { position, .. } => {
                self.assert_place(position);
                return self.say();
            }
            AgentInput::Say { position, .. } => {
                self.assert_place(position.expect("nobody but the page wants anything said"));
                self.word();
            }
            AgentInput::Context { .. } | AgentInput::Variables { .. } => return,
            AgentInput::Corrected { said, .. } => {
                assert!(said < self.said, "it has understood that");
                return;
            }
            AgentInput::ToolResult { .. } | AgentInput::BargeIn | AgentInput::OnHold(_) => return,
            AgentInput::AnswerOver { answer, heard } => {
                assert_eq!(answer, self.over, "every answer is over once, in order");
                self.over += 1;
                assert!(heard <= self.answers[answer as usize], "nobody hears words that were never said");
                return;
            }
            AgentInput::TakenBack { answer, heard } => {
                assert!(answer < self.over, "it was over by then");
                assert!(heard < self.answers[answer as usize], "less than all of it stays");
                return;
            }
            AgentInput::Event { .. } | AgentInput::Timeout => panic!("it asks nobody"),
            AgentInput::Means { .. } | AgentInput::Farewell | AgentInput::HandOver | AgentInput::Leave => {
                return;
            }
        }
        match self.dice.below(8) {
            0 if self.speaking.is_none() => {
                self.speaking = Some(self.heard);
                self.outputs.push_back(AgentOutput::SpeechStarted { at: self.heard });
                if self.dice.below(3) > 0 {
                    self.cut();
                }
            }
            1 => self.say(),
            2 => self.finalise(),
            3 | 4 => self.word(),
            5 => self.give(3_000),
            6 => self.outputs.push_back(AgentOutput::Partial {
                text: "wor".into(),
                start: self.speaking.unwrap_or(self.final_through),
                end: self.heard,
                final_through: None,
            }),
            7 => {
                let held = self.dice.below(2) == 0;
                self.outputs.push_back(AgentOutput::Hold(held));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<AgentOutput> {
        self.outputs.pop_front()
    }

    fn is_between_turns(&self) -> bool {
        self.speaking.is_none() && self.answer.is_none()
    }
}
